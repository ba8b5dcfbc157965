"""One writer at a time for a run or a table, and a full disk explained."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data_prep.errors import UserError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

PATIENCE = 0.3
"""Seconds to wait for a process that is just about to end."""


@contextmanager
def one_writer(path: Path, again: str = "give the same command again") -> Iterator[None]:
    """Keep other processes from writing to a folder or a table while this lasts.

    The lock is the operating system's, on a hidden file in the folder, or beside the table (one for
    all tables of that stem, as the files beside them share it). It goes with its process, however
    that ends.

    Args:
        path: a folder that exists, or a table in one that exists.
        again: what to do once a full disk has space again.

    Raises:
        UserError: somebody else works there, nothing can be written, or the disk is full.
    """
    file = path / ".lock" if path.is_dir() else path.with_name(f".{path.stem}.lock")
    # In a file of its own: whoever tries the lock may empty it.
    holder = file.with_name(f"{file.name}.holder")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=PATIENCE / 6)
    except Timeout:
        raise UserError(
            f"{path} is being written by {_holder(holder)}: wait for it, or choose another place"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot write to {file.parent}: {error.strerror}; choose another place"
        ) from None
    try:
        with suppress(OSError):  # it is only for the message
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UserError(
            f"cannot write {path}: {error.strerror}\nfree some space, then {again}"
        ) from None
    finally:
        with suppress(OSError):  # before the release: afterwards it may be another's
            holder.unlink(missing_ok=True)
            file.unlink(missing_ok=True)
        lock.release()


def _holder(file: Path) -> str:
    try:
        return file.read_text() or "another process"
    except OSError:
        return "another process"
