"""Where crystals come from: files and folders of any kind, or structures in memory.

A source is a stream of items that are read one by one (``read_item``), by many processes.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from pymatgen.core import IStructure, Structure

from data_prep.errors import BadCrystal, UserError, one_line, printable
from data_prep.files import check_exists
from data_prep.reading.dictionaries import structure_from_dict
from data_prep.reading.folders import (
    JSON_LINES_SUFFIXES,
    is_folder,
    structure_files,
    structure_ids,
)
from data_prep.reading.formats import (
    JsonLine,
    Record,
    decode_line,
    read_folder,
    read_json,
    read_json_lines,
    read_table,
)
from data_prep.reading.structures import (
    Atoms,
    crystals_in,
    read_structure,
    structure_from_atoms,
)
from data_prep.reading.texts import structure_from_text

JSON_SUFFIXES = (".json", ".json.gz")
TABLE_SUFFIXES = (".csv", ".csv.gz")

MAX_ID = 500
"""Characters of an id; all ids of a dataset take as much room as its longest."""

StructureLike: TypeAlias = Structure | Atoms | Mapping[str, Any] | Path | str
"""A structure of pymatgen or ASE, a pymatgen dictionary, or the path of files with structures."""


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
            structures or of rows with a structure; a Matbench ``json.gz``; a CSV table with a
            column of CIFs.

    Raises:
        UserError: no such path, nothing in it, or a format that is none of these.
    """
    check_exists(path)
    if is_folder(path):
        return _listed(read_folder(path))
    if path.name.endswith(JSON_LINES_SUFFIXES):
        count = sum(1 for _ in read_json_lines(path))
        source = Source(lambda: read_json_lines(path), count)
    elif path.name.endswith(JSON_SUFFIXES):
        source = _listed(read_json(path))
    elif path.name.endswith(TABLE_SUFFIXES):
        source = Source(lambda: read_table(path), sum(1 for _ in read_table(path)))
    else:
        raise UserError(
            f"{path} is no source of crystals: give a folder with id_prop.csv, "
            "a .jsonl, .json or .csv file (.gz too)"
        )
    if not source.count:
        raise UserError(f"{path} holds no crystals")
    return source


SAME_VOLUME = 0.02
"""Columns whose volumes an atom differ by a larger share do not hold the same crystal."""


def read_item(item: Item) -> tuple[Record, Structure | BadCrystal]:
    """Decode an item and read its structure, or the reason why it has none."""
    record = Record("", None)
    try:
        record = decode_line(item) if isinstance(item, JsonLine) else item
        if len(record.id) > MAX_ID:
            raise BadCrystal(f"the id has {len(record.id):,} characters: give it {MAX_ID} at most")
        if record.id != printable(record.id):
            raise BadCrystal("the id has characters that cannot be printed: give it another one")
        structure = _structure_of(record)
        for again in record.again:
            _check_alike(structure, replace(record, structure=again))
        return record, structure
    except BadCrystal as error:
        fault = error
    except Exception as error:  # whatever it is, the other crystals go on
        fault = BadCrystal(f"unreadable: {type(error).__name__}: {one_line(error)}")
    if isinstance(item, JsonLine) and not record.id:
        record = Record(f"line {item.number}", None)
    name = record.id if len(record.id) <= MAX_ID else f"{record.id[:40]}…"
    return replace(record, id=printable(name)), fault


def is_text(structure: str) -> bool:
    """Whether a text is that of a CIF or POSCAR, and not the name of a file."""
    return "\n" in structure


def open_structures(
    structures: Iterable[StructureLike], names: Sequence[str] | None = None
) -> Source:
    """The crystals of files and folders, targets or not: ``id_prop.csv`` is not needed.

    Of a folder the CIF and POSCAR files are taken, by name, and those of the folders within it; of
    a CIF with several crystals each, as ``FILE:BLOCK``. A structure that is in memory already, or
    the text of one, is called by ``names``, or its position among ``structures``: 0, 1, …

    Raises:
        UserError: a path that does not exist, or a folder without structure files.
    """
    # All paths are looked at before the first crystal comes, so that a slip shows at once.
    parts = [
        _located(Path(structure))
        if isinstance(structure, Path) or (isinstance(structure, str) and not is_text(structure))
        else _listed([Record(str(position) if names is None else names[position], structure)])
        for position, structure in enumerate(structures)
    ]
    ids = iter(structure_ids([file for part in parts if isinstance(part, list) for file in part]))
    sources = [
        _of_files([next(ids) for _ in part], part) if isinstance(part, list) else part
        for part in parts
    ]
    return Source(
        lambda: itertools.chain.from_iterable(source.items() for source in sources),
        sum(source.count for source in sources),
    )


def read_one(structure: StructureLike) -> tuple[str, Structure]:
    """Id and structure of what has to be one crystal.

    Raises:
        UserError: a path of several.
        BadCrystal: it cannot be read.
    """
    items = list(open_structures([structure]).items())
    if len(items) != 1:
        raise UserError(f"{structure} holds {len(items)} structures: give one at a time")
    record, found = read_item(items[0])
    if isinstance(found, BadCrystal):
        raise found
    return record.id, found


def _listed(records: Sequence[Record]) -> Source:
    return Source(lambda: iter(records), len(records))


def _located(path: Path) -> Source | list[Path]:
    """A file of many crystals as a source; otherwise the structure files there."""
    check_exists(path)
    lists = JSON_LINES_SUFFIXES + JSON_SUFFIXES + TABLE_SUFFIXES
    if not is_folder(path):
        return open_source(path) if path.name.endswith(lists) else [path]
    files = structure_files(path)
    if not files:
        raise UserError(
            f"{path} holds no structure files (.cif, .vasp, .poscar, POSCAR*), "
            "nor do the folders in it"
        )
    return files


def _of_files(names: Sequence[str], files: Sequence[Path]) -> Source:
    counts = [len(crystals_in(*pair)) for pair in zip(names, files, strict=True)]
    return Source(
        lambda: itertools.chain.from_iterable(map(_records_in, names, files, counts)), sum(counts)
    )


def _records_in(name: str, file: Path, count: int) -> list[Record]:
    if count == 1:  # no need to look into it again
        return [Record(name, file)]
    return [Record(own_name, content) for own_name, content in crystals_in(name, file)]


def _structure_of(record: Record) -> Structure:
    content = record.structure
    if isinstance(content, BadCrystal):
        raise content
    if isinstance(content, Path):
        return read_structure(content)
    if isinstance(content, str):
        return structure_from_text(content)
    if isinstance(content, Mapping):
        return structure_from_dict(content)
    if isinstance(content, IStructure):
        return content
    if isinstance(content, Atoms):
        return structure_from_atoms(content)
    raise BadCrystal(
        "no structure" if content is None else f"no structure, but a {type(content).__name__}"
    )


def _check_alike(structure: Structure, again: Record) -> None:
    """Make sure that another column is of the same crystal, in whatever cell; if it can be read."""
    try:
        other = _structure_of(again)
    except Exception:  # a file's name, say, or the number of atoms
        return
    formulas = [own.composition.reduced_formula for own in (structure, other)]
    if formulas[0] != formulas[1]:
        raise BadCrystal(f"its columns hold two crystals, {' and '.join(formulas)}: keep one")
    sizes = [own.volume / own.num_sites for own in (structure, other)]
    if abs(sizes[0] - sizes[1]) > SAME_VOLUME * max(sizes):
        told = " and ".join(f"{size:.1f}" for size in sizes)
        raise BadCrystal(f"its columns hold two crystals, of {told} Å³ an atom: keep one")
