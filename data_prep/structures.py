"""One crystal structure from a file, a text or a dictionary, or the reason why there is none."""

import gzip
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifParser

from data_prep.elements import MAX_ATOMIC_NUMBER
from data_prep.errors import BadCrystal
from data_prep.p1_cif import parse_p1_cif

MIN_CELL_HEIGHT = 0.1
"""Cells flatter than this (Å) are taken for a mistake in the file."""

CIF_SUFFIXES = (".cif",)
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
        BadCrystal: the file cannot be read, or holds no structure.
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
    text = content.decode("utf-8", errors="replace")
    if not text.strip():
        raise BadCrystal("the file is empty")
    name = path.name.removesuffix(".gz")
    if name.lower().endswith(CIF_SUFFIXES):
        return structure_from_cif(text)
    if name.lower().endswith(POSCAR_SUFFIXES) or name.startswith(POSCAR_STEMS):
        return structure_from_poscar(text)
    raise BadCrystal("neither a CIF (.cif) nor a POSCAR (.vasp, .poscar, POSCAR*) by its name")


def structure_from_cif(text: str) -> Structure:
    """The first structure of a CIF, as pymatgen's CifParser reads it.

    Raises:
        BadCrystal: nothing to parse, or sites that do not add up to the formula in the file.
    """
    structure = parse_p1_cif(text)
    if structure is not None:
        return structure
    if not text.strip():
        raise BadCrystal("the CIF is empty")
    problems: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser = CifParser.from_str(text, check_cif=False)
            problems = parser.warnings
            structure = parser.parse_structures(primitive=False)[0]
            block = next(iter(parser.as_dict().values()))
    except Exception as error:  # the parser raises whatever its many steps raise
        cause = _one_line(problems[-1] if problems else error)
        raise BadCrystal(f"unreadable CIF (truncated, or no CIF): {cause}") from None
    if structure.is_ordered:  # disorder is found out later and has a reason of its own
        _check_formula(structure, block.get("_chemical_formula_sum"))
    return structure


def structure_from_poscar(text: str) -> Structure:
    """The structure of a POSCAR that names its elements.

    Raises:
        BadCrystal: nothing to parse, or a file without element names.
    """
    # Imported where needed: half a second that most runs can do without.
    from pymatgen.io.vasp.inputs import BadPoscarWarning, Poscar

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Without names pymatgen calls the elements H, He, Li, … and only warns.
            warnings.simplefilter("error", BadPoscarWarning)
            return Poscar.from_str(text).structure
    except Exception as error:
        raise BadCrystal(f"unreadable POSCAR: {_one_line(error)}") from None


def structure_from_dict(content: Mapping[str, Any]) -> Structure:
    """The structure of a dictionary of pymatgen (``Structure.as_dict``) or JARVIS (``atoms``).

    Raises:
        BadCrystal: a dictionary that is no structure.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if "lattice_mat" not in content:
                return Structure.from_dict(dict(content))
            return Structure(
                content["lattice_mat"],
                [element.strip() for element in content["elements"]],
                content["coords"],
                coords_are_cartesian=content["cartesian"],
            )
    except Exception as error:
        raise BadCrystal(
            f"unreadable structure: {type(error).__name__} {_one_line(error)}"
        ) from None


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
        raise BadCrystal(f"unreadable Atoms: {type(error).__name__} {_one_line(error)}") from None


def check_structure(structure: Structure) -> np.ndarray:
    """The atomic numbers of a crystal the network can take, int64 [n] (deuterium is hydrogen).

    Raises:
        BadCrystal: no atoms, partial occupancy, an element outside the table, or a cell without
            a volume.
    """
    if not len(structure):
        raise BadCrystal("the structure has no atoms")
    for index, site in enumerate(structure):
        if not site.is_ordered:
            raise BadCrystal(
                f"disordered: site {index} is {site.species_string} (partial occupancy)"
            )
    atomic_number = np.array(structure.atomic_numbers)
    outside = (atomic_number < 1) | (atomic_number > MAX_ATOMIC_NUMBER)
    if outside.any():
        symbol = structure[int(outside.argmax())].species_string
        raise BadCrystal(f"element {symbol} is outside the table of elements (H to Fm)")
    matrix = structure.lattice.matrix
    if not np.isfinite(matrix).all() or not np.isfinite(structure.frac_coords).all():
        raise BadCrystal("the cell or a position is not a finite number")
    areas = np.linalg.norm(np.cross(np.roll(matrix, -1, 0), np.roll(matrix, 1, 0)), axis=1)
    if structure.lattice.volume < MIN_CELL_HEIGHT * areas.max():
        raise BadCrystal(f"the cell is flat: less than {MIN_CELL_HEIGHT} Å high")
    return atomic_number


def _check_formula(structure: Structure, formula: object) -> None:
    """A file cut off between two sites parses well; only its formula tells."""
    try:
        stated = Composition(str(formula)).remove_charges().fractional_composition
        found = structure.composition.remove_charges().fractional_composition
    except Exception:  # a formula that cannot be understood: nothing to compare with
        return
    if not stated.almost_equals(found, atol=0.01):
        raise BadCrystal(
            f"the sites add up to {structure.composition.reduced_formula}, "
            f"the formula in the CIF is {formula}: truncated, or atoms without positions"
        )


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200]
