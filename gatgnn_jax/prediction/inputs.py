"""What `predict` and `embed` are given: structure files and sizes."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import UserError


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
