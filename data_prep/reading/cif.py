"""The structure of a CIF, atoms in the order of the file and with its labels.

Every atom line becomes atoms, or the crystal is refused with the reason: a prediction for another
crystal than the one in the file would be worse than none. gemmi takes the text apart and knows the
space groups; what the file states of its content decides whether it was understood.
"""

import math

import numpy as np
from pymatgen.core import Lattice, Structure

from data_prep.checks import check_contacts, check_structure
from data_prep.errors import BadCrystal
from data_prep.reading.cif_atoms import CellAtoms, cell_atoms
from data_prep.reading.cif_blocks import (
    Block,
    Items,
    crystal_blocks,
    number_of,
    parse_block,
    value_of,
)
from data_prep.reading.cif_checks import (
    Confirmed,
    check_periodic,
    check_volume,
    confirm_content,
)
from data_prep.reading.cif_sites import Sites, sites_of
from data_prep.reading.cif_symmetry import Operations, Symmetry, symmetry_of
from data_prep.reading.p1_cif import parse_p1_cif


def structure_from_cif(text: str) -> Structure:
    """The structure of a CIF with one crystal.

    Copies of an atom line by symmetry follow each other and have its label.

    Raises:
        BadCrystal: several crystals or none, or one that is not given whole and without doubt.
    """
    if (structure := parse_p1_cif(text)) is not None:
        return structure
    if not text.strip():
        raise BadCrystal("the CIF is empty")
    blocks = crystal_blocks(text)
    if not blocks:
        raise BadCrystal("no CIF of a crystal: it has no data_ block with a cell and atoms")
    if len(blocks) > 1:
        names = ", ".join(block.name for block in blocks[:3]) + ", …" * (len(blocks) > 3)
        raise BadCrystal(
            f"the CIF holds {len(blocks)} crystals (blocks {names}), and one is wanted here: "
            "write each to a file or row of its own"
        )
    return structure_of_block(blocks[0])


def structure_of_block(block: Block) -> Structure:
    """The structure of one block of a CIF.

    Raises:
        BadCrystal: it is not given whole and without doubt.
    """
    items = parse_block(block)
    check_periodic(items)
    lattice = _lattice(items)
    check_volume(items, lattice.volume)
    sites = sites_of(items, has_formula=bool(value_of(items, "_chemical_formula_sum")))
    matrix = lattice.matrix
    symmetry = symmetry_of(items, matrix @ matrix.T)
    atoms = _settled(items, sites, symmetry, lattice)
    return _structure(atoms, lattice)


def _lattice(items: Items) -> Lattice:
    values = []
    for tag, unit in (("_cell_length_", "Å"), ("_cell_angle_", "degrees")):
        for name in ("a", "b", "c") if unit == "Å" else ("alpha", "beta", "gamma"):
            text = value_of(items, tag + name)
            value = number_of(text)
            if not (math.isfinite(value) and value > 0 and (unit == "Å" or value < 180)):
                raise BadCrystal(
                    f"{tag}{name} is {text or 'missing'}: give the number, in {unit}"
                    + ("" if text else " (is the CIF cut off?)")
                )
            values.append(value)
    cosines = np.cos(np.radians(values[3:]))
    if 1 + 2 * cosines.prod() - (cosines**2).sum() <= 0:
        raise BadCrystal(f"no cell has the angles {', '.join(f'{v:g}' for v in values[3:])}")
    return Lattice.from_parameters(*values)


def _settled(items: Items, sites: Sites, symmetry: Symmetry, lattice: Lattice) -> CellAtoms:
    """The atoms under the one group that the content of the cell agrees with."""
    found: list[tuple[Operations, CellAtoms, Confirmed]] = []
    reasons: list[BadCrystal] = []
    several = len(symmetry.candidates) > 1
    for group in symmetry.candidates:
        try:
            atoms = cell_atoms(sites, group, lattice.matrix)
            given = (atoms.elements, lattice.volume, atoms.multiplicities, len(group.triplets))
            confirmed = confirm_content(items, *given)
            if several:
                structure = _structure(atoms, lattice)
                check_structure(structure)
                check_contacts(structure)
            found.append((group, atoms, confirmed))
        except BadCrystal as reason:
            reasons.append(reason)
    if not found:
        raise reasons[0]
    needed = Confirmed.NOT_AT_ALL
    if several:
        needed = Confirmed.IN_RATIO
    elif symmetry.doubt:
        needed = Confirmed.IN_NUMBER
    if len(found) > 1 or found[0][2] < needed:
        names = " or ".join(group.name for group in symmetry.candidates[:4])
        doubt = symmetry.doubt or f"the symmetry may be {names}"
        raise BadCrystal(
            f"{doubt}, and the content of the cell does not settle it: list all operations "
            "(_space_group_symop_operation_xyz), or add formula and _cell_formula_units_Z"
        )
    return found[0][1]


def _structure(atoms: CellAtoms, lattice: Lattice) -> Structure:
    return Structure(lattice, atoms.elements, atoms.positions, labels=atoms.labels)
