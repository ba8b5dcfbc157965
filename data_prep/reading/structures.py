"""One crystal structure from a file, a text or a dictionary, or the reason why there is none."""

from collections import Counter
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from pymatgen.core import Structure

from data_prep.errors import BadCrystal, one_line
from data_prep.reading.cif import structure_from_cif
from data_prep.reading.cif_blocks import crystal_blocks, decode
from data_prep.reading.folders import is_cif, is_structure_file
from data_prep.reading.opening import Unreadable, opened
from data_prep.reading.poscar import structure_from_poscar

MAX_BYTES = 64_000_000
"""A larger structure file, unpacked, is taken for a mistake: it would have a million atoms."""


@runtime_checkable
class Atoms(Protocol):
    """What is needed of an ``ase.Atoms``; ASE itself is not."""

    info: dict[str, Any]

    def get_cell(self) -> Any:
        """Cell vectors, one a row [3, 3] (Å)."""

    def get_pbc(self) -> Any:
        """Whether the cell repeats along each vector, bool [3]."""

    def get_atomic_numbers(self) -> Any:
        """Atomic numbers [n]."""

    def get_positions(self) -> Any:
        """Cartesian positions [n, 3] (Å)."""


def read_structure(path: Path) -> Structure:
    """The structure in a CIF or POSCAR file, ``.gz`` or plain.

    Raises:
        BadCrystal: the file cannot be read, or holds no structure, or several.
    """
    text = read_text(path)
    if is_cif(path):
        return structure_from_cif(text)
    if is_structure_file(path):
        return structure_from_poscar(text)
    raise BadCrystal(
        "neither a CIF (.cif) nor a POSCAR (.vasp, .poscar, POSCAR*) by its name, nor a list of "
        "structures (.jsonl, .json, .csv); unpack an archive, and what ASE reads "
        "(ase.io.read(FILE, ':')) can be predicted from Python"
    )


def read_text(path: Path) -> str:
    """The text of a structure file, ``.gz`` or plain.

    Raises:
        BadCrystal: it cannot be read, is empty, or larger than any structure.
    """
    try:
        with opened(path, in_pieces=True) as file:
            content = file.read(MAX_BYTES + 1)
    except Unreadable as error:
        raise BadCrystal(f"no structure file: {path.name} {error.reason}") from None
    if len(content) > MAX_BYTES:
        raise BadCrystal(f"the file is larger than {MAX_BYTES // 1_000_000} MB: is it a structure?")
    text = decode(content)
    if not text.strip():
        running = path.name.removesuffix(".gz") == "CONTCAR"
        raise BadCrystal("the file is empty" + " (is the calculation still running?)" * running)
    return text


def crystals_in(name: str, path: Path) -> list[tuple[str, Path | str]]:
    """Id and content of every crystal in a structure file: the file, or as `texts_in`."""
    try:
        texts = texts_in(name, read_text(path)) if is_cif(path) else []
    except BadCrystal:  # its reason is found again where the structure is read
        texts = []
    return [*texts] if len(texts) > 1 else [(name, path)]


def texts_in(name: str, text: str) -> list[tuple[str, str]]:
    """Id and text of every crystal in the text of a structure file: all of it, or of each block.

    The crystals of a CIF `name` with several are called ``name:BLOCK``, and those whose blocks have
    one name ``name:BLOCK:1``, ``name:BLOCK:2``, … by their place among the crystals of the file.
    """
    blocks = crystal_blocks(text)
    if len(blocks) < 2:
        return [(name, text)]
    count = Counter(block.name for block in blocks)
    return [
        (f"{name}:{block.name}" + f":{place}" * (count[block.name] > 1), block.text)
        for place, block in enumerate(blocks, 1)
    ]


def structure_from_atoms(atoms: Atoms) -> Structure:
    """The structure of an ``ase.Atoms``, atoms in its order.

    Raises:
        BadCrystal: a molecule or a slab, partial occupancy, or atoms that are no structure.
    """
    if not all(atoms.get_pbc()):
        raise BadCrystal("not periodic in all directions (a crystal of ASE has pbc=True)")
    # Where a CIF has partial occupancies, ASE keeps one element a site and notes them here.
    occupancy = atoms.info.get("occupancy")
    try:
        shares = [share for site in (occupancy or {}).values() for share in site.values()]
        is_whole = min(shares, default=1) >= 1
    except (AttributeError, TypeError):
        raise BadCrystal(
            f"the Atoms note an occupancy of {one_line(occupancy)}, which says nothing of the "
            "sites: take it out of their info"
        ) from None
    if not is_whole:
        raise BadCrystal("disordered: the Atoms note partial occupancies")
    if not all(atoms.get_atomic_numbers()):
        raise BadCrystal("an atom of no element (X): give its element, or take it out")
    try:
        return Structure(
            np.asarray(atoms.get_cell()),
            atoms.get_atomic_numbers(),
            atoms.get_positions(),
            coords_are_cartesian=True,
        )
    except Exception as error:
        raise BadCrystal(f"unreadable Atoms: {type(error).__name__} {one_line(error)}") from None
