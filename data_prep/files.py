"""Files and folders that are written whole or not at all, and the folder for what is kept."""

import contextlib
import errno
import glob
import gzip
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_prep.errors import UserError, printable

_TOKEN_BYTES = 4
_TOKEN = "[0-9a-f]" * 2 * _TOKEN_BYTES
"""What tells the names of unfinished files apart, as a pattern."""

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, as ``replacing``, but never packed."""
    with _whole(path) as file:
        file.write(text.encode())


@contextmanager
def replacing(path: Path) -> Iterator[io.BufferedIOBase]:
    """A file to write to, packed if it ends in `.gz`; it gets its name if all goes well.

    By then it is on the disk, so that neither a kill nor a power cut leaves half of it.

    Raises:
        OSError: it cannot be written; the error names `path`, and nothing is left behind.
    """
    with _whole(path) as file:
        if path.suffix == ".gz":
            # Without the time of day in the header the same data give the same bytes.
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                yield packed
        else:
            yield file


@contextmanager
def _whole(path: Path) -> Iterator[io.BufferedWriter]:
    temporary = _unfinished(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        # Those of a full disk name no file, and some that do name the temporary one.
        own = str(temporary) in (error.filename, error.filename2)
        if own or (error.filename is None and error.errno in _DISK_ERRORS):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder to write files to; it gets its name if all goes well, or is removed.

    Raises:
        OSError: it cannot be made, or `path` is taken.
    """
    temporary = _unfinished(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        temporary.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes have left of a file, or of a folder and the files in it.

    Only while no other process writes it.
    """
    beside = path.parent.glob(f".{glob.escape(path.name)}.{_TOKEN}.new")
    inside = path.glob(f".*.{_TOKEN}.new") if path.is_dir() else ()
    for left in [*beside, *inside]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def check_exists(path: Path) -> None:
    """Make sure that something is there, were it a link to nowhere, which its reader reports.

    Raises:
        UserError: nothing is.
    """
    if not os.path.lexists(path):
        raise UserError(f"{printable(str(path))} does not exist: check the path")


def kept_folder() -> Path | None:
    """Where datasets and compiled programs are kept: the environment variable GATGNN_CACHE, else
    ``~/.cache/gatgnn_jax``; None for a user without a home directory."""
    if chosen := os.environ.get("GATGNN_CACHE"):
        return Path(chosen)
    try:
        return Path.home() / ".cache" / "gatgnn_jax"
    except RuntimeError:
        return None


def _unfinished(path: Path) -> Path:
    """A name of its own beside ``path``: two that write the same file do not meet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}.new")


def _sync(path: Path) -> None:
    """Have a file or folder written to the disk; some file systems cannot do so with folders."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
