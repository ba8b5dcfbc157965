"""Crystals of JARVIS, in the format of jarvis-tools: a JSON list of rows, zipped or not.

A row has `jid`, `atoms` and a column for each property, with the text "na" where it is missing.
The list can take gigabytes of memory, so its rows are read one at a time.
"""

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from data_prep.columns import parse_number
from data_prep.errors import UserError
from data_prep.fetching.download import download
from data_prep.fetching.growing_lines import json_line
from data_prep.files import replacing
from data_prep.progress import track
from data_prep.properties import resolve_property

COLUMNS = {
    "formation_energy": "formation_energy_peratom",
    "absolute_energy": "optb88vdw_total_energy",
    "band_gap": "optb88vdw_bandgap",
    "poisson_ratio": "poisson",
    "bulk_modulus": "bulk_modulus_kv",
    "shear_modulus": "shear_modulus_gv",
}
"""JARVIS' columns of our properties: OptB88vdW, in eV/atom, eV and GPa."""

_VOIGT = ("bulk_modulus", "shear_modulus")
"""Voigt's averages, while our moduli are usually those of Voigt, Reuss and Hill."""

_OURS = {column: name for name, column in COLUMNS.items() if name not in _VOIGT}

_BLOCK = 1_000_000
_LONGEST_ROW = 64_000_000
_BETWEEN = re.compile(r"[\s,]*")


def convert(
    path: Path, names: Sequence[str], out: Path, *, limit: int | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Write the crystals that have any of the properties to `out`, as JSON lines.

    Columns that are the same quantity as one of our properties get our name. The moduli do so
    only if they are asked for by it, and keep JARVIS' names if they are asked for by these.

    Returns:
        What was taken, for `OUT.source.json`.

    Raises:
        UserError: no such file or property, or a file of another format.
    """
    columns: dict[str, str] = {}
    seen: set[str] = set()
    rows = 0
    with replacing(out) as file:
        for row in read_rows(path, quiet=quiet):
            columns = columns or _columns(row, names)
            rows += 1
            name = str(row.get("jid", row.get("id")))
            values = {ours: row.get(column) for ours, column in columns.items()}
            targets = {ours: value for ours, value in values.items() if not _is_missing(value)}
            if not targets or name in seen:
                continue
            seen.add(name)
            crystal = {"id": name, "structure": row["atoms"], "targets": targets}
            file.write(json_line(crystal).encode())
            if len(seen) == limit:
                break
        if not seen:
            raise UserError(f"{path}: none of {rows} crystals has {' or '.join(names)}")
    return {
        "source": "JARVIS",
        "file": path.name,
        "fields": columns,
        "crystals": len(seen),
        "rows_read": rows,
        "reference": "K. Choudhary et al., npj Computational Materials 6, 173 (2020), "
        "https://doi.org/10.1038/s41524-020-00440-1",
    }


def read_rows(path: Path, *, quiet: bool = True) -> Iterator[Mapping[str, Any]]:
    """The rows of a `.json`, or of a `.zip` with one.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    try:
        with ExitStack() as closing:
            file: Any
            if path.suffix == ".zip":
                archive = closing.enter_context(zipfile.ZipFile(path))
                members = [m for m in archive.infolist() if m.filename.endswith(".json")]
                if len(members) != 1:
                    raise UserError(f"{path} should hold one .json file, and has {len(members)}")
                file, size = closing.enter_context(archive.open(members[0])), members[0].file_size
            else:
                file, size = closing.enter_context(path.open("rb")), path.stat().st_size
            text = io.TextIOWrapper(file, encoding="utf-8")
            blocks = iter(lambda: text.read(_BLOCK), "")
            for row in _objects(track(blocks, size // _BLOCK + 1, "Reading (MB)", quiet)):
                if not isinstance(row, dict) or not isinstance(row.get("atoms"), dict):
                    raise UserError(f"{path} is no list of JARVIS' rows with 'jid' and 'atoms'")
                yield row
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile):
        raise UserError(f"{path} is damaged, or no JSON list: download it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def dataset_file(name: str, folder: Path, *, quiet: bool = False) -> Path:
    """The file of a dataset that jarvis-tools knows; it is downloaded unless it is there.

    Raises:
        UserError: no such dataset, no network, or jarvis-tools is not installed.
    """
    try:
        known = import_module("jarvis.db.figshare").get_db_info()
    except ImportError as error:
        raise UserError(
            f"{name} is no file; to download a dataset of that name, pip install jarvis-tools "
            f"({error}),\nor get the file from https://jarvis.nist.gov and give its path"
        ) from None
    if name not in known:
        raise UserError(f"{name} is neither a file nor one of JARVIS' datasets: {', '.join(known)}")
    url, file = known[name][:2]
    path = folder / f"{file}.zip"
    if not path.exists():
        download(url, path, is_whole=zipfile.is_zipfile, quiet=quiet)
    return path


def _columns(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Our name -> JARVIS' column of every property asked for, by the columns of a row."""
    available = [
        column
        for column, value in row.items()
        if column not in ("jid", "id", "atoms")
        and not isinstance(value, list | dict)
        and parse_number(value) is not None
    ]
    known = [name for name, column in COLUMNS.items() if column in available]
    found = {}
    for name in names:
        wanted = resolve_property(name, [*available, *known])
        column = wanted.column if wanted.column in available else COLUMNS[wanted.column]
        # Training finds out from the band gap what is a metal.
        ours = "band_gap" if wanted.transform == "is_zero" else wanted.name
        found[_OURS.get(wanted.column, ours)] = column
    return found


def _is_missing(value: Any) -> bool:
    number = parse_number(value)
    return number is not None and number != number


def _objects(blocks: Iterable[str]) -> Iterator[Any]:
    """The items of a JSON list that comes in pieces.

    Raises:
        ValueError: it is no list, or damaged.
    """
    decoder = json.JSONDecoder()
    text, begun = "", False
    for block in blocks:
        text += block
        if not begun:
            text = text.lstrip()
            if text[:1] not in ("[", ""):
                raise ValueError("no list")
            begun, text = bool(text), text[1:]
        position = 0
        while (match := _BETWEEN.match(text, position)) and text[match.end() : match.end() + 1]:
            position = match.end()
            if text[position] == "]":
                return
            try:
                item, position = decoder.raw_decode(text, position)
            except ValueError:
                break  # the rest of it comes with the next piece
            yield item
        text = text[position:]
        if len(text) > _LONGEST_ROW:
            raise ValueError("damaged")
    raise ValueError("cut off")
