"""What `report` does: the page of a finished run, again, or one that compares several."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.cache import open_dataset
from data_prep.dataset import GraphDataset
from data_prep.errors import UserError
from data_prep.files import write_text
from data_prep.labels import formula
from data_prep.progress import plain_console
from gatgnn_jax.cli import output_folder
from gatgnn_jax.pages.comparison import (
    MOST_RUNS,
    comparison_numbers,
    comparison_page,
    shared_crystals,
)
from gatgnn_jax.pages.finished import Finished
from gatgnn_jax.pages.plots import draw_training
from gatgnn_jax.pages.report import cells_of, read_finished, write_report
from gatgnn_jax.runs.directory import RunDirectory

if TYPE_CHECKING:
    from gatgnn_jax.report import ReportOptions


def report(options: "ReportOptions") -> int:
    """Write the page, and pictures if they are wanted; the exit status."""
    if not options.runs:
        raise UserError("nothing to report: name the directory of a run, or several to compare")
    runs = [RunDirectory.open(path) for path in options.runs]
    for run in runs:
        run.read_json("summary.json")
    console = plain_console(quiet=options.quiet)
    if len(runs) > 1:
        compare(runs, options)
        console.print(f"open {options.out}")
    else:
        dataset, source = data_of(runs[0], options)
        write_report(runs[0], dataset, source)
        console.print(f"open {runs[0].path / 'report.html'}")
    if options.format:
        for run in runs:
            pictures = draw_training(run.path, read_finished(run), options.format)
            console.print(f"pictures: {', '.join(map(str, pictures))}")
    return 0


def data_of(run: RunDirectory, options: "ReportOptions") -> tuple[GraphDataset, Path | None]:
    """The graphs of a run's data and where the data are; None: the bundled ones.

    Raises:
        UserError: they are gone.
    """
    config = run.config()
    source = config.data.path
    source = options.data or source
    if source is not None and not source.exists():
        raise UserError(f"{source}, the data of {run.path}, is gone: if it was moved, name --data")
    limit = config.data.limit
    return open_dataset(source, config.graph, quiet=options.quiet, limit=limit)[0], source


def compare(runs: Sequence[RunDirectory], options: "ReportOptions") -> None:
    """Write the page that shows several runs side by side.

    Raises:
        UserError: they cannot be compared, or the page cannot be written.
    """
    if len(runs) > MOST_RUNS:
        raise UserError(f"{len(runs)} runs are too many for one page: name {MOST_RUNS} at most")
    if options.out.suffix != ".html":
        raise UserError(f"--out: {options.out} must end in .html")
    finished = named_apart([read_finished(run) for run in runs], runs)
    ids = shared_crystals(finished)
    dataset, source = data_of(runs[0], options)
    formulas = [formula(cell) for cell in cells_of(ids, dataset, runs[0], source)]
    page = comparison_page(comparison_numbers(finished, ids, formulas))
    output_folder(options.out.parent)
    write_text(options.out, page)


def named_apart(finished: Sequence[Finished], runs: Sequence[RunDirectory]) -> list[Finished]:
    """The runs, those of one name by their whole paths."""
    names = Counter(own.name for own in finished)
    return [
        own if names[own.name] == 1 else replace(own, name=str(run.path))
        for own, run in zip(finished, runs, strict=True)
    ]
