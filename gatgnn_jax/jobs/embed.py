"""What `embed` does: vectors of crystals, as a table and a map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data_prep.columns import number_columns
from data_prep.compositions import composition
from data_prep.errors import Skipped, UserError, number_of
from data_prep.files import write_text
from data_prep.labels import formula
from data_prep.progress import plain_console
from data_prep.properties import Property, resolve_property
from data_prep.reading.sources import open_structures
from gatgnn_jax.cli import output_folder
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.pages.crystal_map import CrystalMap, draw_map, map_columns, map_page
from gatgnn_jax.prediction.columns import column_names, digits_of, prediction_columns, to_csv
from gatgnn_jax.prediction.engines import StreamPredictor
from gatgnn_jax.prediction.inputs import named_files
from gatgnn_jax.prediction.outputs import check_replaceable, skipped_path, write_skipped
from gatgnn_jax.prediction.reliability import read_reliability
from gatgnn_jax.prediction.stream import Named, predict_source
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.one_writer import one_writer

if TYPE_CHECKING:
    from gatgnn_jax.embed import EmbedOptions, Map


FORMATS = (".csv", ".npz", ".parquet")

FEWEST = 5
"""Crystals that a map needs."""


@dataclass
class Contents:
    """What the map tells of C crystals besides the model's numbers."""

    formulas: list[str] = field(default_factory=list)
    atoms: list[int] = field(default_factory=list)
    targets: list[Mapping[str, Any]] = field(default_factory=list)

    def note(self, crystal: Named) -> None:
        """Add a crystal."""
        cell = composition(crystal.graph)
        self.formulas.append(formula(cell))
        self.atoms.append(round(cell.num_atoms))
        self.targets.append(crystal.targets)


def embed(options: "EmbedOptions") -> int:
    """Write the vectors of all crystals and a map of them; the exit status."""
    files = named_files(options.files, "embed")
    _check_format(options.out)
    use_device(options.device)
    run = RunDirectory.open(options.run, options.trust_code)
    output_folder(options.out.parent)
    with one_writer(options.out):
        return embed_files(options, run, files)


def embed_files(options: "EmbedOptions", run: RunDirectory, files: Sequence[Path]) -> int:
    """Embed the crystals in the files; the exit status."""
    config, graphdef, model = run.load_best()
    reliability = read_reliability(run)
    with_intervals = reliability.intervals is not None
    columns = first_columns(config, options.out, with_intervals)
    check_replaceable(options.out, columns, options.overwrite)
    source = open_structures(files)
    predictor = StreamPredictor(config, graphdef, model, options.batch_size, reliability)
    left_out: dict[int, Skipped] = {}
    contents = Contents()
    ids: list[str] = []
    batches = []
    label = "" if options.quiet else "Embedding"
    for named, predicted in predict_source(
        predictor, source, left_out, workers=options.workers, label=label
    ):
        ids += [crystal.id for crystal in named]
        for crystal in named:
            contents.note(crystal)
        batches.append(predicted)
    skipped = list(left_out.values())
    write_skipped(options.out, skipped)
    report = skipped_path(options.out)
    if not batches:
        raise UserError(
            f"none of {number_of(len(skipped), 'crystal')} could be embedded: see {report}"
        )

    values = np.concatenate([batch.values for batch in batches])
    vectors = np.concatenate([batch.crystal_vector for batch in batches])
    uncertainty = _together([batch.uncertainty for batch in batches])
    half_width = _together([batch.half_width for batch in batches])
    table = prediction_columns(config.properties, values, None, uncertainty, half_width)
    table.insert(0, "id", ids)
    write_vectors(table, vectors, options.out, digits_of(config.properties))
    console = plain_console(quiet=options.quiet)
    console.print(
        f"{number_of(len(ids), 'vector')} of {vectors.shape[1]} numbers: see {options.out}"
    )
    if skipped:
        console.print(f"{len(skipped):,} left out: see {report}")
    if options.map != "none" and len(ids) >= FEWEST:
        target, others = known_values(config.properties, contents.targets)
        columns, names = map_columns(config.properties, values, target, uncertainty, half_width)
        columns["atoms in the cell"] = contents.atoms
        columns = columns.assign(**{k: own for k, own in others.items() if k not in columns})
        place = points(vectors, options.map)
        shown = CrystalMap(*place, vectors, ids, contents.formulas, columns, names)
        picture, page = (options.out.with_suffix(f".{end}") for end in (options.format, "html"))
        draw_map(shown, config.properties[0], picture)
        write_text(page, map_page(shown, run.path.absolute().name))
        console.print(f"map: open {page}; as a picture {picture}")
    return 0


