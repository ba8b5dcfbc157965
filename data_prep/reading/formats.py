"""Files with many crystals, as streams of items: folders, JSON lines, JSON, tables of CIFs.

Items are made cheaply: files are not opened and lines not decoded here, so that the expensive part
can be done by many processes (``data_prep.reading.sources.read_item``).
"""

import csv
import io
import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pymatgen.core import Structure

from data_prep.errors import BadCrystal, UserError
from data_prep.properties import UNNAMED_COLUMN
from data_prep.reading.folders import structure_files, structure_id, structure_path
from data_prep.reading.opening import Unreadable, opened
from data_prep.reading.structures import MAX_BYTES, Atoms
from data_prep.reading.texts import parse_json

_ID_KEYS = ("id", "material_id", "task_id", "mp_id", "jid")


@dataclass(frozen=True)
class Record:
    """One crystal as its source gives it."""

    id: str
    structure: Path | str | Mapping[str, Any] | Structure | Atoms | None
    """A file, a text (`structure_from_text`), a dictionary, or a structure of pymatgen or ASE."""
    targets: Mapping[str, Any] = field(default_factory=dict)
    """Raw values by column, of any type."""
    split: str | None = None
    """The subset the source assigns the crystal to."""


class JsonLine(NamedTuple):
    """A line of a JSON lines file, not yet decoded."""

    number: int
    text: bytes | None
    """None: the line is too long to be a crystal."""


def read_folder(folder: Path) -> list[Record]:
    """A folder as CGCNN lays it out: ``id_prop.csv`` with id and values, and ``ID.cif`` files.

    The file of a crystal may also lie in a folder within: as ``FOLDER/ID.cif``, or ``ID/POSCAR``.
    Without a header line the values are called ``target``, or ``target_1``, ``target_2``, …
    """
    if not any(folder.iterdir()):
        raise UserError(f"{folder} is empty: put structure files and id_prop.csv there")
    table = folder / "id_prop.csv"
    if not table.exists():
        raise UserError(f"{folder} has no id_prop.csv: write one line 'id,value' for each crystal")
    files: dict[str, Path] = {}
    for file in structure_files(folder):
        for id_of in (structure_id, structure_path):
            files.setdefault(id_of(file.relative_to(folder)), file)
    csv.field_size_limit(sys.maxsize)  # a longer id is the fault of one crystal
    with table.open(newline="", encoding="utf-8-sig") as lines:
        try:
            rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if any(row)]
        except (csv.Error, UnicodeDecodeError):
            raise UserError(f"{table} is no comma-separated table") from None
    if not rows:
        raise UserError(f"{table} is empty: write one line 'id,value' for each crystal")
    width = max(len(row) for row in rows)
    if width < 2:
        raise UserError(f"{table} has a single column: write 'id,value' on each line")
    if _name_in(files, rows[0][0]) not in files and not any(map(_is_number, rows[0][1:])):
        names = rows.pop(0)[1:]
    elif width == 2:
        names = [UNNAMED_COLUMN]
    else:
        names = [f"{UNNAMED_COLUMN}_{column}" for column in range(1, width)]
    if not rows:
        raise UserError(f"{table} has a header line and no crystals")
    records = []
    for row in rows:
        name = _name_in(files, row[0])
        file = files.get(name, folder / f"{name}.cif")
        records.append(Record(name, file, dict(zip(names, row[1:], strict=False))))
    return records


def _name_in(files: Mapping[str, Path], cell: str) -> str:
    """The id that a table gives, with or without the suffix of a file."""
    names = [id_of(Path(cell)) for id_of in (structure_path, structure_id)] if cell else [""]
    return names[0] if names[0] in files else names[-1]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@contextmanager
def _opened(path: Path, *, in_pieces: bool = False) -> Iterator[BinaryIO]:
    """As `opened`; what goes wrong while the bytes are read is a UserError."""
    try:
        with opened(path, in_pieces=in_pieces) as file:
            yield file
    except Unreadable as error:
        raise UserError(f"{path} {error}") from None


