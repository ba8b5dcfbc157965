"""`python -m gatgnn_jax.predict RUN FILES…`: structures → a table of predictions, streaming.

The table has a row for each crystal: `id`, the columns of `gatgnn_jax.tables`, and `warning`, which
says if the model has seen an element of the crystal rarely or never, or if the id came before.
Crystals that could not be predicted stand in `skipped.csv` beside it, with the reason. Rows are
appended to `NAME.part` as they come, which gets its name at the end.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro
from rich.console import Console

from data_prep.build import skipped_table
from data_prep.errors import BadCrystal, Skipped, UserError
from data_prep.featurize import Featurized, featurize
from data_prep.graph import CrystalGraph
from data_prep.progress import track
from data_prep.sources import open_structures
from gatgnn_jax.cli import Device, output_folder, run_command, use_device
from gatgnn_jax.predictions import element_warning
from gatgnn_jax.predictor import StreamPredictor
from gatgnn_jax.run_directory import RunDirectory, write_text
from gatgnn_jax.tables import prediction_columns, to_csv


@dataclass(frozen=True)
class PredictOptions:
    """Predict properties of crystals with a trained model; CSV of one row a crystal."""

    run: tyro.conf.Positional[Path]
    """The run directory of a trained model."""
    files: tyro.conf.Positional[tuple[Path, ...]]
    """CIF or POSCAR files (.gz too), folders of them, JSON lines or JSON of structures."""
    out: Path = Path("predictions.csv")
    """The table to write; crystals left out go to skipped.csv beside it."""
    batch_size: int = 512
    """Crystals to predict at once, at most; lower it if the memory does not suffice."""
    device: Device = "auto"
    """What to run on."""
    workers: int | None = None
    """Processes that prepare the graphs; all cores by default."""
    quiet: bool = False
    """Show errors only."""


class Named(NamedTuple):
    """A crystal on its way to the table."""

    id: str
    warning: str


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = tyro.cli(PredictOptions, prog="python -m gatgnn_jax.predict", args=arguments)
    if options.batch_size < 1:
        raise UserError(f"--batch-size is {options.batch_size}: give 1 or more")
    if not options.files:
        raise UserError("nothing to predict: name structure files or folders after the run")
    if options.out.is_dir():
        raise UserError(f"--out: {options.out} is a directory; give the name of a file")
    use_device(options.device)
    run = RunDirectory.open(options.run)
    report = output_folder(options.out.parent) / "skipped.csv"
    source = open_structures(options.files)
    config, graphdef, model = run.load_best()
    predictor = StreamPredictor(config, graphdef, model, options.batch_size)

    results = track(
        featurize(source.items(), config.graph, options.workers),
        source.count,
        "Predicting",
        options.quiet,
    )
    skipped: list[Skipped] = []
    crystals = good_crystals(results, config.data.element_counts, skipped)
    rows, warnings = write_predictions(predictor, crystals, options.out)

    report.unlink(missing_ok=True)  # of an earlier prediction
    if skipped:
        write_text(report, skipped_table(skipped))
    if not rows:
        raise UserError(
            f"none of {len(skipped)} crystals could be predicted: see {report}\n"
            f"the first is {skipped[0].id}: {skipped[0].reason}"
        )
    console = Console(quiet=options.quiet, highlight=False, soft_wrap=True)
    with_warning = f", {warnings:,} of them with a warning" if warnings else ""
    console.print(f"{rows:,} crystals predicted{with_warning}: see {options.out}")
    if skipped:
        console.print(f"{len(skipped):,} left out: see {report}")
    return 0


def good_crystals(
    results: Iterable[Featurized], element_counts: Mapping[str, int], skipped: list[Skipped]
) -> Iterator[tuple[Named, CrystalGraph]]:
    """The crystals that can be predicted; the others are added to `skipped`."""
    seen: set[str] = set()
    for record, graph in results:
        if isinstance(graph, BadCrystal):
            skipped.append(Skipped(record.id, graph.reason))
            continue
        remarks = [element_warning(graph, element_counts)]
        if record.id in seen:
            remarks.append("another crystal of this id came before")
        seen.add(record.id)
        yield Named(record.id, "; ".join(filter(None, remarks))), graph


def write_predictions(
    predictor: StreamPredictor, crystals: Iterable[tuple[Named, CrystalGraph]], out: Path
) -> tuple[int, int]:
    """Predict crystals and write the table as they come, unless there are none.

    Returns:
        How many rows it has, and how many of them with a warning.
    """
    unfinished = out.with_name(f"{out.name}.part")
    rows = warnings = 0
    with unfinished.open("w", encoding="utf-8") as file:
        for named, predicted in predictor.stream(crystals):
            table = prediction_columns(predictor.properties, predicted.values)
            table.insert(0, "id", [crystal.id for crystal in named])
            table["warning"] = [crystal.warning for crystal in named]
            file.write(to_csv(table, header=rows == 0))
            file.flush()
            rows += len(named)
            warnings += sum(crystal.warning != "" for crystal in named)
    if rows:
        unfinished.replace(out)
    else:
        unfinished.unlink()
    return rows, warnings


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
