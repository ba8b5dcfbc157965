"""How far the folds are, read from their run directories while other processes train them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gatgnn_jax.runs.directory import RunDirectory

SECONDS = 2.0
"""Between two looks."""


@contextmanager
def epochs_shown(console: Console, runs: Sequence[Path], epochs: int) -> Iterator[None]:
    """A bar of each run's epochs, on a terminal only."""
    if not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeRemainingColumn(),
    )
    stop = Event()
    with Progress(*columns, console=console) as progress:
        tasks = {run: progress.add_task(run.name, total=epochs) for run in runs}

        def look() -> None:
            while True:
                for run, task in tasks.items():
                    progress.update(task, completed=epochs_done(run, epochs))
                if stop.wait(SECONDS):
                    return

        watcher = Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()


def epochs_done(run: Path, epochs: int) -> int:
    """Rows of the run's metrics; all epochs if it is finished, which may be early."""
    if RunDirectory(run).is_finished:
        return epochs
    try:
        return max(len((run / "metrics.csv").read_text().splitlines()) - 1, 0)
    except FileNotFoundError:
        return 0
