"""The training loop: epochs, the best model, early stopping, and going on after an interruption."""

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from data_prep.dataset import GraphDataset
from data_prep.errors import UserError
from data_prep.properties import ending_of
from gatgnn_jax.batches.feeds import make_feed
from gatgnn_jax.choices import Streaming
from gatgnn_jax.devices.mesh import data_mesh, replicate
from gatgnn_jax.devices.processes import agree, by_first, exchange
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.objective import Sums, metrics, network_targets, selection_score
from gatgnn_jax.prediction.engines import DatasetPredictor
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.interruption import Interrupted, stop_signals
from gatgnn_jax.training.optimizer import make_optimizer, rate_of_epoch
from gatgnn_jax.training.step import TrainState, init_state, make_train_steps
from gatgnn_jax.training.transfer import initial_from

SECONDS_BETWEEN_CHECKPOINTS = 15.0

SLOW_WORK = 2e7
"""Of a step (`Trainer._work_of_step`) that takes a CPU a tenth of a second or more: such steps are
run one by one, so that progress shows and Ctrl-C acts between them. By size, not by the clock, as
that changes the last digits."""


class Reporter(Protocol):
    """Shows how training goes."""

    def step(self, done: int, steps: int) -> None:
        """Called now and then within an epoch, with how many of its steps are done."""

    def epoch(self, row: Mapping[str, float], seconds: float, crystals_per_second: float) -> None:
        """Called after every epoch with its row of metrics."""


@dataclass
class Progress:
    """How far training has come; saved as JSON with every checkpoint."""

    epoch: int = 0
    """finished epochs"""
    best_epoch: int = 0
    best_score: float = math.inf
    rows: list[dict[str, float]] = field(default_factory=list)
    """metrics.csv"""
    timing: list[dict[str, float]] = field(default_factory=list)
    """timing.csv"""


