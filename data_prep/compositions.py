"""What the cells of crystals hold, told from their graphs."""

from collections.abc import Iterable

import numpy as np
from pymatgen.core import Composition, Element

from data_prep.dataset import GraphDataset
from data_prep.graph import CrystalGraph


def compositions(dataset: GraphDataset, rows: Iterable[int]) -> list[Composition]:
    """The contents of the cells of some crystals, by their numbers."""
    return [composition(dataset.crystal(row)) for row in rows]


def composition(crystal: CrystalGraph) -> Composition:
    """The contents of a crystal's cell."""
    numbers = crystal.atomic_number[crystal.atom_node]
    elements, counts = np.unique(numbers, return_counts=True)
    pairs = zip(map(int, elements), map(int, counts), strict=True)
    return Composition({Element.from_Z(z): count for z, count in pairs})
