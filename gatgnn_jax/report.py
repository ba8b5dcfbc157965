"""`python -m gatgnn_jax.report RUN`: what a training came to, as one web page.

Training writes `report.html` itself; this makes it again, say for a run of an older version. It
only reads the run's files and the data: learning curves, predictions of all crystals against their
targets, the worst of them with their structures, errors by element, crystal system and size,
settings, and what was left out of the data.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from data_prep.options import PathOrNone
from gatgnn_jax.cli import read_options, run_command


@dataclass(frozen=True)
class ReportOptions:
    """Make report.html of a finished run."""

    run: tyro.conf.Positional[Path]
    """The run directory."""
    data: PathOrNone = None
    """The data it was trained with, if they have moved."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(ReportOptions, "report", arguments)
    from gatgnn_jax.jobs.report import report

    return report(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
