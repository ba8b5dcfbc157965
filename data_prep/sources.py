"""Where crystals come from: folders, JSON lines, pymatgen/monty JSON, Matbench files.

A source is read as a stream of items, cheaply: files are not opened and lines not decoded here,
so that the expensive part can be done by many processes (``read_item``).
"""

import csv
import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pymatgen.core import IStructure, Structure

from data_prep.errors import BadCrystal, UserError
from data_prep.properties import UNNAMED_COLUMN
from data_prep.structures import (
    Atoms,
    is_structure_file,
    read_structure,
    structure_from_atoms,
    structure_from_cif,
    structure_from_dict,
    structure_id,
)

JSON_LINES_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
JSON_SUFFIXES = (".json", ".json.gz")
_ID_KEYS = ("id", "material_id", "task_id", "mp_id")

StructureLike: TypeAlias = Structure | Atoms | Mapping[str, Any] | Path | str
"""A structure of pymatgen or ASE, a pymatgen dictionary, or the path of files with structures."""


@dataclass(frozen=True)
class Record:
    """One crystal as its source gives it."""

    id: str
    structure: Path | str | Mapping[str, Any] | Structure | Atoms | None
    """A file, the text of a CIF, a pymatgen dictionary, or a structure of pymatgen or ASE."""
    targets: Mapping[str, Any] = field(default_factory=dict)
    """Raw values by column, of any type."""
    split: str | None = None
    """The subset the source assigns the crystal to."""


class JsonLine(NamedTuple):
    """A line of a JSON lines file, not yet decoded."""

    number: int
    text: bytes


Item = Record | JsonLine


@dataclass(frozen=True)
class Source:
    """A stream of crystals of known length; ``items`` starts anew on every call."""

    items: Callable[[], Iterator[Item]]
    count: int


def open_source(path: Path) -> Source:
    """The crystals with targets at ``path``.

    Args:
        path: a folder with ``id_prop.csv`` and structure files; JSON lines; a JSON list of
            structures or of rows with a structure; a Matbench ``json.gz``.

    Raises:
        UserError: no such path, nothing in it, or a format that is none of these.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: check the path")
    if path.is_dir():
        records = _read_folder(path)
        return Source(lambda: iter(records), len(records))
    if path.name.endswith(JSON_LINES_SUFFIXES):
        count = sum(1 for _ in _read_json_lines(path))
        source = Source(lambda: _read_json_lines(path), count)
    elif path.name.endswith(JSON_SUFFIXES):
        records = _read_json(path)
        source = Source(lambda: iter(records), len(records))
    else:
        raise UserError(
            f"{path} is no source of crystals: give a folder with id_prop.csv, "
            "a .jsonl or a .json file (.gz too)"
        )
    if not source.count:
        raise UserError(f"{path} holds no crystals")
    return source


def read_item(item: Item) -> tuple[Record, Structure | BadCrystal]:
    """Decode an item and read its structure, or the reason why it has none."""
    record = Record("", None)
    try:
        record = _decode_line(item) if isinstance(item, JsonLine) else item
        return record, _structure_of(record)
    except BadCrystal as error:
        if isinstance(item, JsonLine) and not record.id:
            record = Record(f"line {item.number}", None)
        return record, error


def open_structures(structures: Iterable[StructureLike]) -> Source:
    """The crystals of files and folders, targets or not: ``id_prop.csv`` is not needed.

    Of a folder the CIF and POSCAR files are taken, by name. A structure that is in memory already
    is called by its position among ``structures``: 0, 1, …

    Raises:
        UserError: a path that does not exist, or a folder without structure files.
    """
    # All paths are looked at before the first crystal comes, so that a slip shows at once.
    sources = [
        _structures_at(Path(structure))
        if isinstance(structure, str | Path)
        else Source(partial(iter, [Record(str(position), structure)]), 1)
        for position, structure in enumerate(structures)
    ]
    return Source(
        lambda: itertools.chain.from_iterable(source.items() for source in sources),
        sum(source.count for source in sources),
    )


def iter_structures(paths: Iterable[StructureLike]) -> Iterator[tuple[str, Structure | BadCrystal]]:
    """Id and structure, or the reason why there is none, of every crystal in ``paths``.

    Raises:
        UserError: as ``open_structures``.
    """
    results = map(read_item, open_structures(paths).items())
    return ((record.id, structure) for record, structure in results)


def _structures_at(path: Path) -> Source:
    if not path.exists():
        raise UserError(f"{path} does not exist: check the path")
    if path.is_file() and path.name.endswith(JSON_LINES_SUFFIXES + JSON_SUFFIXES):
        return open_source(path)
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if is_structure_file(file))
    if not files:
        raise UserError(f"{path} holds no structure files (.cif, .vasp, .poscar, POSCAR*)")
    return Source(lambda: (Record(structure_id(file), file) for file in files), len(files))


def _structure_of(record: Record) -> Structure:
    content = record.structure
    if isinstance(content, Path):
        return read_structure(content)
    if isinstance(content, str):
        return structure_from_cif(content)
    if isinstance(content, Mapping):
        return structure_from_dict(content)
    if isinstance(content, IStructure):
        return content
    if isinstance(content, Atoms):
        return structure_from_atoms(content)
    raise BadCrystal("no structure")


def _read_folder(folder: Path) -> list[Record]:
    """A folder as CGCNN lays it out: ``id_prop.csv`` with id and values, and ``ID.cif`` files.

    Without a header line the values are called ``target``, or ``target_1``, ``target_2``, …
    """
    if not any(folder.iterdir()):
        raise UserError(f"{folder} is empty: put structure files and id_prop.csv there")
    table = folder / "id_prop.csv"
    if not table.exists():
        raise UserError(f"{folder} has no id_prop.csv: write one line 'id,value' for each crystal")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if is_structure_file(file):
            files.setdefault(structure_id(file), file)
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
    if structure_id(Path(rows[0][0])) not in files and not any(map(_is_number, rows[0][1:])):
        names = rows.pop(0)[1:]
    elif width == 2:
        names = [UNNAMED_COLUMN]
    else:
        names = [f"{UNNAMED_COLUMN}_{column}" for column in range(1, width)]
    if not rows:
        raise UserError(f"{table} has a header line and no crystals")
    records = []
    for row in rows:
        name = structure_id(Path(row[0])) if row[0] else ""
        file = files.get(name, folder / f"{name}.cif")
        records.append(Record(name, file, dict(zip(names, row[1:], strict=False))))
    return records


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _open(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _read_json_lines(path: Path) -> Iterator[JsonLine]:
    try:
        with _open(path) as lines:
            for number, text in enumerate(lines, 1):
                if text.strip():
                    yield JsonLine(number, text)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path} is cut off or damaged: copy it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _decode_line(line: JsonLine) -> Record:
    try:
        row = json.loads(line.text)
    except ValueError:
        raise BadCrystal(f"line {line.number} is not valid JSON") from None
    if not isinstance(row, dict):
        raise BadCrystal(f"line {line.number} is no JSON object")
    return _record_of_row(row, f"line {line.number}")


def _read_json(path: Path) -> list[Record]:
    try:
        with _open(path) as file:
            content = json.load(file)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path} is cut off or damaged: copy it again") from None
    except ValueError:
        raise UserError(f"{path} is not valid JSON (JSON lines end in .jsonl)") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
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
    content = row.get("structure", row.get("cif"))
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
