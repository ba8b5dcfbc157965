"""The networks side by side: the errors of study `models`, and how fast each one is."""

import statistics
import time
from collections.abc import Sequence

import numpy as np
from rich.progress import track

from benchmarks.paper.results import Row, error
from benchmarks.paper.trainings import Place, Training
from gatgnn_jax.batches.chosen_device import use_device
from gatgnn_jax.jobs.train_options import asked_for, parse
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
    everything = np.concatenate(list(prepared.subsets.values()))
    rates: dict[str, list[tuple[float, float]]] = {method: [] for method in trainers}
    for timed in track(range(ROUNDS + 1), "timing the networks in turn"):
        for method, trainer in trainers.items():
            trainer.run_epoch()
            started = time.perf_counter()
            trainer.predict(trainer.state.model, everything)
            predicted = len(everything) / (time.perf_counter() - started)
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


def models_markdown(rows: Sequence[Row], speeds: Sequence[Row]) -> str:
    """A line a network: its size, its speed, and its test error of each property."""
    by_method = {row["name"]: row for row in speeds}
    targets = dict.fromkeys(row["property"] for row in rows)
    cells = {(row["method"], row["property"]): row for row in rows}
    units = {row["property"]: f", {row['unit']}" if row["unit"] else "" for row in rows}
    titles = [f"{target.replace('_', ' ')}{units[target]}" for target in targets]
    columns = ["network", "parameters", "trained / s", "predicted / s", *titles]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = {target: cells.get((method, target)) for target in targets}
        size = next(row["parameters"] for row in own.values() if row is not None)
        speed = by_method.get(method)
        rates = ("trained_per_second", "predicted_per_second")
        shown = ["–" if speed is None else f"{speed[rate]:,.0f}" for rate in rates]
        errors = [
            "–" if row is None else f"{error(row)} ({len(row['seeds'])})" for row in own.values()
        ]
        lines.append(f"| {' | '.join([method, f'{size:,}', *shown, *errors])} |")
    return "\n".join(lines) + "\n"