def _check_format(out: Path) -> None:
    if out.suffix not in FORMATS:
        raise UserError(f"--out: {out} must end in {', '.join(FORMATS)}")
    if out.suffix == ".parquet" and not find_spec("pyarrow"):
        raise UserError("--out: parquet files need pyarrow: pip install pyarrow, or write .npz")


def _together(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def first_columns(config: RunConfig, out: Path, with_intervals: bool) -> list[str]:
    """What a table of a run's vectors begins with."""
    if out.suffix == ".npz":
        return ["id", "vector"]
    names = column_names(config.properties, config.train.members > 1, with_intervals)
    return ["id", *names, "v0"]


def write_vectors(table: pd.DataFrame, vectors: np.ndarray, out: Path, digits: int) -> None:
    """Write ids and predictions [C rows] with the vectors [C, F], whole or not at all."""
    unfinished = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        if out.suffix == ".npz":
            arrays = {"id": table.id.to_numpy(str), "vector": vectors}
            for name, start in (
                ("prediction", "prediction|probability"),
                ("uncertainty", "uncertainty"),
                ("lower", "lower"),
                ("upper", "upper"),
            ):
                columns = table.filter(regex=f"^({start})").select_dtypes("number")
                if columns.shape[1]:
                    arrays[name] = columns.to_numpy(np.float64)
            np.savez_compressed(unfinished, **arrays)
        else:
            names = [f"v{column}" for column in range(vectors.shape[1])]
            table = pd.concat([table, pd.DataFrame(vectors, columns=names)], axis=1)
            if out.suffix == ".parquet":
                table.to_parquet(unfinished, index=False)
            else:
                unfinished.write_text(to_csv(table, digits=digits), encoding="utf-8")
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def known_values(
    properties: Sequence[Property], targets: Sequence[Mapping[str, Any]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What the source itself says of C crystals: transformed values [C, T] of the properties, NaN
    where it has none, and its other columns of numbers, [C] each."""
    values = np.full((len(targets), len(properties)), np.nan)
    try:
        columns = number_columns(targets)
    except UserError:  # thousands of columns: no table of properties
        return values, {}
    others = {name: own for name, own in columns.values.items() if name not in columns.classes}
    for t, p in enumerate(properties):
        try:
            found = resolve_property(p.name, columns.values)
        except UserError:
            continue
        # As in `evaluate`: a class may stand there in another way, a metal by its gap.
        is_class = found.task == p.task == "classification"
        own = replace(p, column=found.column, transform=(found if is_class else p).transform)
        words = columns.classes.get(found.column)
        values[:, t] = own.transformed(columns.values[found.column], words)
        others.pop(found.column, None)
    return values, others


def points(vectors: np.ndarray, kind: "Map") -> tuple[np.ndarray, tuple[str, str]]:
    """Vectors [C, F] as points of a plane [C, 2], and what its axes are."""
    # Imported where needed, as elsewhere: it takes a second.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    if kind == "tsne":
        perplexity = min(30.0, (len(vectors) - 1) / 3)
        plane = TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(centred)
        return plane, ("t-SNE 1", "t-SNE 2")
    pca = PCA(2, svd_solver="full")
    plane = pca.fit_transform(centred)
    first, second = (f"{share:.0%} of the variance" for share in pca.explained_variance_ratio_)
    return plane, (f"component 1 ({first})", f"component 2 ({second})")
