"""What `predict` and `embed` are given: structure files, and the usable crystals in them."""

import io
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import BadCrystal, Skipped, UserError
from data_prep.featurize import Featurized
from data_prep.graph import CrystalGraph


class Named(NamedTuple):
    """A crystal on its way to a table."""

    position: int
    """among the crystals of the source"""
    id: str
    warning: str
    """about the id; empty if it is new"""


def checked_batch_size(batch_size: int) -> int:
    """A batch size of 1 or more.

    Raises:
        UserError: it is less.
    """
    if batch_size < 1:
        raise UserError(f"--batch-size is {batch_size}: give 1 or more")
    return batch_size


def named_files(paths: Sequence[Path], purpose: str) -> list[Path]:
    """The paths, with those that standard input lists, one a line, in the place of `-`.

    `purpose` is what they are wanted for, say "predict".

    Raises:
        UserError: there are none.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):  # names of files are bytes, UTF-8 or not
        sys.stdin.reconfigure(errors="surrogateescape")
    files: list[Path] = []
    for path in paths:
        lines = map(str.strip, sys.stdin) if str(path) == "-" else [str(path)]
        files += [Path(line) for line in lines if line]
    if not files:
        raise UserError(f"nothing to {purpose}: name structure files or folders after the run")
    return files


def good_crystals(
    results: Iterable[Featurized],
    left_out: dict[int, Skipped],
    first: int = 0,
    seen: Collection[str] = (),
) -> Iterator[tuple[Named, CrystalGraph]]:
    """The crystals that can be predicted; the others are added to `left_out`, by position.

    `first` is the position of the first of `results`, and `seen` the ids that came before it.
    """
    known = set(seen)
    for position, (record, graph) in enumerate(results, first):
        if isinstance(graph, BadCrystal):
            left_out[position] = Skipped(record.id, graph.reason)
            continue
        again = "another crystal of this id came before" if record.id in known else ""
        known.add(record.id)
        yield Named(position, record.id, again), graph
