"""From the atom lines of a CIF and a space group to all atoms of the cell."""

from typing import NamedTuple

import numpy as np
from pymatgen.core import Element

from data_prep.errors import BadCrystal
from data_prep.reading.cif_sites import Sites
from data_prep.reading.cif_symmetry import Operations

SAME_PLACE = 0.15
"""Copies of an atom this close (Å) are one atom, whose coordinates were rounded."""


class CellAtoms(NamedTuple):
    """The n atoms of a cell, by atom line and then by operation."""

    labels: list[str]
    elements: list[Element]
    positions: np.ndarray
    """Fractional, within the cell, float64 [n, 3]."""
    multiplicities: list[int]
    """Atoms of each line."""


def cell_atoms(sites: Sites, group: Operations, matrix: np.ndarray) -> CellAtoms:
    """Every site copied by every operation of the group.

    A site that some operations leave where it is, within rounding, is moved to where they leave it
    exactly: 0.333 becomes 1/3.

    Args:
        sites: the atom lines.
        group: m operations.
        matrix: the cell vectors, one a row (Å).

    Raises:
        BadCrystal: a site that is neither on a special position nor clear of it.
    """
    if len(group.triplets) == 1:
        return CellAtoms(sites.labels, sites.elements, sites.positions, [1] * len(sites.labels))
    orbits = [
        _orbit(position, group, matrix, label)
        for position, label in zip(sites.positions, sites.labels, strict=True)
    ]
    counts = [len(orbit) for orbit in orbits]
    lines = np.repeat(np.arange(len(counts)), counts)
    return CellAtoms(
        [sites.labels[line] for line in lines],
        [sites.elements[line] for line in lines],
        np.concatenate(orbits),
        counts,
    )


def _orbit(position: np.ndarray, group: Operations, matrix: np.ndarray, label: str) -> np.ndarray:
    """The different copies of a position [3], itself first: float64 [copies, 3]."""
    step = _copies(position, group) - position
    step -= np.rint(step)
    stays = np.linalg.norm(step @ matrix, axis=1) < SAME_PLACE
    position = position + step[stays].mean(axis=0)
    copies = _copies(position, group)
    apart = copies[:, None] - copies
    apart -= np.rint(apart)
    same = np.linalg.norm(apart @ matrix, axis=2) < SAME_PLACE
    first = np.argmax(same, axis=1)
    orbit = copies[np.unique(first)]
    if not (same.sum(axis=1) == stays.sum()).all() or len(orbit) * stays.sum() != len(copies):
        raise BadCrystal(
            f"{label} is near a special position, but not on it: give its coordinates with more "
            "decimals, or exactly"
        )
    return orbit - np.floor(orbit)


def _copies(position: np.ndarray, group: Operations) -> np.ndarray:
    return group.rotation @ position + group.translation
