"""Files that are written whole or not at all."""

import gzip
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


@contextmanager
def replacing(path: Path) -> Iterator[io.BufferedIOBase]:
    """A file to write to, packed if it ends in `.gz`; it gets its name if all goes well."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            if path.suffix == ".gz":
                # Without the time of day in the header the same data give the same bytes.
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    yield packed
            else:
                yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
