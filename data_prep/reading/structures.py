"""One crystal structure from a file, a text or a dictionary, or the reason why there is none."""

import gzip
import zlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from pymatgen.core import Structure

from data_prep.errors import BadCrystal, one_line
from data_prep.reading.cif import structure_from_cif
from data_prep.reading.cif_blocks import crystal_blocks, decode
from data_prep.reading.poscar import structure_from_poscar

CIF_SUFFIXES = (".cif", ".mcif")
POSCAR_SUFFIXES = (".poscar", ".vasp", ".contcar")
POSCAR_STEMS = ("POSCAR", "CONTCAR")


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


def is_structure_file(path: Path) -> bool:
    """Whether the name is that of a CIF or POSCAR file, compressed or not."""
    name = path.name.removesuffix(".gz")
    return name.lower().endswith(CIF_SUFFIXES + POSCAR_SUFFIXES) or name.startswith(POSCAR_STEMS)


def structure_id(path: Path) -> str:
    """The file's name without the suffixes of structure files: ``mp-1.cif.gz`` is ``mp-1``."""
    name = path.name.removesuffix(".gz")
    for suffix in CIF_SUFFIXES + POSCAR_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def read_structure(path: Path) -> Structure:
    """The structure in a CIF or POSCAR file, ``.gz`` or plain.

    Raises:
        BadCrystal: the file cannot be read, or holds no structure, or several.
    """
    text = read_text(path)
    if is_cif(path):
        return structure_from_cif(text)
    name = path.name.removesuffix(".gz")
    if name.lower().endswith(POSCAR_SUFFIXES) or name.startswith(POSCAR_STEMS):
        return structure_from_poscar(text)
    raise BadCrystal("neither a CIF (.cif) nor a POSCAR (.vasp, .poscar, POSCAR*) by its name")


def is_cif(path: Path) -> bool:
    """Whether the name is that of a CIF, compressed or not."""
    return path.name.removesuffix(".gz").lower().endswith(CIF_SUFFIXES)


def read_text(path: Path) -> str:
    """The text of a file, ``.gz`` or plain.

    Raises:
        BadCrystal: it cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise BadCrystal("the compressed file is cut off or damaged") from None
    except FileNotFoundError:
        raise BadCrystal(f"no structure file: {path.name} is not there") from None
    except OSError as error:
        raise BadCrystal(f"the file cannot be read: {error.strerror}") from None
    text = decode(content)
    if not text.strip():
        raise BadCrystal("the file is empty")
    return text


def crystals_in(path: Path) -> list[tuple[str, Path | str]]:
    """Id and content of every crystal in a structure file: the file, or the text of each block.

    The crystals of a CIF with several are called ``FILE:BLOCK``, and those whose blocks have one
    name ``FILE:BLOCK:1``, ``FILE:BLOCK:2``, … by their place among the crystals of the file.
    """
    name = structure_id(path)
    try:
        blocks = crystal_blocks(read_text(path)) if is_cif(path) else []
    except BadCrystal:  # its reason is found again where the structure is read
        blocks = []
    if len(blocks) < 2:
        return [(name, path)]
    names = [block.name for block in blocks]
    return [
        (f"{name}:{block.name}" + f":{place}" * (names.count(block.name) > 1), block.text)
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
    shares = [share for site in atoms.info.get("occupancy", {}).values() for share in site.values()]
    if min(shares, default=1) < 1:
        raise BadCrystal("disordered: the Atoms note partial occupancies")
    try:
        return Structure(
            np.asarray(atoms.get_cell()),
            atoms.get_atomic_numbers(),
            atoms.get_positions(),
            coords_are_cartesian=True,
        )
    except Exception as error:
        raise BadCrystal(f"unreadable Atoms: {type(error).__name__} {one_line(error)}") from None
