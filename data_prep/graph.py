"""From one crystal structure to its graph."""

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from data_prep.checks import atom_name, check_bonded, check_distances, check_structure
from data_prep.clusters import cluster_atoms
from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal
from data_prep.neighbors import NeighborTable, nearest_neighbors
from data_prep.quotient import classes_agree, merge_classes, refine_colours


@dataclass(frozen=True)
class CrystalGraph:
    """The graph of one crystal: n nodes, K slots a node for incoming edges, a atoms.

    A node is one atom, or a class of atoms with the same features (``GraphConfig.reduce``).
    Used slots come first, by distance; unused slots have multiplicity 0 and are zero.
    """

    atomic_number: np.ndarray
    """uint8 [n]"""
    multiplicity: np.ndarray
    """Atoms a node stands for, uint32 [n]."""
    sender: np.ndarray
    """The neighbour's node in this crystal, int32 [n, K]."""
    distance: np.ndarray
    """float32 [n, K] (Å)"""
    edge_multiplicity: np.ndarray
    """Equal edges of one atom a slot stands for, uint8 [n, K]."""
    atom_node: np.ndarray
    """The node of each atom, int32 [a]."""
    cluster: np.ndarray
    """Cluster of each atom by position: 0, 1 or 2, uint8 [a]; all 0 without ``clusters``."""


def build_graph(structure: Structure, config: GraphConfig) -> CrystalGraph:
    """The K nearest neighbours of every atom, reduced to classes of atoms if so configured.

    Which of several neighbours at the same distance are kept does not depend on the order of the
    atoms: the choice goes by what the neighbours themselves see.

    Raises:
        BadCrystal: a structure the network cannot take, or an atom without neighbours.
    """
    atomic_number = check_structure(structure)
    edges = nearest_neighbors(structure, config.radius, config.max_neighbors)
    _check_distances(structure, edges, config)
    colour = refine_colours(atomic_number, edges)
    edges = edges.sorted_by(colour).first(config.max_neighbors)
    if config.fake_edges:
        edges = _with_fake_edges(edges, config.radius)
    # The ties left out may have been all that told two classes apart, so refine again.
    colour = refine_colours(atomic_number, edges)
    edges = edges.sorted_by(colour)
    if config.reduce and classes_agree(colour, edges):
        sender, distance, count = merge_classes(colour, edges)
        node = colour
    else:
        sender, distance = edges.sender, np.where(edges.used, edges.distance, 0)
        count = edges.used
        node = np.arange(len(atomic_number))
    if config.clusters:
        cluster = cluster_atoms(atomic_number, structure.cart_coords)
    else:
        cluster = np.zeros(len(atomic_number), np.uint8)
    _, representative, size = np.unique(node, return_index=True, return_counts=True)
    return CrystalGraph(
        atomic_number=atomic_number[representative].astype(np.uint8),
        multiplicity=size.astype(np.uint32),
        sender=sender.astype(np.int32),
        distance=distance.astype(np.float32),
        edge_multiplicity=count.astype(np.uint8),
        atom_node=node.astype(np.int32),
        cluster=cluster,
    )


def _check_distances(structure: Structure, edges: NeighborTable, config: GraphConfig) -> None:
    receiver, slot = np.nonzero(edges.used)
    pairs = receiver, edges.sender[receiver, slot], edges.distance[receiver, slot]
    check_distances(structure, *pairs)
    check_bonded(structure, *pairs)
    isolated = ~edges.used[:, 0]
    if not config.fake_edges and isolated.any():
        raise BadCrystal(
            f"no neighbour within {config.radius:g} Å of "
            f"{atom_name(structure, int(isolated.argmax()))}: "
            "an isolated atom needs a larger radius (lengths must be in Å)"
        )


def _with_fake_edges(edges: NeighborTable, radius: float) -> NeighborTable:
    # Unused slots already send from atom 0 and share a shell of their own.
    return NeighborTable(
        edges.sender, np.where(edges.used, edges.distance, radius + 1), edges.shell
    )
