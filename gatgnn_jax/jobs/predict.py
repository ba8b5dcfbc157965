"""What `predict` does: structures → a table of predictions, streaming."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.cache import fingerprint
from data_prep.errors import Skipped, UserError, number_of
from data_prep.progress import plain_console
from data_prep.properties import Property
from data_prep.reading.sources import open_structures
from data_prep.workers import Workers, workers_of
from gatgnn_jax.cli import output_folder
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.prediction.columns import column_names, digits_of, prediction_columns
from gatgnn_jax.prediction.engines import Predicted, StreamPredictor
from gatgnn_jax.prediction.growing_table import GrowingTable, Progress
from gatgnn_jax.prediction.inputs import named_files
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

if TYPE_CHECKING:
    from gatgnn_jax.predict import PredictOptions


def predict(options: "PredictOptions") -> int:
    """Predict the crystals of all files; the exit status."""
    files = named_files(options.files, "predict")
    workers = workers_of(options.workers, options.dask)
    if options.out.is_dir():
        raise UserError(f"--out: {options.out} is a directory; give the name of a file")
    use_device(options.device)
    run = RunDirectory.open(options.run, options.trust_code)
    output_folder(options.out.parent)
    with one_writer(options.out):
        return predict_files(options, run, files, workers)


def predict_files(
    options: "PredictOptions", run: RunDirectory, files: Sequence[Path], workers: Workers
) -> int:
    """Predict the crystals in the files, from where an earlier call was stopped; exit status."""
    source = open_structures(files)
    config, graphdef, model = run.load_best()
    reliability = read_reliability(run)
    predictor = StreamPredictor(config, graphdef, model, options.batch_size, reliability)
    check_replaceable(options.out, table_columns(config, reliability), options.overwrite)
    console = plain_console(quiet=options.quiet)

    own = [run.path / name for name in ("checkpoints/best", INTERVALS, NEIGHBORS)]
    key = fingerprint(config.to_json(), [*own, *files])
    table = GrowingTable(options.out, key, digits_of(config.properties))
    before = table.restore()
    if before.done:
        console.print(f"going on after {number_of(before.done, 'crystal')}: see {table.part}")
    left_out: dict[int, Skipped] = {}
    batches = predict_source(
        predictor,
        source,
        left_out,
        workers=workers,
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
            f"none of {number_of(len(after.skipped), 'crystal')} could be predicted: see {report}\n"
            f"the first is {first.id}: {first.reason}"
        )
    table.finish()
    with_warning = f", {after.warnings:,} of them with a warning" if after.warnings else ""
    console.print(f"{number_of(after.rows, 'crystal')} predicted{with_warning}: see {options.out}")
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
    names = column_names(config.properties, config.train.members > 1, with_intervals)
    nearest = [] if reliability.training is None else ["nearest", "distance"]
    return ["id", *names, *nearest, "warning"]
