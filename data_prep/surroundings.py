"""What surrounds the atoms of each element in a crystal, as numbers that no model has learned.

An atom's neighbours are described by their rows of the table of elements (and a 1 for each), once
weighted for those about 2 Å away and once for those about 3 Å away. Crystals whose elements are in
familiar surroundings are like those that a model was trained on; the vectors of a trained network
do not tell it as well, as it has learned to forget what made no difference (docs/experiments.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_prep.elements import FEATURE_SIZE, element_features
from data_prep.graph import CrystalGraph

DISTANCES = (2.0, 3.0)
"""Å: about where first neighbours are, small and large ones."""

WIDTH = 0.5
"""Å: standard deviation of the weights around these distances."""

SLICE = 4096
"""Nodes that are described at a time."""

SIZE = len(DISTANCES) * (FEATURE_SIZE + 1)


class Surroundings(NamedTuple):
    """Of several crystals, a row for each element of each.

    Attributes:
        crystal: which crystal, int [R].
        element: atomic number, int [R].
        atoms: of this element in the crystal, float64 [R].
        features: mean over these atoms, float64 [R, SIZE].
    """

    crystal: np.ndarray
    element: np.ndarray
    atoms: np.ndarray
    features: np.ndarray


def surroundings(graphs: Sequence[CrystalGraph]) -> Surroundings:
    """The surroundings in some crystals, at least one."""
    parts = [_of_one(graph) for graph in graphs]
    crystal = np.repeat(np.arange(len(parts)), [len(element) for element, _, _ in parts])
    return Surroundings(crystal, *map(np.concatenate, zip(*parts, strict=True)))


def _of_one(graph: CrystalGraph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elements, their atoms, and features."""
    table = np.c_[np.ones(len(element_features())), element_features()]
    number = graph.edge_multiplicity / graph.edge_multiplicity.sum(1, keepdims=True)
    node = np.empty((len(number), SIZE))
    for start in range(0, len(number), SLICE):  # 11 kB a node
        own = slice(start, start + SLICE)
        described = table[graph.atomic_number[graph.sender[own]]]
        near = np.exp(-(((graph.distance[own][..., None] - DISTANCES) / WIDTH) ** 2) / 2)
        node[own] = np.einsum("nk,nkd,nkf->ndf", number[own], near, described).reshape(-1, SIZE)
    element, row = np.unique(graph.atomic_number, return_inverse=True)
    share = graph.multiplicity * (row == np.arange(len(element))[:, None])  # [elements, nodes]
    atoms = share.sum(1, dtype=np.float64)
    return element.astype(np.int64), atoms, (share @ node) / atoms[:, None]
