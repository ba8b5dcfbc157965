"""Metrics to TensorBoard and Weights & Biases, for those who follow their trainings there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from data_prep.errors import UserError
from gatgnn_jax.choices import LoggerName
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.loop import Reporter


class TensorBoard(Reporter):
    """Writes each epoch's metrics to `RUN/tensorboard`."""

    def __init__(self, run: RunDirectory, config: Mapping[str, Any]):
        """Start, or go on with, the run's log."""
        summary = _import("tensorboard.summary", "tensorboard")
        self.writer = summary.Writer(str(run.path / "tensorboard"))

    def epoch(self, row: Mapping[str, float], seconds: float, crystals_per_second: float) -> None:
        """See `gatgnn_jax.training.loop.Reporter`."""
        for name, value in _metrics(row, seconds, crystals_per_second).items():
            self.writer.add_scalar(name, value, int(row["epoch"]))
        self.writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class WeightsAndBiases(Reporter):
    """Sends each epoch's metrics to Weights & Biases, with the run's settings.

    Project and account are those of W&B's environment variables (`WANDB_PROJECT`, …); a run that
    is resumed goes on there too.
    """

    def __init__(self, run: RunDirectory, config: Mapping[str, Any]):
        """Start, or go on with, the run's log."""
        wandb = _import("wandb", "wandb")
        name = run.path.absolute().name
        known = run.path / "wandb_id"
        self.run = wandb.init(
            name=name,
            id=known.read_text().strip() if known.exists() else None,
            resume="allow",
            config=dict(config),
            dir=str(run.path),
        )
        run.write_text(known.name, f"{self.run.id}\n")

    def epoch(self, row: Mapping[str, float], seconds: float, crystals_per_second: float) -> None:
        """See `gatgnn_jax.training.loop.Reporter`."""
        self.run.log(_metrics(row, seconds, crystals_per_second), step=int(row["epoch"]))

    def close(self) -> None:
        """Send what is left."""
        self.run.finish()


LOGGERS: dict[LoggerName, Any] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


class _All(Reporter):
    """Several reporters as one."""

    def __init__(self, reporters: Sequence[Reporter]):
        self.reporters = reporters

    def step(self, done: int, steps: int) -> None:
        for reporter in self.reporters:
            reporter.step(done, steps)

    def epoch(self, row: Mapping[str, float], seconds: float, crystals_per_second: float) -> None:
        for reporter in self.reporters:
            reporter.epoch(row, seconds, crystals_per_second)


@contextmanager
def logging_to(
    names: Sequence[LoggerName], run: RunDirectory, reporter: Reporter
) -> Iterator[Reporter]:
    """The reporter, and the loggers named beside it, closed at the end.

    Raises:
        UserError: a logger's package is not installed.
    """
    with ExitStack() as stack:
        reporters = [reporter]
        for name in dict.fromkeys(names):
            logger = LOGGERS[name](run, run.read_json("config.json"))
            stack.callback(logger.close)
            reporters.append(logger)
        yield _All(reporters)


def check_loggers(names: Sequence[LoggerName]) -> None:
    """Refuse loggers that are not installed, before anything else is done.

    Raises:
        UserError: one is missing; the message says how to get it.
    """
    for name in names:
        _import(name, name)


def _import(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise UserError(f"--log {package}: install it first: pip install {package}") from None


def _metrics(
    row: Mapping[str, float], seconds: float, crystals_per_second: float
) -> dict[str, float]:
    """A row of metrics.csv and the speed, by the names that both show."""
    own = {name: float(value) for name, value in row.items() if name != "epoch"}
    return own | {"seconds": seconds, "crystals_per_second": crystals_per_second}
