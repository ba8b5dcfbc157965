"""Whether a structure is a crystal that the network can take."""

import numpy as np
from pymatgen.core import Structure

from data_prep.elements import MAX_ATOMIC_NUMBER
from data_prep.errors import BadCrystal

MIN_CELL_HEIGHT = 0.1
"""Cells flatter than this (Å) are taken for a mistake in the file."""


def check_structure(structure: Structure) -> np.ndarray:
    """The atomic numbers of a crystal the network can take, int64 [n] (deuterium is hydrogen).

    Raises:
        BadCrystal: no atoms, a molecule or a slab, partial occupancy, an element outside the
            table, or a cell without a volume.
    """
    if not len(structure):
        raise BadCrystal("the structure has no atoms")
    if not all(structure.lattice.pbc):
        raise BadCrystal("not periodic in all directions: a molecule or a slab")
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
