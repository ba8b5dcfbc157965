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

from data_prep.cache import open_dataset
from data_prep.errors import UserError
from data_prep.progress import plain_console
from gatgnn_jax.cli import run_command
from gatgnn_jax.pages.report import write_report
from gatgnn_jax.runs.directory import RunDirectory


@dataclass(frozen=True)
class ReportOptions:
    """Make report.html of a finished run."""

    run: tyro.conf.Positional[Path]
    """The run directory."""
    data: Path | None = None
    """The data it was trained with, if they have moved."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = tyro.cli(ReportOptions, prog="python -m gatgnn_jax.report", args=arguments)
    run = RunDirectory.open(options.run)
    run.read_json("summary.json")
    config = run.config()
    source = None if config.data.source is None else Path(config.data.source)
    source = options.data or source
    if source is not None and not source.exists():
        raise UserError(f"{source}, the data of {run.path}, is gone: if it was moved, name --data")
    dataset, _ = open_dataset(source, config.graph, quiet=options.quiet, limit=config.data.limit)
    write_report(run, dataset, source)
    console = plain_console(quiet=options.quiet)
    console.print(f"open {run.path / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
