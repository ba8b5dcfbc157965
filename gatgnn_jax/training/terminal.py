"""Progress of a training on the terminal: a live line, or plain lines when it is not one."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from data_prep.properties import Property
from gatgnn_jax.objective import METRICS
from gatgnn_jax.prediction.columns import unit_of

SECONDS_BETWEEN_LINES = 5.0


class TrainingReporter:
    """Shows epoch, loss, validation error, learning rate, crystals/s and time left."""

    def __init__(self, console: Console, epochs: int, done: int, headline: str):
        """`headline` names the row's entry that matters most, as `val_mae`."""
        self.console = console
        self.epochs = epochs
        self.headline = headline
        self.best = float("inf")
        self.started = time.monotonic()
        self.first = done
        self.last_line = -SECONDS_BETWEEN_LINES
        self.bar: Progress | None = None
        if console.is_terminal and not console.quiet:
            self.bar = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console,
            )
            self.task = self.bar.add_task("", total=epochs, completed=done, text="compiling …")

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def epoch(self, row: Mapping[str, float], seconds: float, crystals_per_second: float) -> None:
        """See `gatgnn_jax.training.loop.Reporter`."""
        value = row[self.headline]
        self.best = min(self.best, value)
        text = (
            f"loss {row['train_loss']:.4f}  {self.headline} {value:.4f} (best {self.best:.4f})  "
            f"lr {row['learning_rate']:.1e}  {crystals_per_second:,.0f} crystals/s"
        )
        epoch = int(row["epoch"])
        if self.bar is not None:
            self.bar.update(self.task, completed=epoch, text=text)
            return
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES or epoch == self.epochs:
            self.last_line = now
            left = (now - self.started) / (epoch - self.first) * (self.epochs - epoch)
            self.console.print(
                f"epoch {epoch}/{self.epochs}  {text}  {left:.0f} s left",
                highlight=False,
                soft_wrap=True,
            )


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
        ending = f"_{p.name}" if len(properties) > 1 else ""
        scores = {name: f"{summary[f'{subset}_{name}{ending}']:.4f}" for name in METRICS[p.task]}
        if p.task == "classification":
            text = "accuracy {accuracy}, balanced {balanced_accuracy}, AUC {auc}".format(**scores)
        else:
            text = f"MAE {scores['mae']} {unit_of(p)}, R² {scores['r2']}"
        lines.append(f"{p.name}: {subset} {text}")
    if start is not None:
        if summary["best_epoch"] == 1:
            lines.append(
                f"the first epoch was the best: what came from {start} was lost; try a lower "
                "--taken-rate, or train without --init-from"
            )
        else:
            lines.append(
                f"started from {start}: the same without --init-from tells what that was worth"
            )
    lines.append(
        f"best epoch {summary['best_epoch']} of {summary['epochs']}, {summary['seconds']:.0f} s; "
        f"see {path}"
    )
    return "\n".join(lines)
