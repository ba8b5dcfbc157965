"""The package from Python: `Predictor.load(run).predict(structures)`, and `fit` for notebooks.

The same code as behind the commands, which add files and a terminal to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from flax import nnx

from data_prep.errors import BadCrystal, Skipped, UserError
from data_prep.properties import Task
from data_prep.reading.given import Crystals, Given, Values, as_list, names_in
from data_prep.reading.sources import StructureLike, open_structures, read_item
from gatgnn_jax.batches.splits import subset_names
from gatgnn_jax.cli import Device, use_device
from gatgnn_jax.config import PRESETS, PresetName
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.objective import value_slices
from gatgnn_jax.prediction.engines import StreamPredictor
from gatgnn_jax.prediction.explanation import Explanation, explain
from gatgnn_jax.prediction.origin import NOWHERE, Origin, origin_of
from gatgnn_jax.prediction.reliability import UNKNOWN, Reliability, read_reliability
from gatgnn_jax.prediction.result import Predictions
from gatgnn_jax.prediction.stream import predict_source
from gatgnn_jax.prediction.training_crystals import Neighbor
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory, kept_crystals, next_run_directory

if TYPE_CHECKING:
    from gatgnn_jax.pipeline import Execution
    from gatgnn_jax.training.prepare import NewRun


class Predictor:
    """A trained model, ready to predict and to explain; compiled once for many calls::

        predictor = Predictor.load("runs/bulk_modulus-001")
        predictor.predict(["a.cif", structure, atoms]).to_dataframe()

    Models that come with the package go by their names: `Predictor.load("bulk_modulus")`.
    """

    def __init__(
        self,
        config: RunConfig,
        graphdef: nnx.GraphDef,
        model: ModelState,
        batch_size: int = 512,
        reliability: Reliability = UNKNOWN,
        origin: Origin = NOWHERE,
    ):
        """A model as `RunDirectory.load_best` gives it.

        `batch_size` is in crystals, at most; `reliability` what its predictions are judged by;
        `origin` says where it is from and how good it is.
        """
        self.config = config
        self.origin = origin
        self._graphdef = graphdef
        self._engine = StreamPredictor(config, graphdef, model, batch_size, reliability)

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        device: Device = "auto",
        batch_size: int = 512,
        trust_code: bool = False,
    ) -> "Predictor":
        """The best model of a run; compiled programs are kept in the cache of the commands.

        Args:
            run: the run directory of a trained model, or the name of a ready-made one
                (bulk_modulus, shear_modulus, poisson_ratio, formation_energy, band_gap).
            device: what to run on. If JAX has been used before, it stays on its device.
            batch_size: crystals to predict at once, at most; lower it if the memory does not
                suffice.
            trust_code: run the layers and attentions that came with the run, wherever it is from.

        Raises:
            UserError: no run, or one without a trained model.
        """
        use_device(device)
        return cls.of(RunDirectory.open(Path(run), trust_code), batch_size)

    @classmethod
    def of(cls, run: RunDirectory, batch_size: int = 512) -> "Predictor":
        """The best model of a run that is open, on the device in use."""
        return cls(*run.load_best(), batch_size, read_reliability(run), origin_of(run))

    def __repr__(self) -> str:
        """What it predicts, in which unit, how well, and where it is from."""
        return "\n  ".join(["Predictor", *self.origin.lines(self.config.properties)])

    def predict(
        self,
        structures: Crystals,
        *,
        workers: int | None = None,
    ) -> Predictions:
        """Predict one structure, or any mix of several; nothing is written.

        Args:
            structures: structures of pymatgen or ASE, pymatgen dictionaries, and paths: of CIF or
                POSCAR files, folders of them, JSON lines, JSON or CSV of structures; or a table
                (DataFrame) with a column of these.
            workers: processes that prepare the graphs; all cores by default, but only for large
                jobs.

        Returns:
            A row for each crystal, in the order given; those that cannot be predicted with the
            reason.

        Raises:
            UserError: a path that does not exist, or a folder without structure files.
        """
        source = open_structures(as_list(structures))
        width = value_slices(self.config.properties)[-1].stop
        transformed = np.full((source.count, width), np.nan)
        uncertainty = np.full_like(transformed, np.nan)
        half_width = np.full_like(transformed, np.nan)
        ids, warnings, reasons = ([""] * source.count for _ in range(3))
        neighbors: list[Neighbor | None] = [None] * source.count
        left_out: dict[int, Skipped] = {}
        for named, own in predict_source(self._engine, source, left_out, workers=workers):
            rows = [crystal.position for crystal in named]
            transformed[rows] = own.values
            uncertainty[rows] = np.nan if own.uncertainty is None else own.uncertainty
            half_width[rows] = np.nan if own.half_width is None else own.half_width
            for crystal, warning in zip(named, own.warnings, strict=True):
                ids[crystal.position], warnings[crystal.position] = crystal.id, warning
            for row, neighbor in zip(rows, own.neighbors or (), strict=False):
                neighbors[row] = neighbor
        for row, skipped in left_out.items():
            ids[row], reasons[row] = skipped
        known = self._engine.reliability
        return Predictions(
            tuple(ids),
            self.config.properties,
            transformed,
            tuple(warnings),
            tuple(reasons),
            uncertainty if self.config.train.ensemble > 1 else None,
            None if known.intervals is None else half_width,
            None if known.training is None else tuple(neighbors),
        )

    def explain(self, structure: StructureLike) -> Explanation:
        """Which atoms of a crystal the model attends to, and which neighbours in each layer.

        Raises:
            UserError: a model without attention, or a path that is not of one structure.
            BadCrystal: a crystal the model cannot take.
        """
        items = list(open_structures([structure]).items())
        if len(items) != 1:
            raise UserError(f"{structure} holds {len(items)} structures: explain one at a time")
        record, found = read_item(items[0])
        if isinstance(found, BadCrystal):
            raise found
        model, known = self._engine.model, self._engine.reliability
        return explain(self.config, self._graphdef, model, found, record.id, known)


def fit(
    data: Crystals | None = None,
    y: Values | str | None = None,
    property: str | None = None,
    *,
    split: str | Mapping[str, Sequence[Any]] | Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    run_dir: str | Path | None = None,
    preset: PresetName = "default",
    limit: int | None = None,
    task: Task | None = None,
    unit: str | None = None,
    transform: str | None = None,
    weight: str | None = None,
    class_weight: Literal["balanced", "none"] = "balanced",
    device: Device = "auto",
    workers: int | None = None,
    quiet: bool = False,
    pages: bool = True,
    **settings: Any,
) -> Predictor:
    """Train a model as `python -m gatgnn_jax.train` does, with the same files in a run directory::

        predictor = fit(structures, y, property="bulk_modulus", epochs=200)
        predictor = fit(table, "hardness", groups=table.formula)
        predictor = fit("my_folder", "hardness", neurons=32)

    Args:
        data: structures (of pymatgen or ASE, or paths of one each) as a list or a Series; a table
            (DataFrame) with a column of them; or the path of a dataset directory or a source of
            crystals; the bundled ones by default.
        y: a value of each structure [C], or several [C, T], in the property's own unit (GPa); or
            what to predict, by the names of one or several (comma-separated) columns of table or
            source.
        property: what the values are, as `bulk_modulus`: known properties have their unit and
            transform. By default the values' own name (of a Series), or `target`. Of a source the
            columns to predict, as `y`.
        split: ratios as `60:20:20`, or a JSON file with the ids of train, val and test; of
            structures also a mapping with these ids, or the subset of each.
        groups: what group each structure is of; those of one group come into one subset.
        run_dir: where to put the results; by default runs/PROPERTY-001, -002, …
        preset: settings to start from.
        limit: use the first crystals of the data only.
        task: whether values or classes are predicted; by default classes of words and of is_metal.
        unit: of the property's values, as GPa.
        transform: what is learned instead of the values: log10.
        weight: a column with weights of the crystals, by which their losses count in training.
        class_weight: let all classes count alike however many crystals they have, or each crystal.
        device: what to run on.
        workers: processes that prepare the data; all cores by default.
        quiet: show errors only.
        pages: draw pictures and write `report.html` at the end.
        settings: any setting of graph, model or training by name, as `epochs` or `neurons`.

    Returns:
        The best model.

    Raises:
        UserError: data, property, split or run directory that cannot be used.
        KeyboardInterrupt: stopped before the end; the run goes on with the command's `--resume`.
    """
    # Imported where needed: prediction does without the optimizer and the pictures.
    from gatgnn_jax.pipeline import Execution
    from gatgnn_jax.training.prepare import NewRun

    chosen = PRESETS[preset].changed(settings)
    how = Execution(device=device, workers=workers, quiet=quiet, pages=pages)
    request = NewRun(
        graph=chosen.graph,
        source=None,
        limit=limit,
        split=None,
        seed=chosen.train.seed,
        model=chosen.model,
        train=chosen.train,
        property=property,
        task=task,
        unit=unit,
        transform=transform,
        weight=weight,
        class_weight=class_weight,
    )
    place = None if run_dir is None else Path(run_dir)
    if (data is None or isinstance(data, str | Path)) and (y is None or isinstance(y, str)):
        if groups is not None or not (split is None or isinstance(split, str)):
            raise UserError("groups, and a split by name, need structures in memory: fit(list, y)")
        source = None if data is None else Path(data)
        request = replace(request, source=source, split=split, property=y or property)
        return Predictor.of(_trained(request, place, how))
    names = () if property is None else names_in(property)
    given = Given.of(() if data is None else data, y, names)
    subsets = subset_names(given.ids, split, groups, request.seed)
    place = place or next_run_directory(Path("runs"), next(iter(given.targets)))
    with kept_crystals(place) as file:
        given.write(file, subsets)
        drawn = split if subsets is None and isinstance(split, str) else None
        columns = ",".join(given.targets)
        request = replace(request, source=file, split=drawn, property=columns)
        return Predictor.of(_trained(request, place, how))


def _trained(request: "NewRun", place: Path | None, how: "Execution") -> RunDirectory:
    """The run of a training that has come to its end."""
    from gatgnn_jax.pipeline import start

    run, status = start(request, place, how)
    if status:
        raise KeyboardInterrupt
    return run
