"""`python -m gatgnn_jax.tune`: settings that lower the validation error, found by Optuna.

Each trial is a training in a run directory of its own, judged by its best validation score; test
crystals are never looked at. After a kill the same command goes on.

    FOLDER/study.db     what Optuna knows of all trials (SQLite)
    FOLDER/trial-000/   the runs
    FOLDER/trials.csv   a row a trial: settings, validation score, outcome
    FOLDER/best.json    the best settings, for `python -m gatgnn_jax.train --config`
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gatgnn_jax.cli import run_command
from gatgnn_jax.jobs.train_options import parse

RANGES = (
    "learning_rate=1e-3..1e-2",
    "weight_decay=0.01..0.3",
    "batch_size=32,64,128",
    "num_layers=2..6",
    "neurons=32,64,96",
    "averaging=0,0.99",
)
"""What is searched if nobody says otherwise."""


@dataclass(frozen=True)
class TuneOptions:
    """Find settings with a low validation error; any other option is one of `train`."""

    trials: int = 30
    """Trainings in all; those that are done already count."""
    search: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=RANGE")] = RANGES
    """Settings of graph, model or training and where to look: learning_rate=1e-4..1e-2 (evenly by
    magnitude if the ends are ten times apart), num_layers=2..6, neurons=32,64 (one of these)."""
    out: Path = Path("runs/tune")
    """The folder of the search; one that was begun goes on."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    if "--help" in arguments or "-h" in arguments:
        tyro.cli(TuneOptions, prog="gatgnn-jax tune", args=["--help"])
    options, others = tyro.cli(
        TuneOptions, prog="gatgnn-jax tune", args=arguments, return_unknown_args=True
    )
    base = parse(others)  # a mistyped option is told before anything heavy is imported
    from gatgnn_jax.jobs.tune import tune

    return tune(options, base)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
