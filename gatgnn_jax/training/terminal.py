"""Progress of a training on the terminal: a live line, or plain lines when it is not one."""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from data_prep.properties import Property, ending_of
from gatgnn_jax.objective import METRICS

SECONDS_BETWEEN_LINES = 5.0

LONG = 5.0
"""Seconds into an epoch after which its steps are shown."""

COMPILING = 60.0
"""A first epoch of fewer seconds than this may have been spent on compiling."""

GAP = "  "


class TrainingReporter:
    """Shows epoch, validation error, loss, learning rate, crystals/s and time left."""

    def __init__(
        self, console: Console, epochs: int, before: Sequence[Mapping[str, float]], headline: str
    ):
        """`before`: the rows of the epochs that are done; `headline`: their entry that matters
        most, as `val_mae`."""
        self.console = console
        self.epochs = epochs
        self.headline = headline
        self.best = min((row[headline] for row in before), default=float("inf"))
        self.done = len(before)
        self.within = ""
        self.errors: list[str] = ["compiling …"]
        self.speeds: list[str] = []
        self.seconds: list[float] = []
        self.epoch_started = time.monotonic()
        self.last_line = self.epoch_started - SECONDS_BETWEEN_LINES
        self.live: Live | None = None
        if console.is_terminal and not console.quiet:
            self.live = Live(console=console, get_renderable=self._line, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        else:
            self._print("compiling …")
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live is not None:
            self.live.stop()

    def step(self, done: int, steps: int) -> None:
        """See `gatgnn_jax.training.loop.Reporter`."""
        now = time.monotonic()
        if now - self.epoch_started < LONG:
            return
        self.within = f"step {done}/{steps}"
        if self.live is None and now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            self._print(f"epoch {self.done + 1}/{self.epochs}{GAP}{self.within}")

    def epoch(self, row: Mapping[str, float], seconds: float, crystals_per_second: float) -> None:
        """See `gatgnn_jax.training.loop.Reporter`."""
        value = row[self.headline]
        self.best = min(self.best, value)
        self.errors = [f"{self.headline} {value:.4f} (best {self.best:.4f})"]
        self.speeds = [f"loss {row['train_loss']:.4f}", f"lr {row['learning_rate']:.1e}"]
        self.done = int(row["epoch"])
        self.within = ""
        now = time.monotonic()
        self.seconds.append(now - self.epoch_started)
        self.epoch_started = now
        if self._counted():
            self.speeds.append(f"{crystals_per_second:,.0f} crystals/s")
        if self.live is not None:
            self.live.refresh()
        elif now - self.last_line >= SECONDS_BETWEEN_LINES or self.done == self.epochs:
            self.last_line = now
            self._print(GAP.join([*self._first(), *self.speeds, self._left()]).rstrip())

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def _line(self) -> Text:
        """The live line, with as much as the terminal is wide."""
        text = fitting(self._first(), self.speeds, self._left(), self.console.width)
        return Text(text, no_wrap=True, overflow="ellipsis")

    def _first(self) -> list[str]:
        within = [self.within] if self.within else []
        return [f"epoch {self.done}/{self.epochs}", *within, *self.errors]

    def _counted(self) -> list[float]:
        """Seconds of the epochs that tell of those to come; in a short first one JAX compiles."""
        return self.seconds[1 if self.seconds and self.seconds[0] < COMPILING else 0 :]

    def _left(self) -> str:
        if not (seconds := self._counted()):
            return ""
        left = sum(seconds) / len(seconds) * (self.epochs - self.done)
        left = max(0.0, left - (time.monotonic() - self.epoch_started))
        return f"{timedelta(seconds=round(left))} left"


def fitting(first: Sequence[str], more: Sequence[str], last: str, width: int) -> str:
    """A line of `first` and `last`, and between them of so many of `more` as the width takes."""
    needed = [*first, last] if last else [*first]
    for count in range(len(more), -1, -1):
        line = GAP.join([*first, *more[:count], *needed[len(first) :]])
        if len(line) <= width:
            return line
    return GAP.join(needed)


def headline_metric(properties: Sequence[Property]) -> str:
    """The column of metrics.csv that progress shows."""
    if len(properties) > 1:
        return "val_score"
    return "val_mae" if properties[0].task == "regression" else "val_log_loss"


def closing_lines(
    summary: Mapping[str, Any], properties: Sequence[Property], path: Path, start: str | None = None
) -> str:
    """What a finished training says last: the error of each property.

    That of the test crystals, or if there are none of the validation crystals. Of one that started
    from the run `start`, whether that was of use.
    """
    lines = []
    subset = "test" if summary["crystals"]["test"] else "val"
    for p in properties:
        ending = ending_of(p, properties)
        scores = {name: summary[f"{subset}_{name}{ending}"] for name in METRICS[p.task]}
        if p.task == "classification":
            shown = {"accuracy": "accuracy", "balanced_accuracy": "balanced", "auc": "AUC"}
            units = {}
        else:
            shown, units = {"mae": "MAE", "r2": "R²"}, {"mae": f" {p.trained_unit}".rstrip()}
        texts = [
            f"{label} {scores[name]:.4f}{units.get(name, '')}"
            for name, label in shown.items()
            if math.isfinite(scores[name])  # a single crystal has no R², a single class no AUC
        ]
        lines.append(f"{p.name}: {subset} {', '.join(texts)}")
    if start is not None:
        if summary["best_epoch"] == 1 < summary["epochs"]:
            lines.append(
                f"the first epoch was the best: what came from {start} was lost; try a lower "
                "--taken-rate, or train without --init-from"
            )
        else:
            lines.append(
                f"started from {start}: train once without --init-from to see what that was worth"
            )
    lines.append(
        f"best epoch {summary['best_epoch']} of {summary['epochs']}, {summary['seconds']:.0f} s; "
        f"see {path}"
    )
    return "\n".join(lines)
