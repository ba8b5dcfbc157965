"""Files opened with care: a name may stand for a folder, a pipe, or an archive of terabytes."""

import gzip
import io
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from data_prep.errors import UserError

MAX_UNPACKED = 1_000_000_000
"""Bytes a packed file that has to be kept whole may unpack to in any case."""

MAX_RATIO = 100
"""How many times its size a larger one may unpack to: real crystals reach 10; 1,000 is possible."""


class Unreadable(UserError):
    """A file that cannot be read.

    Args:
        path: the file.
        reason: the end of a sentence that begins with its name.
    """

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path} {reason}")
        self.reason = reason


@contextmanager
def opened(path: Path, *, in_pieces: bool = False) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked if its name ends in ``.gz``.

    Args:
        path: the file.
        in_pieces: whoever reads it keeps a bounded part of it at a time, so that it may unpack to
            any size.

    Raises:
        Unreadable: on opening or while it is read: no file, a damaged one, or one that unpacks to
            far more than it should.
    """
    try:
        # Opening a pipe would wait for someone to write to it.
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            opens = os.access(path, os.R_OK | os.X_OK)
            raise Unreadable(
                path, f"is a folder{', not a file' if opens else ' that cannot be opened'}"
            )
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(path, "is a pipe or a device: write its content to a file")
        with path.open("rb") as file:
            if path.suffix == ".gz":
                limit = max(MAX_RATIO * status.st_size, MAX_UNPACKED)
                unpacked = _Unpacked(file, path, math.inf if in_pieces else limit)
                yield io.BufferedReader(unpacked, 1 << 20)
            else:
                yield file
    except FileNotFoundError:
        raise Unreadable(
            path, "is a link to a file that is not there" if path.is_symlink() else "is not there"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise Unreadable(path, "is cut off or damaged: copy it again") from None
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {error.strerror}") from None


class _Unpacked(io.RawIOBase):
    """A packed file's content, up to a limit (bytes)."""

    def __init__(self, file: BinaryIO, path: Path, limit: float):
        self._content = gzip.GzipFile(fileobj=file)
        self._path = path
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        count = self._content.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise Unreadable(
                self._path, f"unpacks to more than {MAX_RATIO} times its size: unpack it first"
            )
        return count