class Trainer:
    """Trains one model on the crystals of a dataset."""

    def __init__(
        self,
        config: RunConfig,
        dataset: GraphDataset,
        target: np.ndarray,
        subsets: Mapping[str, np.ndarray],
        devices: Sequence[jax.Device] | None = None,
        streaming: Streaming = "auto",
        weight: np.ndarray | None = None,
    ):
        """`target` [C, T] is transformed; `subsets` are crystal numbers of train, val, any test.

        The losses of crystals count by their `weight` [C]; alike without.
        """
        self.config = config
        self.subsets = subsets
        self.target = target
        known = self.target[subsets["train"]]
        self.scale = np.nanmean(np.abs(known - np.nanmean(known, axis=0)), axis=0)

        self.mesh = data_mesh(devices)
        aims = network_targets(target, config.properties)
        if weight is not None:
            aims = np.column_stack([aims, weight.astype(np.float32)])
        self.feed = make_feed(
            dataset,
            aims,
            subsets,
            config.train.batch_size,
            self.mesh,
            streaming,
        )
        parts, steps, _ = self.feed.plan.deal(subsets["train"]).shape
        self.steps_per_epoch = parts * steps
        slow = self._work_of_step() > SLOW_WORK and self.mesh.devices.flat[0].platform == "cpu"
        self.parts_per_epoch = self.steps_per_epoch if slow else parts
        optimizer = make_optimizer(config.train, self.steps_per_epoch)
        averaged = config.train.averaging > 0
        graphdef, state = init_state(config.new_model(), optimizer, averaged)
        self.state: TrainState = replicate(state, self.mesh)
        self.best = _copy(self.state)
        self.progress = Progress()
        self.train_steps = make_train_steps(
            graphdef,
            optimizer,
            config.properties,
            self.feed.plan.shape,
            self.mesh,
            config.train,
            self.feed.placed,
        )
        self.predict = DatasetPredictor(graphdef, self.feed, config.properties, self.mesh)

    def _work_of_step(self) -> float:
        """About what a step costs, in edges times features, layers, heads and members."""
        edges = self.feed.plan.shape.edges * self.mesh.size
        return edges * sum(
            model.neurons * model.num_layers * model.heads * members
            for model, members in self.config.networks
        )

    @property
    def finished(self) -> bool:
        """All epochs are done, or none was better for `patience` epochs."""
        waited = self.progress.epoch - self.progress.best_epoch
        return (
            self.progress.epoch >= self.config.train.epochs or waited >= self.config.train.patience
        )

    @property
    def compilations(self) -> int:
        """How often the training step was compiled."""
        return self.train_steps._cache_size()  # type: ignore[attr-defined]

    def start_from(self, path: Path) -> None:
        """Take the weights of a trained run, before the first epoch.

        Raises:
            UserError: no trained run, or one of other settings.
        """
        own = ModelState(self.state.params, self.state.stats)
        params, stats = replicate(initial_from(path, self.config, own), self.mesh)
        self.state = self.state._replace(params=params, stats=stats)
        if self.state.average is not None:
            average = jax.tree.map(jnp.copy, ModelState(params, stats))
            self.state = self.state._replace(average=average)
        self.best = _copy(self.state)

    def restore(self, run: RunDirectory) -> bool:
        """Take up the state the run was last saved in; False if it never was."""
        restored = run.restore_training(jax.device_get((self.state, self.best)))
        if restored is None:
            return False
        state, progress = restored
        self.state, self.best = replicate(state, self.mesh)  # other devices, it may be
        self.progress = Progress(**progress)
        return True

    def fit(self, run: RunDirectory, reporter: Reporter) -> None:
        """Train to the end, saving as it goes.

        Raises:
            Interrupted: on SIGINT or SIGTERM, with everything saved.
            UserError: the loss is no longer a number.
        """
        saved = time.monotonic()
        with stop_signals() as stop:

            def told_to_stop() -> int:  # one that is told to stop stops all
                return max(exchange(stop[0] if stop else 0))

            def between_parts(steps: int) -> None:
                reporter.step(steps, self.steps_per_epoch)
                if number := told_to_stop():
                    raise Interrupted(number)

            while not self.finished:
                before = jax.tree.map(jnp.copy, self.state) if self.parts_per_epoch > 1 else None
                try:
                    row = self.run_epoch(between_parts)
                except Interrupted:  # as if the epoch had not begun
                    assert before is not None
                    self.state = before
                    by_first(lambda: self.save(run))
                    raise
                timing = self.progress.timing[-1]
                reporter.epoch(row, timing["seconds"], timing["crystals_per_second"])
                due = agree(time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS)
                number = told_to_stop()
                if due or number or self.finished:
                    by_first(lambda: self.save(run))
                    saved = time.monotonic()
                if number and not self.finished:
                    raise Interrupted(number)
        by_first(lambda: run.save_best(jax.device_get(self.best)))

    def run_epoch(
        self, between_parts: Callable[[int], None] = lambda steps: None
    ) -> dict[str, float]:
        """One pass over the training crystals, then validation; the epoch's row of metrics.

        `between_parts` of the epoch is called with the number of steps done; what it raises leaves
        the state in the midst of the epoch.
        """
        settings = self.config.train
        epoch = self.progress.epoch
        started = time.perf_counter()
        # Seeded by the epoch, not drawn on from the last one: a resumed run deals the same batches.
        rng = np.random.default_rng([settings.seed, epoch])
        key = replicate(jax.random.key(settings.seed), self.mesh)
        totals: list[Sums] = []
        parts = self.feed.plan.deal(self.subsets["train"], rng)
        for data, batches in self.feed(parts.reshape(self.parts_per_epoch, -1, parts.shape[-1])):
            if totals:  # so that no more crystals wait on the devices than are needed
                jax.block_until_ready(totals[-1])
                between_parts(len(totals) * len(batches))
            self.state, sums = self.train_steps(self.state, data, batches, key)
            totals.append(sums)
        sums = jax.tree.map(lambda *parts: np.sum(parts, axis=0), *jax.device_get(totals))
        seconds = time.perf_counter() - started

        val = self.subsets["val"]
        predicted = self.predict(self.state.model, val)[val]
        if not (np.isfinite(sums.loss).all() and np.isfinite(predicted).all()):
            raise UserError(
                f"the loss is no longer a number in epoch {epoch + 1}: train again with a lower "
                f"--learning-rate (it was {settings.learning_rate:g})"
            )
        score = selection_score(predicted, self.target[val], self.config.properties, self.scale)
        row = self._row(sums, predicted, score)
        self.progress.rows.append(row)
        self.progress.timing.append(
            {
                "epoch": epoch + 1,
                "seconds": seconds,
                "crystals_per_second": len(self.subsets["train"]) / seconds,
                "validation_seconds": time.perf_counter() - started - seconds,
            }
        )
        self.progress.epoch += 1
        if score < self.progress.best_score:
            self.progress.best_score = score
            self.progress.best_epoch = self.progress.epoch
            self.best = _copy(self.state)
        return row

    def _row(self, sums: Sums, predicted: np.ndarray, score: float) -> dict[str, float]:
        """A row of metrics.csv."""
        epoch, properties = self.progress.epoch, self.config.properties
        row: dict[str, float] = {
            "epoch": epoch + 1,
            "learning_rate": rate_of_epoch(self.config.train, self.steps_per_epoch, epoch),
            "train_loss": float(np.mean(sums.loss / np.maximum(sums.count, 1))),
        }
        for p, value in zip(properties, sums.error / np.maximum(sums.count, 1), strict=True):
            ending = ending_of(p, properties)
            name = "train_mae" if p.task == "regression" else "train_error"
            row[name + ending] = float(value)
        val = metrics(predicted, self.target[self.subsets["val"]], properties)
        return row | {f"val_{name}": value for name, value in val.items()} | {"val_score": score}

    def save(self, run: RunDirectory) -> None:
        """Save state, best model and progress; write the tables up to this epoch."""
        run.save_training(jax.device_get((self.state, self.best)), asdict(self.progress))
        run.write_text("metrics.csv", _table(self.progress.rows))
        run.write_text("timing.csv", _table(self.progress.timing))


def _copy(state: TrainState) -> ModelState:
    """The model's part of the state, in buffers of its own: the step reuses the state's."""
    return jax.tree.map(jnp.copy, state.model)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        # A run that an earlier version has begun may lack some at first.
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
