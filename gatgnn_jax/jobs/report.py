"""What `report` does: `report.html` of a finished run, again."""

from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.cache import open_dataset
from data_prep.errors import UserError
from data_prep.progress import plain_console
from gatgnn_jax.pages.report import write_report
from gatgnn_jax.runs.directory import RunDirectory

if TYPE_CHECKING:
    from gatgnn_jax.report import ReportOptions


def report(options: "ReportOptions") -> int:
    """Write report.html; the exit status."""
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
