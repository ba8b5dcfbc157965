"""Texts that hold a structure, as tables and JSON have them, and JSON itself."""

import json
import re
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from data_prep.errors import BadCrystal
from data_prep.reading.cif import structure_from_cif
from data_prep.reading.dictionaries import structure_from_dict
from data_prep.reading.folders import is_structure_file
from data_prep.reading.poscar import is_poscar, structure_from_poscar

_CIF_WORDS = re.compile("data_|_cell_length_a|_atom_site", re.IGNORECASE)
"""A text with none of these is no CIF."""

_PRINTED = ("Full Formula (", "Structure Summary", "Structure(", "Atoms(")
"""How the structures of pymatgen and ASE begin where Python prints them."""


def structure_from_text(text: str) -> Structure:
    """The structure of a CIF, a POSCAR, or a dictionary as JSON, whichever the text is.

    Raises:
        BadCrystal: none of these, or no structure.
    """
    start = text.lstrip()
    if start.startswith("{"):
        return structure_from_dict(_parse_dict(start))
    if "\n" not in text.strip():  # line ends as Python prints them, which a CIF cannot do without
        text = text.replace("\\r\\n", "\n").replace("\\n", "\n")
        start = text.lstrip()
    if start.startswith(_PRINTED):
        raise BadCrystal(
            "the structure as Python prints it, which is no format: write structure.to(fmt='cif')"
        )
    for poscar in (text, f"\n{text}"):  # its first line may be blank, and lost in a table
        if is_poscar(poscar):
            return structure_from_poscar(poscar)
    if "\n" not in start.strip() and is_structure_file(Path(start.strip())):
        raise BadCrystal(
            f"{start.strip()[:100]!r} is the name of a file, not a structure: give a folder of the "
            "files with id_prop.csv, or put their text in the table"
        )
    if start and not _CIF_WORDS.search(text):
        raise BadCrystal("the text is no CIF, no POSCAR and no dictionary as JSON")
    return structure_from_cif(text)


def _parse_dict(text: str) -> dict[str, Any]:
    try:
        return parse_json(text)
    except ValueError as error:
        if text[1:].lstrip().startswith("'"):
            raise BadCrystal(
                "a Python dictionary as text, not JSON: write json.dumps(structure.as_dict())"
            ) from None
        raise BadCrystal(f"the structure {error}") from None


def parse_json(text: str | bytes) -> Any:
    """The content of a JSON text.

    Raises:
        ValueError: it is none; the message is the end of a sentence that begins with its name.
    """
    try:
        return json.loads(text, object_pairs_hook=_with_single_keys)
    except _Twice as key:
        raise ValueError(f"has {key} twice in one object") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        raise ValueError("is not valid JSON") from None


class _Twice(Exception):
    """A key that an object has twice."""


def _with_single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary of what one object of a JSON text holds, nothing of it lost."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(repr(next(name for name in names if names.count(name) > 1)))
    return content
