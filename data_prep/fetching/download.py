"""One file from the network, by pooch: whole, checked, or not at all."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pooch
import requests

from data_prep.errors import UserError, one_line

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
    part.unlink(missing_ok=True)  # of a download that was killed: pooch would take it as it is
    pooch.get_logger().setLevel(logging.ERROR)
    downloader = pooch.HTTPDownloader(
        progressbar=not quiet and sys.stderr.isatty(),
        timeout=TIMEOUT,
        # As it is stored: the size and the hash are those of the file.
        headers={"Accept-Encoding": "identity"},
    )
    try:
        pooch.retrieve(url, sha256, part.name, part.absolute().parent, downloader=downloader)
        if not is_whole(part):
            raise UserError(f"{url} gave something else than the file: try again later")
        part.replace(path)
    except requests.HTTPError as error:
        raise UserError(f"{url} answers {one_line(error)}: try again later") from None
    except requests.RequestException as error:
        raise UserError(f"{url} cannot be downloaded ({type(error).__name__}): try again") from None
    except ValueError:  # pooch's word for another hash
        raise UserError(
            f"{url} is not the file it should be (another SHA-256): try again"
        ) from None
    finally:
        part.unlink(missing_ok=True)
