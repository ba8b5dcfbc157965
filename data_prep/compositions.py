"""What the cells of a dataset's crystals hold."""

from collections.abc import Iterable

import numpy as np
from pymatgen.core import Composition, Element

from data_prep.dataset import GraphDataset


def compositions(dataset: GraphDataset, rows: Iterable[int]) -> list[Composition]:
    """The contents of the cells of some crystals, by their numbers."""
    result = []
    for row in rows:
        crystal = dataset.crystal(row)
        numbers = crystal.atomic_number[crystal.atom_node]
        elements, counts = np.unique(numbers, return_counts=True)
        pairs = zip(map(int, elements), map(int, counts), strict=True)
        result.append(Composition({Element.from_Z(z): count for z, count in pairs}))
    return result
