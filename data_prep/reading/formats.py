"""Files with many crystals, as streams of items: folders, JSON lines, JSON, tables of CIFs.

Items are made cheaply: files are not opened and lines not decoded here, so that the expensive part
can be done by many processes (``data_prep.reading.sources.read_item``).
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pymatgen.core import Structure

from data_prep.errors import BadCrystal, UserError, one_line
from data_prep.properties import UNNAMED_COLUMN
from data_prep.reading.csv_rows import column_names, csv_rows, wrong_width
from data_prep.reading.folders import structure_files, structure_id, structure_path
from data_prep.reading.opening import opened
from data_prep.reading.structures import MAX_BYTES, Atoms
from data_prep.reading.texts import parse_json

_ID_KEYS = ("id", "material_id", "task_id", "mp_id", "jid")
_STRUCTURE_KEYS = ("structure", "cif", "atoms")
_CONTENT_KEYS = {"lattice", *_STRUCTURE_KEYS}
"""A JSON object with one of these is a structure, or a row with one."""


@dataclass(frozen=True, slots=True)
class Record:
    """One crystal as its source gives it."""

    id: str
    structure: Path | str | Mapping[str, Any] | Structure | Atoms | BadCrystal | None
    """A file, a text (`structure_from_text`), a dictionary, a structure of pymatgen or ASE, or the
    reason why there is none of these."""
    targets: Mapping[str, Any] = field(default_factory=dict)
    """Raw values by column, of any type."""
    split: str | None = None
    """The subset the source assigns the crystal to."""
    again: tuple[str | Mapping[str, Any], ...] = ()
    """What else the source gives as the structure; it has to be of the same crystal."""


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
    rows = list(csv_rows(table))
    if not rows:
        raise UserError(f"{table} is empty: write one line 'id,value' for each crystal")
    width = max(len(row) for row in rows)
    if width < 2:
        raise UserError(f"{table} has a single column: write 'id,value' on each line")
    first = rows[0][1:]
    is_header = all(first) and not any(map(_is_number, first))
    if is_header and _name_in(files, rows[0][0]) not in files:
        names = column_names(rows.pop(0), table)[1:]
    elif width == 2:
        names = [UNNAMED_COLUMN]
    else:
        names = [f"{UNNAMED_COLUMN}_{column}" for column in range(1, width)]
    if not rows:
        raise UserError(f"{table} has a header line and no crystals")
    records = []
    for row in rows:
        name = _name_in(files, row[0])
        path = files.get(name, folder / f"{name}.cif")
        structure = wrong_width(row, len(names) + 1) or path
        records.append(Record(name, structure, dict(zip(names, row[1:], strict=False))))
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


def read_json_lines(path: Path) -> Iterator[JsonLine]:
    """The lines that are not empty.

    Raises:
        UserError: the file cannot be read.
    """
    with opened(path, in_pieces=True) as file:
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
        UserError: it cannot be read, has no column of structures, or no rows.
    """
    rows = csv_rows(path)
    names = column_names(next(rows, []), path)
    if not names:
        raise UserError(f"{path} is empty")
    if not {"cif", "structure"} & set(names):
        raise UserError(
            f"{path} has no column 'cif' or 'structure' with the text of one; it has: "
            f"{one_line(', '.join(names))}"
        )
    number = 1
    for number, cells in enumerate(rows, 2):
        row = {name: cell for name, cell in zip(names, cells, strict=False) if name and cell}
        record = _record_of_row(row, f"row {number}")
        wrong = wrong_width(cells, len(names))
        yield replace(record, structure=wrong) if wrong else record
    if number == 1:
        raise UserError(f"{path} has a header line and no crystals")


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
        with opened(path) as file:
            content = parse_json(file.read())
    except ValueError as error:
        raise UserError(f"{path} {error} (JSON lines end in .jsonl)") from None
    records = json_records(content, path.name.removesuffix(".gz").removesuffix(".json"))
    if records is None:
        raise UserError(f"{path} is no list of structures, nor of rows with a structure")
    return records


def json_records(content: Any, name: str) -> list[Record] | None:
    """The crystals in the content of a JSON text; one without an id of its own gets the name.

    None if it is no list of structures, nor of rows with a structure.
    """
    rows: list[Any]
    if isinstance(content, dict) and {"index", "columns", "data"} <= content.keys():
        rows, names = _split_table(content)
    elif isinstance(content, dict) and _is_table_by_columns(content):
        names = list(next(iter(content.values())))
        rows = [{column: values[name] for column, values in content.items()} for name in names]
    elif isinstance(content, dict) and not _CONTENT_KEYS.isdisjoint(content):
        rows, names = [content], [name]
    elif isinstance(content, dict):
        rows, names = list(content.values()), list(content)
    elif isinstance(content, list):
        rows, names = content, [str(index) for index in range(len(content))]
    else:
        rows, names = [], []
    if len(rows) != len(names) or not all(isinstance(row, dict) for row in rows):
        return None
    return [_record_of_row(row, own) for row, own in zip(rows, names, strict=True)]


def _is_table_by_columns(content: Mapping[str, Any]) -> bool:
    """Whether it is a table as pandas writes it by default: of each column its rows by name."""
    columns = [*content.values()]
    if _CONTENT_KEYS.isdisjoint(content) or not all(isinstance(own, dict) for own in columns):
        return False
    has_rows = all(own.keys() == columns[0].keys() for own in columns)
    known = {"lattice", "sites", "lattice_mat"}  # one structure instead of a column of them
    return has_rows and all(known.isdisjoint(own) for own in columns)


def _split_table(content: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """Rows and names of a table as pandas writes it with ``orient="split"``; none if it is not."""
    index, columns, data = (content[key] for key in ("index", "columns", "data"))
    whole = all(isinstance(part, list) for part in (index, columns, data))
    if not whole or any(not isinstance(row, list) or len(row) != len(columns) for row in data):
        return [], ["damaged"]
    return [dict(zip(map(str, columns), row, strict=True)) for row in data], list(map(str, index))


def _record_of_row(row: Mapping[str, Any], name: str) -> Record:
    """A record of a JSON object: a structure, or a row that has one under some key.

    Targets stand under ``targets``, or are the remaining plain values of the row.
    """
    if "lattice" in row and "sites" in row:
        return Record(name, row)
    identifier = next((str(row[key]) for key in _ID_KEYS if row.get(key) is not None), name)
    given = [row[key] for key in _STRUCTURE_KEYS if isinstance(row.get(key), str | dict)]
    content, *again = [own for own in given if own] or given[:1] or [None]
    if content is None:
        reason = row.get("unusable")  # as `data_prep.reading.given` writes it
        content = BadCrystal(reason) if isinstance(reason, str) else None
    targets = row.get("targets")
    if not isinstance(targets, Mapping):
        others = {"structure", "cif", "split", "targets", *_ID_KEYS}
        targets = {
            key: value
            for key, value in row.items()
            if key not in others and not isinstance(value, list | dict)
        }
    split = row.get("split")
    known_split = split if isinstance(split, str) else None
    return Record(identifier, content, targets, known_split, tuple(again))
