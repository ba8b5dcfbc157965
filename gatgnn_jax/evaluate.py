"""`python -m gatgnn_jax.evaluate RUN`: how good a trained model is, and all its predictions.

The crystals are those the run was trained, validated or tested with, or those of other data with
the same property. `predictions.csv`, `metrics.json`, `coverage.csv` (what the intervals hold, by
groups of crystals) and `skipped.csv` go to `--out`, by default a folder of the run:
`RUN/evaluation-SUBSET`, or `RUN/evaluation-NAME-SUBSET` for other data called NAME. Evaluating
again writes over them.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data_prep.options import IntOrNone, NothingByDefault, PathOrNone
from gatgnn_jax.choices import Device
from gatgnn_jax.cli import read_options, run_command
from gatgnn_jax.runs.ready_made import run_path


@dataclass(frozen=True)
class EvaluateOptions:
    """Metrics and predictions of a trained model."""

    run: tyro.conf.Positional[Path]
    """The run directory of a trained model, or the name of a ready-made one."""
    data: PathOrNone = None
    """Other crystals with the same property: a dataset directory, or a source as for training.
    Default: those the run was trained with."""
    subset: Annotated[
        Literal["train", "val", "test", "all"] | None,
        tyro.conf.arg(metavar="{train,val,test,all}"),
        NothingByDefault,
    ] = None
    """Which crystals, by the run's split. Default: test; all for other data."""
    seen: bool = False
    """With --data, score also the crystals that the model was trained or selected with."""
    out: PathOrNone = None
    """The folder to write to. Default: one within the run; for a ready-made model, here."""
    device: Device = "auto"
    """What to run on."""
    workers: IntOrNone = None
    """Processes that prepare the data; all cores by default."""
    trust_code: bool = False
    """Run the layers and attentions that came with the run, wherever it is from."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(EvaluateOptions, "evaluate", arguments)
    run_path(options.run)  # a slip shows at once
    from gatgnn_jax.jobs.evaluate import evaluate

    return evaluate(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
