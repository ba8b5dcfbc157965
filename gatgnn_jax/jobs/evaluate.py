"""What `evaluate` does: metrics and predictions of a subset, or of other data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table

from data_prep.build import skipped_table
from data_prep.cache import open_dataset
from data_prep.compositions import compositions
from data_prep.dataset import GraphDataset, has_changed
from data_prep.errors import Skipped, UserError, number_of
from data_prep.files import write_text
from data_prep.progress import plain_console
from data_prep.properties import Property, resolve_property
from data_prep.targets import select_targets
from gatgnn_jax.batches.feeds import make_feed
from gatgnn_jax.batches.splits import SUBSETS
from gatgnn_jax.cli import output_folder
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.devices.mesh import data_mesh, replicate
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.objective import METRICS, metrics, network_targets, value_slices
from gatgnn_jax.prediction.columns import digits_of, to_csv
from gatgnn_jax.prediction.coverage import coverage_groups
from gatgnn_jax.prediction.engines import DatasetPredictor
from gatgnn_jax.prediction.intervals import LEVEL
from gatgnn_jax.prediction.reliability import read_reliability
from gatgnn_jax.prediction.subsets import SubsetPredictions, predict_subsets
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory, to_json
from gatgnn_jax.runs.ready_made import PRETRAINED

if TYPE_CHECKING:
    from gatgnn_jax.evaluate import EvaluateOptions


@dataclass(frozen=True)
class Evaluated:
    """A dataset, its targets [C, T] for a run, and crystal numbers by the name of the subset."""

    dataset: GraphDataset
    target: np.ndarray
    subsets: dict[str, np.ndarray]
    skipped: list[Skipped]
    num_seen: int = 0
    """crystals left out as the model knows them"""


def evaluate(options: "EvaluateOptions") -> int:
    """Score a model, write and print what came of it; the exit status."""
    use_device(options.device)
    run = RunDirectory.open(options.run, options.trust_code)
    config, graphdef, model = run.load_best()
    if options.data is None:
        subset = options.subset or "test"
        name: str = subset
        crystals = own_crystals(run, config, options)
    else:
        subset = options.subset or "all"
        name = f"{options.data.name.partition('.')[0]}-{subset}"
        crystals = other_crystals(run, config, options.data, subset, options)
    place = Path() if run.path.parent == PRETRAINED else run.path
    folder = output_folder(options.out or place / f"evaluation-{name}")

    # All subsets are planned for, as in training: the same batches give the same predictions.
    mesh = data_mesh()
    target = network_targets(crystals.target, config.properties)
    feed = make_feed(crystals.dataset, target, crystals.subsets, config.train.batch_size, mesh)
    predict = DatasetPredictor(graphdef, feed, config.properties, mesh)
    model = ModelState(*replicate(tuple(model), mesh))
    chosen = {name: rows for name, rows in crystals.subsets.items() if subset in (name, "all")}
    intervals = read_reliability(run).intervals
    predictions = predict_subsets(
        predict, model, chosen, crystals.dataset.ids, crystals.target, intervals
    )
    table = to_csv(predictions.table(), digits=digits_of(config.properties))
    write_text(folder / "predictions.csv", table)
    scores = {key: value for name in chosen for key, value in predictions.scores(name).items()}
    counts = {name: len(rows) for name, rows in chosen.items()}
    write_text(folder / "metrics.json", to_json(scores | {"crystals": counts}))
    write_text(folder / "skipped.csv", skipped_table(crystals.skipped))
    (folder / "coverage.csv").unlink(missing_ok=True)  # of an earlier evaluation
    if intervals is not None and intervals.properties:
        write_text(folder / "coverage.csv", to_csv(coverage_table(predictions, crystals)))
    (folder / "confusion.csv").unlink(missing_ok=True)
    if any(p.task == "classification" for p in config.properties):
        write_text(folder / "confusion.csv", to_csv(confusion_table(predictions)))

    console = plain_console(quiet=options.quiet)
    shown = metrics_table(predictions)
    if not console.is_terminal:  # nothing is cut in a file
        console.width = max(console.width, console.measure(shown).maximum)
    console.print(shown)
    for name in chosen:
        for own, share in predictions.coverage(name).items():
            console.print(f"{LEVEL:.0%} intervals hold {share:.1%} of the {own} of {name}")
    if crystals.num_seen:
        console.print(
            f"{number_of(crystals.num_seen, 'crystal')} not scored: {options.run} was trained or "
            "selected with them (--seen scores them too)"
        )
    if crystals.skipped:
        console.print(
            f"{number_of(len(crystals.skipped), 'crystal')} left out: see {folder / 'skipped.csv'}"
        )
    console.print(f"see {folder}")
    return 0


def own_crystals(run: RunDirectory, config: RunConfig, options: "EvaluateOptions") -> Evaluated:
    """The crystals the run was made with, in its own split.

    Raises:
        UserError: there are none (a converted model), or they are gone or have changed.
    """
    if not (run.path / "split.json").exists():
        raise UserError(f"{run.path} was not trained here: name crystals to evaluate with --data")
    source = config.data.path
    advice = f"give it with --data and --subset {options.subset or 'test'}"
    if source is not None and not source.exists():
        raise UserError(f"{source}, the data of {run.path}, is gone: if it was moved, {advice}")
    dataset, skipped = open_dataset(
        source,
        config.graph,
        workers=options.workers,
        quiet=options.quiet,
        limit=config.data.limit,
    )
    if has_changed(dataset, config.data.content_hash):
        raise UserError(
            f"{source or 'the bundled data'} has changed since {run.path} was trained: {advice}"
        )
    target, reasons = select_targets(
        dataset.columns, config.properties, dataset.faults, dataset.classes
    )
    split = run.split()
    every = {part: np.flatnonzero(np.isin(dataset.ids, split[part])) for part in SUBSETS}
    subsets = {part: rows for part, rows in every.items() if len(rows)}
    if options.subset != "all" and (wanted := options.subset or "test") not in subsets:
        raise UserError(
            f"{run.path} has no {wanted} crystals: name others with --data, or --subset val or all"
        )
    return Evaluated(dataset, target, subsets, skipped + skipped_rows(dataset, reasons))


def other_crystals(
    run: RunDirectory, config: RunConfig, data: Path, subset: str, options: "EvaluateOptions"
) -> Evaluated:
    """Crystals of other data: all with a value, or those that a subset of the run names.

    All are those that the model has not seen, by their ids, if the options do not say otherwise.

    Raises:
        UserError: data that cannot be used, of other graph settings, or without the property.
    """
    dataset, skipped = open_dataset(
        data, config.graph, workers=options.workers, quiet=options.quiet
    )
    properties = [property_in(dataset, p) for p in config.properties]
    target, reasons = select_targets(dataset.columns, properties, dataset.faults, dataset.classes)
    seen: list[int] = []
    if subset == "all" and not options.seen:
        seen = np.flatnonzero(np.isin(dataset.ids, run.seen_ids())).tolist()
    reasons |= dict.fromkeys(seen, f"{run.path.name} was trained or selected with it")
    rows = np.setdiff1d(np.arange(len(dataset)), list(reasons))
    if subset != "all":
        named = run.split()[subset]
        rows = rows[np.isin(dataset.ids[rows], named)]
    if len(rows) == 0:
        names = " or ".join(p.name for p in properties)
        which = "" if subset == "all" else f" of the subset {subset}"
        new = " that the model has not seen in training (--seen scores those too)" if seen else ""
        raise UserError(f"{data} has no crystal{which} with a usable value of {names}{new}")
    left_out = skipped + skipped_rows(dataset, reasons)
    return Evaluated(dataset, target, {subset: rows}, left_out, len(seen))


def property_in(dataset: GraphDataset, p: Property) -> Property:
    """A property of a run, with the column of other data that holds its values.

    Raises:
        UserError: there is none.
    """
    found = resolve_property(p.name, dataset.columns, dataset.faults)
    # A class may stand there in another way: a metal by its gap. Numbers stay what they were.
    is_class = found.task == p.task == "classification"
    return replace(p, column=found.column, transform=(found if is_class else p).transform)


def skipped_rows(dataset: GraphDataset, reasons: Mapping[int, str]) -> list[Skipped]:
    """Crystals (by number) that have no target, for the report."""
    return [Skipped(str(dataset.ids[row]), reason) for row, reason in reasons.items()]


def coverage_table(predictions: SubsetPredictions, crystals: Evaluated) -> pd.DataFrame:
    """What the intervals hold, by subset, property and groups of crystals."""
    tables = []
    for name, half_width in predictions.half_width.items():
        if half_width is None:
            continue
        cells = compositions(crystals.dataset, crystals.subsets[name])
        predicted, target = predictions.predicted[name], predictions.target[name]
        for t, (p, own) in enumerate(
            zip(predictions.properties, value_slices(predictions.properties), strict=True)
        ):
            if p.task == "regression":
                values = (predicted[:, own.start], target[:, t], half_width[:, own.start])
                groups = coverage_groups(p, *values, cells)
                groups.insert(0, "subset", name)
                tables.append(groups)
    return pd.concat(tables)


def confusion_table(predictions: SubsetPredictions) -> pd.DataFrame:
    """How often each true class is taken for which, by subset and property."""
    tables = [predictions.confusion(name) for name in predictions.predicted]
    for name, own in zip(predictions.predicted, tables, strict=True):
        own.insert(0, "subset", name)
    return pd.concat(tables)


def metrics_table(predictions: SubsetPredictions) -> Table:
    """A row of metrics for each subset and property."""
    properties, slices = predictions.properties, value_slices(predictions.properties)
    tasks = {p.task for p in properties}
    names = {
        key: metric.label
        for task, own in METRICS.items()
        if task in tasks
        for key, metric in own.items()
    }
    units = [p.trained_unit for p in properties]
    said = ["unit"] if any(units) else []
    table = Table("subset", "property", *said, "crystals", box=box.SIMPLE_HEAD)
    # Where a terminal is narrow names are broken, numbers are not.
    table.columns[1].overflow = "fold"
    table.columns[1].min_width = min(max(len(p.name) for p in properties), 8)
    for name in names.values():
        table.add_column(name.replace(" ", "\n"))
    for column in table.columns[2 + len(said) :]:
        column.justify = "right"
    for column in (table.columns[0], *table.columns[2:]):
        column.no_wrap = True
    for subset, predicted in predictions.predicted.items():
        target = predictions.target[subset]
        for t, p in enumerate(properties):
            own = metrics(predicted[:, slices[t]], target[:, [t]], [p])
            values = [f"{own[key]:.4f}" if key in own else "" for key in names]
            known = int((~np.isnan(target[:, t])).sum())
            own_unit = [p.trained_unit] if said else []
            table.add_row(subset, p.name, *own_unit, f"{known:,}", *values)
    return table
