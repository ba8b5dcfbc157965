"""`python -m gatgnn_jax.predict RUN FILES…`: structures → a table of predictions, streaming.

The table has a row for each crystal: `id`, the columns of `gatgnn_jax.prediction.columns`, and
`nearest` and `distance`, the training crystal most like it, and `warning`, which says if the
crystal is far from the training crystals or has an element that they have not, or if the id came
before. Crystals that could not be predicted stand in `NAME.skipped.csv` beside it, with the
reason. Rows are appended to `NAME.part` as they come, which gets its name at the end. After a kill
the same command goes on where it was.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from data_prep.cache import fingerprint
from data_prep.errors import Skipped, UserError
from data_prep.progress import plain_console
from data_prep.properties import Property
from data_prep.reading.sources import open_structures
from gatgnn_jax.cli import Device, output_folder, run_command, use_device
from gatgnn_jax.prediction.columns import column_names, digits_of, prediction_columns
from gatgnn_jax.prediction.engines import Predicted, StreamPredictor
from gatgnn_jax.prediction.growing_table import GrowingTable, Progress
from gatgnn_jax.prediction.inputs import checked_batch_size, named_files
from gatgnn_jax.prediction.outputs import check_replaceable, skipped_path, write_skipped
from gatgnn_jax.prediction.reliability import (
    INTERVALS,
    NEIGHBORS,
    Reliability,
    read_reliability,
)
from gatgnn_jax.prediction.result import add_neighbors
from gatgnn_jax.prediction.stream import Named, predict_source
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.one_writer import one_writer


@dataclass(frozen=True)
class PredictOptions:
    """Predict properties of crystals with a trained model; CSV of one row a crystal."""

    run: tyro.conf.Positional[Path]
    """The run directory of a trained model, or a ready-made one: bulk_modulus, shear_modulus,
    poisson_ratio, formation_energy, band_gap."""
    files: tyro.conf.Positional[tuple[Path, ...]]
    """CIF or POSCAR files (.gz too), folders of them, JSON lines, JSON or CSV of structures; - for
    a list of such paths on standard input."""
    out: Path = Path("predictions.csv")
    """The table to write; crystals left out go to predictions.skipped.csv."""
    batch_size: int = 512
    """Crystals to predict at once, at most; lower it if the memory does not suffice."""
    device: Device = "auto"
    """What to run on."""
    workers: int | None = None
    """Processes that prepare the graphs; all cores by default."""
    trust_code: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run the layers and attentions that came with the run, wherever it is from."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = tyro.cli(PredictOptions, prog="python -m gatgnn_jax.predict", args=arguments)
    checked_batch_size(options.batch_size)
    files = named_files(options.files, "predict")
    if options.out.is_dir():
        raise UserError(f"--out: {options.out} is a directory; give the name of a file")
    use_device(options.device)
    run = RunDirectory.open(options.run, options.trust_code)
    output_folder(options.out.parent)
    with one_writer(options.out):
        return predict_files(options, run, files)


def predict_files(options: PredictOptions, run: RunDirectory, files: Sequence[Path]) -> int:
    """Predict the crystals in the files, from where an earlier call was stopped; exit status."""
    source = open_structures(files)
    config, graphdef, model = run.load_best()
    reliability = read_reliability(run)
    predictor = StreamPredictor(config, graphdef, model, options.batch_size, reliability)
    check_replaceable(options.out, table_columns(config, reliability))
    console = plain_console(quiet=options.quiet)

    own = [run.path / name for name in ("checkpoints/best", INTERVALS, NEIGHBORS)]
    key = fingerprint(config.to_json(), [*own, *files])
    table = GrowingTable(options.out, key, digits_of(config.properties))
    before = table.restore()
    if before.done:
        console.print(f"going on after {before.done:,} crystals, which are in {table.part}")
    left_out: dict[int, Skipped] = {}
    batches = predict_source(
        predictor,
        source,
        left_out,
        workers=options.workers,
        first=before.done,
        seen=table.ids(),
        label="" if options.quiet else "Predicting",
    )
    try:
        after = write_predictions(batches, config.properties, table, before, left_out)
    except KeyboardInterrupt:
        console.print("stopped: the same command goes on where it was")
        raise

    write_skipped(options.out, after.skipped)
    report = skipped_path(options.out)
    if not after.rows:
        first = after.skipped[0]
        raise UserError(
            f"none of {len(after.skipped)} crystals could be predicted: see {report}\n"
            f"the first is {first.id}: {first.reason}"
        )
    table.finish()
    with_warning = f", {after.warnings:,} of them with a warning" if after.warnings else ""
    console.print(f"{after.rows:,} crystals predicted{with_warning}: see {options.out}")
    if after.skipped:
        console.print(f"{len(after.skipped):,} left out: see {report}")
    return 0


def write_predictions(
    batches: Iterable[tuple[Sequence[Named], Predicted]],
    properties: Sequence[Property],
    table: GrowingTable,
    progress: Progress,
    left_out: Mapping[int, Skipped],
) -> Progress:
    """Write predictions to the table as they come, with what was `left_out`.

    Returns:
        How far the table has come, from `progress` before.
    """
    earlier = progress.skipped
    for named, predicted in batches:
        rows = prediction_columns(
            properties,
            predicted.values,
            uncertainty=predicted.uncertainty,
            half_width=predicted.half_width,
        )
        if predicted.neighbors is not None:
            add_neighbors(rows, predicted.neighbors)
        rows.insert(0, "id", [crystal.id for crystal in named])
        rows["warning"] = predicted.warnings
        # Crystals beyond this batch have been prepared already: they are not accounted for yet.
        done = named[-1].position + 1
        progress = Progress(
            done=done,
            rows=progress.rows + len(named),
            warnings=progress.warnings + int((rows.warning != "").sum()),
            skipped=earlier + [entry for position, entry in left_out.items() if position < done],
        )
        table.append(rows, progress)
    return replace(progress, skipped=earlier + list(left_out.values()))


def table_columns(config: RunConfig, reliability: Reliability) -> list[str]:
    """The columns of a run's table."""
    with_intervals = reliability.intervals is not None
    names = column_names(config.properties, config.train.ensemble > 1, with_intervals)
    nearest = [] if reliability.training is None else ["nearest", "distance"]
    return ["id", *names, *nearest, "warning"]


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
