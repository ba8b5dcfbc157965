"""A progress bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

LINE_EVERY = 15.0
"""Seconds between two lines where there is no terminal."""


def plain_console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """A console for sentences: not wrapped, and names of files in them are no markup of rich."""
    return Console(
        quiet=quiet, stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False
    )


def track(items: Iterable[T], total: int, label: str, quiet: bool = False) -> Iterator[T]:
    """Pass ``items`` on and show how many have gone by, at what rate, and the time left."""
    console = Console(stderr=True)
    if quiet:
        yield from items
    elif console.is_terminal:
        yield from _bar(items, total, label, console)
    else:
        yield from _lines(items, total, label)


def _bar(items: Iterable[T], total: int, label: str, console: Console) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total, rate=0.0)
        for done, item in enumerate(items, 1):
            progress.update(task, completed=done, rate=done / (time.monotonic() - start))
            yield item


def _lines(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        now = time.monotonic()
        if now - last >= LINE_EVERY:
            last = now
            rate = done / (now - start)
            left = (total - done) / rate
            sys.stderr.write(f"{label}: {done}/{total}, {rate:.0f}/s, {left:.0f} s left\n")
        yield item
