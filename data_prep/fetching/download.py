"""One file from the network: whole, checked, or not at all."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

from data_prep.errors import UserError
from data_prep.progress import track

BLOCK = 1_000_000
TIMEOUT = 60.0
"""Seconds without a byte after which a connection is given up."""


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    is_whole: Callable[[Path], bool] = lambda _: True,
    quiet: bool = False,
) -> None:
    """Download to a temporary name, check, and give the file its name.

    Args:
        url: where the file is.
        path: what it is to be called.
        sha256: the hash it must have.
        is_whole: another check of the finished file.
        quiet: show no progress.

    Raises:
        UserError: no network, no such file, or not the right one.
    """
    part = path.with_name(f".{path.name}.part")
    digest = hashlib.sha256()
    try:
        # As it is stored: the size and the hash are those of the file.
        answer = requests.get(
            url, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
        )
        with answer as response, part.open("wb") as file:
            if response.status_code != 200:
                raise UserError(
                    f"{url} answers {response.status_code} {response.reason}: try again later"
                )
            size = int(response.headers.get("content-length", 0))
            blocks: Iterator[bytes] = response.iter_content(BLOCK)
            for block in track(blocks, size // BLOCK + 1, "Downloading (MB)", quiet):
                digest.update(block)
                file.write(block)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise UserError(f"{url} is not the file it should be (another SHA-256): try again")
        if not is_whole(part):
            raise UserError(f"{url} gave something else than the file: try again later")
        part.replace(path)
    except requests.RequestException as error:
        raise UserError(f"{url} cannot be downloaded ({type(error).__name__}): try again") from None
    finally:
        part.unlink(missing_ok=True)
