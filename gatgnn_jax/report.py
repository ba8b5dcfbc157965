"""`python -m gatgnn_jax.report RUN…`: what a training came to, or several side by side, as a page.

Training writes `report.html` itself; this makes it again, say for a run of an older version. It
only reads the run's files and the data: learning curves, predictions of all crystals against their
targets, the worst of them with their structures, errors by element, crystal system and size,
settings, and what was left out of the data. Of several runs it makes one page, `comparison.html`:
their curves and errors, the settings that differ, and the test crystals that they share.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.options import NothingByDefault, PathOrNone, nothing_or
from gatgnn_jax.choices import Format
from gatgnn_jax.cli import read_options, run_command


@dataclass(frozen=True)
class ReportOptions:
    """Make report.html of a finished run, or one page that compares several."""

    runs: tyro.conf.Positional[Annotated[tuple[Path, ...], NothingByDefault]]
    """The run directory, or those of the runs to compare."""
    data: PathOrNone = None
    """The data they were trained with, if these have moved."""
    format: Annotated[Format | None, nothing_or("png", "svg", "pdf")] = None
    """Draw the run's pictures again too, as png, svg or pdf; the last two for papers."""
    out: Path = Path("comparison.html")
    """The page to write of several runs."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(ReportOptions, "report", arguments)
    from gatgnn_jax.jobs.report import report

    return report(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