def read_json_lines(path: Path) -> Iterator[JsonLine]:
    """The lines that are not empty.

    Raises:
        UserError: the file cannot be read.
    """
    with _opened(path, in_pieces=True) as file:
        for number in itertools.count(1):
            text = file.readline(MAX_BYTES)
            if not text:
                return
            if len(text) == MAX_BYTES:
                while text and not text.endswith(b"\n"):
                    text = file.readline(MAX_BYTES)
                yield JsonLine(number, None)
            elif text.strip():
                yield JsonLine(number, text)


def read_table(path: Path) -> Iterator[Record]:
    """A row a crystal: an id, a structure (see `structure_from_text`), targets by column.

    Raises:
        UserError: it cannot be read, or has no column of structures.
    """
    csv.field_size_limit(sys.maxsize)  # a CIF is longer than a cell usually is
    try:
        with _opened(path) as file:
            rows = csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
            if not {"cif", "structure"} & set(rows.fieldnames or ()):
                raise UserError(f"{path} has no column 'cif' or 'structure'")
            for number, row in enumerate(rows, 2):
                own = {key: value for key, value in row.items() if key and value}
                yield _record_of_row(own, f"row {number}")
    except (csv.Error, UnicodeDecodeError):
        raise UserError(f"{path} is no comma-separated table") from None


def decode_line(line: JsonLine) -> Record:
    """The crystal of a line.

    Raises:
        BadCrystal: it is no JSON object.
    """
    if line.text is None:
        raise BadCrystal(f"line {line.number} is longer than {MAX_BYTES // 1_000_000} MB")
    try:
        row = parse_json(line.text)
    except ValueError as error:
        raise BadCrystal(f"line {line.number} {error}") from None
    if not isinstance(row, dict):
        raise BadCrystal(f"line {line.number} is no JSON object")
    return _record_of_row(row, f"line {line.number}")


def read_json(path: Path) -> list[Record]:
    """A list of structures, of rows with a structure (JARVIS' too), or a Matbench table.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    try:
        with _opened(path) as file:
            content = parse_json(file.read())
    except ValueError as error:
        raise UserError(f"{path} {error} (JSON lines end in .jsonl)") from None
    rows: list[Any]
    if isinstance(content, dict) and {"index", "columns", "data"} <= content.keys():
        rows = [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
        names = [str(index) for index in content["index"]]
    elif isinstance(content, dict) and "lattice" in content:
        rows, names = [content], [path.name.removesuffix(".gz").removesuffix(".json")]
    elif isinstance(content, dict):
        rows, names = list(content.values()), list(content)
    elif isinstance(content, list):
        rows, names = content, [str(index) for index in range(len(content))]
    else:
        rows, names = [], []
    if len(rows) != len(names) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} is no list of structures, nor of rows with a structure")
    return [_record_of_row(row, name) for row, name in zip(rows, names, strict=True)]


def _record_of_row(row: Mapping[str, Any], name: str) -> Record:
    """A record of a JSON object: a structure, or a row that has one under some key.

    Targets stand under ``targets``, or are the remaining plain values of the row.
    """
    if "lattice" in row and "sites" in row:
        return Record(name, row)
    identifier = next((str(row[key]) for key in _ID_KEYS if row.get(key) is not None), name)
    content = row.get("structure", row.get("cif", row.get("atoms")))
    if not isinstance(content, str | dict):
        content = None
    targets = row.get("targets")
    if not isinstance(targets, Mapping):
        others = {"structure", "cif", "split", "targets", *_ID_KEYS}
        targets = {
            key: value
            for key, value in row.items()
            if key not in others and not isinstance(value, list | dict)
        }
    split = row.get("split")
    return Record(identifier, content, targets, split if isinstance(split, str) else None)
