"""The networks side by side: errors on the same crystals, what chance does to them, and speeds."""

import statistics
import time
from collections.abc import Sequence

import pandas as pd
from rich.progress import track

from benchmarks import provenance
from benchmarks.paper.paired import above
from benchmarks.paper.results import Row, absolute_errors, difference, settings_of
from benchmarks.paper.trainings import Place, Training
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.jobs.folds import is_several, read_members
from gatgnn_jax.jobs.train_options import asked_for, parse
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.loop import Trainer
from gatgnn_jax.training.prepare import prepare

ROUNDS = 7
"""Epochs of each network that are timed, in turn, after one to compile."""


def speeds(trainings: Sequence[Training], place: Place) -> list[Row]:
    """Crystals a second of each method, trained and predicted: medians of epochs timed in turn.

    All networks live in one process, so that whatever else the machine does hits them alike.

    Raises:
        UserError: the data is not there.
    """
    use_device("auto")
    first = {t.method: t for t in reversed(trainings)}
    trainers: dict[str, Trainer] = {}
    for method in dict.fromkeys(t.method for t in trainings):
        options = parse(place.command(first[method], seed=0))
        prepared = prepare(asked_for(options), quiet=True)
        trainers[method] = Trainer(
            prepared.config, prepared.dataset, prepared.target, prepared.subsets
        )
    subsets = list(prepared.subsets.values())
    crystals = sum(map(len, subsets))
    rates: dict[str, list[tuple[float, float]]] = {method: [] for method in trainers}
    for timed in track(range(ROUNDS + 1), "timing the networks in turn"):
        for method, trainer in trainers.items():
            trainer.run_epoch()
            started = time.perf_counter()
            for subset in subsets:
                trainer.predict(trainer.state.model, subset)
            predicted = crystals / (time.perf_counter() - started)
            if timed:
                trained = trainer.progress.timing[-1]["crystals_per_second"]
                rates[method].append((trained, predicted))
    return [
        {
            "name": method,
            "trained_per_second": statistics.median(trained for trained, _ in own),
            "predicted_per_second": statistics.median(predicted for _, predicted in own),
        }
        for method, own in rates.items()
    ]


def compare(place: Place, trainings: Sequence[Training]) -> list[Row]:
    """Errors of finished trainings beside the first network's of the same recipe (`note`).

    Those of the test crystals, or with folds of all crystals out of fold. A row a training and
    property: the mean absolute error and its standard error over crystals,
    and by how much it is above the first network's, with the standard error of that (of the
    differences crystal by crystal, which is far smaller than that of either).
    """
    rows: list[Row] = []
    first: dict[tuple[str, str], pd.Series] = {}
    for training in trainings:
        path = place.run(training, 0)
        table = pd.read_csv(path / "predictions.csv", converters={"id": str})
        table = table.set_index("id").sort_index()
        if is_several(path):
            path /= read_members(path)[0].name
        else:
            table = table[table.subset == "test"]
        run = RunDirectory.open(path)
        properties, summary = run.config().properties, run.read_json("summary.json")
        for p in properties:
            error = absolute_errors(table, p, properties)
            reference = first.setdefault((training.note, p.name), error)
            rows.append(
                {
                    "name": training.name,
                    "method": training.method,
                    "recipe": training.note,
                    "epochs": training.epochs,
                    "property": p.name,
                    "unit": p.trained_unit,
                    "parameters": summary["parameters"],
                    "training_size": summary["crystals"]["train"],
                    "crystals": len(error),
                    "mae": float(error.mean()),
                    "standard_error": provenance.standard_error(error.to_numpy()),
                    **above(error, reference),
                    "settings": settings_of(run),
                    "versions": summary["versions"] | {"python": summary["python"]},
                    "commit": provenance.commit(),
                    "machine": provenance.machine(),
                }
            )
    return rows


def models_markdown(rows: Sequence[Row], speeds: Sequence[Row]) -> str:
    """A line a network and recipe: its size, its speed if known, and its error of each property.

    Timed are networks of the first recipe: by another they have other layers, graphs and batches.
    Behind an error stands how far it is from the first network's, or that two standard errors of
    it do not tell them apart.
    """
    by_method = {row["name"]: row for row in speeds}
    targets = dict.fromkeys(row["property"] for row in rows)
    cells = {(row["method"], row["recipe"], row["property"]): row for row in rows}
    units = {row["property"]: f", {row['unit']}" if row["unit"] else "" for row in rows}
    titles = [f"{target.replace('_', ' ')}{units[target]}" for target in targets]
    rates = ("trained_per_second", "predicted_per_second") if speeds else ()
    columns = ["network", "recipe", "parameters", *("trained / s", "predicted / s")[: len(rates)]]
    columns += titles
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for method, recipe in dict.fromkeys((row["method"], row["recipe"]) for row in rows):
        own = [cells.get((method, recipe, target)) for target in targets]
        known = next(row for row in own if row is not None)
        speed = by_method.get(method) if recipe == rows[0]["recipe"] else None
        shown = ["–" if speed is None else f"{speed[rate]:,.0f}" for rate in rates]
        told = [f"{recipe}, {known['epochs']} epochs", f"{known['parameters']:,}"]
        errors = ["–" if row is None else compared(row) for row in own]
        lines.append(f"| {' | '.join([method, *told, *shown, *errors])} |")
    return "\n".join(lines) + "\n"


def compared(row: Row) -> str:
    """An error with its standard error, and how it compares with the first network's."""
    error = f"{row['mae']:.4f} ± {row['standard_error']:.4f}"
    told = difference(row)
    return error if told == "–" else f"{error} ({told})"
