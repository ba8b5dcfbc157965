"""Whether a structure is a crystal that the network can take."""

from functools import cache

import gemmi
import numpy as np
from pymatgen.core import Structure

from data_prep.elements import MAX_ATOMIC_NUMBER
from data_prep.errors import BadCrystal
from data_prep.labels import atom_labels

MIN_CELL_HEIGHT = 0.1
"""Cells flatter than this (Å) are taken for a mistake in the file."""

MAX_LENGTH = 1e6
"""Numbers larger than this (Å) are no lengths, and their products may be no numbers."""

MIN_VOLUME = 1.0
"""Cells with less room for an atom than this (Å³) are taken for one in other units."""

MIN_CONTACT = 0.5
"""Atoms closer than this share of the sum of their covalent radii are taken for a mistake, …"""

MIN_DISTANCE = 0.6
"""… and atoms closer than this (Å), even hydrogen: the shortest bond, of H2, has 0.74 Å."""

MAX_CONTACT = 1.6
"""Where even the nearest atoms are farther apart than this share of that sum, there is no crystal;
lengths in bohr make 1.89 times the distances."""

UNBONDED = (1, 2, 7, 9, 10, 18, 36, 54, 86)
"""By atomic number: noble gases, and what single atoms of are far apart in some computed crystals
(H, N, F). Of 1,527 crystals of non-metals in 100,016, those without a bond are of these alone."""


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
    if np.abs(matrix).max() > MAX_LENGTH or np.abs(structure.frac_coords).max() > MAX_LENGTH:
        raise BadCrystal(
            f"the cell or a position is beyond all measure: more than {MAX_LENGTH:g} Å, or as many "
            "cells away"
        )
    areas = np.linalg.norm(np.cross(np.roll(matrix, -1, 0), np.roll(matrix, 1, 0)), axis=1)
    volume = structure.lattice.volume
    if volume < MIN_CELL_HEIGHT * areas.max():
        raise BadCrystal(f"the cell is flat: less than {MIN_CELL_HEIGHT} Å high")
    # Before neighbours are looked for, of which such a cell has millions.
    if volume < MIN_VOLUME * len(structure):
        raise BadCrystal(
            f"the cell has {volume / len(structure):.2g} Å³ for each atom, too little for any: "
            "is it in nm? Lengths must be in Å"
        )
    return atomic_number


def check_contacts(structure: Structure) -> None:
    """Make sure that no two atoms are closer than atoms can be.

    Raises:
        BadCrystal: two are.
    """
    reach = 2 * MIN_CONTACT * float(covalent_radii()[list(structure.atomic_numbers)].max())
    receiver, sender, _, distance = structure.get_neighbor_list(max(reach, MIN_DISTANCE))
    check_distances(structure, receiver, sender, distance)


def check_distances(
    structure: Structure, receiver: np.ndarray, sender: np.ndarray, distance: np.ndarray
) -> None:
    """Make sure that of E pairs of atoms none is closer than atoms can be.

    Args:
        structure: whose atoms they are.
        receiver: one atom of each pair [E].
        sender: the other [E].
        distance: between them [E] (Å).

    Raises:
        BadCrystal: two are.
    """
    radius = covalent_radii()[list(structure.atomic_numbers)]
    least = np.maximum(MIN_CONTACT * (radius[receiver] + radius[sender]), MIN_DISTANCE)
    if not (distance < least).any():
        return
    pair = int(np.argmin(distance / least))
    one, other = (atom_name(structure, int(atoms[pair])) for atoms in (receiver, sender))
    raise BadCrystal(
        f"{one} and {other} are {distance[pair]:.3f} Å apart, nearer than {least[pair]:.2f} Å: one "
        "of them is there twice or misplaced, or the cell is too small (lengths must be in Å)"
    )


def check_bonded(
    structure: Structure, receiver: np.ndarray, sender: np.ndarray, distance: np.ndarray
) -> None:
    """Make sure that of E pairs of atoms, with the nearest ones among them, one may be bonded.

    Raises:
        BadCrystal: none is, though there are others than the `UNBONDED`.
    """
    atomic_number = np.array(structure.atomic_numbers)
    if not len(distance) or np.isin(atomic_number, UNBONDED).all():
        return
    radius = covalent_radii()[atomic_number]
    share = distance / (radius[receiver] + radius[sender])
    pair = int(share.argmin())
    if share[pair] > MAX_CONTACT:
        one, other = (atom_name(structure, int(atoms[pair])) for atoms in (receiver, sender))
        raise BadCrystal(
            f"no bonds: even {one} and {other} are {distance[pair]:.2f} Å apart. Are lengths in "
            "bohr? They must be in Å"
        )


def atom_name(structure: Structure, atom: int) -> str:
    """How a message calls an atom."""
    return f"atom {atom} ({atom_labels(structure)[atom]})"


@cache
def covalent_radii() -> np.ndarray:
    """Covalent radii by atomic number (Å), float64 [119] (Cordero et al. 2008, of gemmi)."""
    return np.array([gemmi.Element(number).covalent_r for number in range(119)])
