"""A dataset's crystals as flat arrays, from which batches are gathered on the device.

The whole dataset lies on the device like this, about 10 bytes an edge.
"""

from typing import Any, NamedTuple

import numpy as np

from data_prep.dataset import GraphDataset

Array = Any
"""numpy on the host, jax.Array on the device"""

BOND_GRID = 1e-6
"""Å: distances of a crystal within this grid are one bond; float32 resolves no more at 8 Å."""

DENSE_SHARE = 0.8
"""Edges are laid out as K slots a node where at least this share of the slots is used."""


class CrystalArrays(NamedTuple):
    """C crystals with N nodes, E edges, B bonds and A atoms; indices count within the crystal."""

    num_rows: Array
    """int32 [C, 4]: the nodes, edges, bonds and atoms of each crystal"""
    first_row: Array
    """int32 [C, 4]: the first of each"""
    atomic_number: Array
    """uint8 [N]"""
    multiplicity: Array
    """uint16 [N]"""
    sender: Array
    """int32 [E]: node"""
    receiver: Array | None
    """int32 [E]: node; None if every node has the same number of edges, one node after another"""
    edge_bond: Array
    """int32 [E]: bond"""
    edge_multiplicity: Array
    """uint8 [E], 0 for an unused slot"""
    bond_distance: Array
    """float32 [B], Å"""
    atom_node: Array
    """int32 [A]: node"""
    cluster: Array
    """uint8 [A]"""
    target: Array
    """float32 [C, T], in the units of the network's outputs, NaN where missing"""


class CrystalSizes(NamedTuple):
    """Rows of each of C crystals, [C] each: what batches are planned by."""

    node: np.ndarray
    edge: np.ndarray
    bond: np.ndarray
    atom: np.ndarray
    slots: int | None
    """edges of every node, if all have as many"""


class BatchShape(NamedTuple):
    """The fixed sizes of a batch: crystals (without the padding graph) and rows of all kinds."""

    crystals: int
    nodes: int
    edges: int
    bonds: int
    atoms: int


def crystal_arrays(
    dataset: GraphDataset, target: np.ndarray, dense: bool | None = None
) -> CrystalArrays:
    """A dataset and what a network is to give for it [C, T] as flat arrays on the host.

    Where most of a dataset's K slots a node are used they are kept, so that sums over a node's
    edges are sums over an axis; else (merged edges, small radii) only used slots are kept. `dense`
    says which, whatever the crystals.
    """
    if dense is None:
        dense = is_dense(dataset)
    used = np.asarray(dataset.edge_multiplicity) > 0
    crystal = np.repeat(np.arange(len(dataset)), dataset.n_node)
    keep = np.ones_like(used) if dense else used

    per_node = keep.sum(1)
    edge_crystal = np.repeat(crystal, per_node)
    local = np.arange(len(crystal)) - dataset.node_offset[:-1][crystal]
    distance = np.asarray(dataset.edge_distance)[keep]
    n_edge = np.bincount(crystal, per_node, len(dataset))
    n_bond, bond_distance, edge_bond = _bonds(edge_crystal, distance, len(dataset))
    num_rows = np.stack([dataset.n_node, n_edge, n_bond, dataset.n_atom], axis=1).astype(np.int32)
    return CrystalArrays(
        num_rows=num_rows,
        first_row=(np.cumsum(num_rows, axis=0) - num_rows).astype(np.int32),
        atomic_number=np.asarray(dataset.node_atomic_number),
        multiplicity=np.asarray(dataset.node_multiplicity),
        # Unused slots name their own node, not all the same one: the gradient of a look-up is a
        # sum, and sums of many rows into one are slow.
        sender=np.where(used, dataset.edge_sender, local[:, None])[keep].astype(np.int32),
        receiver=None if dense else np.repeat(local, per_node).astype(np.int32),
        edge_bond=edge_bond,
        edge_multiplicity=np.asarray(dataset.edge_multiplicity)[keep],
        bond_distance=bond_distance,
        atom_node=np.asarray(dataset.atom_node),
        cluster=np.asarray(dataset.atom_cluster),
        target=np.asarray(target, np.float32),
    )


def is_dense(dataset: GraphDataset) -> bool:
    """Whether most of a dataset's edge slots are used, so that all are kept."""
    return bool((np.asarray(dataset.edge_multiplicity) > 0).mean() >= DENSE_SHARE)


def sizes_of(data: CrystalArrays) -> CrystalSizes:
    """How many rows each crystal has."""
    slots = None if data.receiver is not None else len(data.sender) // len(data.atomic_number)
    node, edge, bond, atom = np.asarray(data.num_rows).T
    return CrystalSizes(node, edge, bond, atom, slots)


def _bonds(
    crystal: np.ndarray, distance: np.ndarray, num_crystals: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many different distances crystals have [C], these [B], and which each edge has [E]."""
    order = np.lexsort((distance, crystal))
    crystal, distance = crystal[order], distance[order]
    cell = np.rint(distance.astype(np.float64) / BOND_GRID)
    is_new = np.ones(len(order), bool)
    is_new[1:] = (np.diff(crystal) != 0) | (np.diff(cell) != 0)
    n_bond = np.bincount(crystal[is_new], minlength=num_crystals)
    edge_bond = np.empty(len(order), np.int32)
    edge_bond[order] = np.cumsum(is_new) - 1 - (np.cumsum(n_bond) - n_bond)[crystal]
    return n_bond, distance[is_new], edge_bond


def padded(data: CrystalArrays, shape: BatchShape) -> CrystalArrays:
    """The same crystals in arrays of fixed sizes, which compiled programs are bound to as well."""

    def fill(values: Any, length: int) -> np.ndarray:
        filled = np.zeros((length, *values.shape[1:]), values.dtype)
        filled[: len(values)] = values
        return filled

    return CrystalArrays(
        num_rows=fill(data.num_rows, shape.crystals),
        first_row=fill(data.first_row, shape.crystals),
        atomic_number=fill(data.atomic_number, shape.nodes),
        multiplicity=fill(data.multiplicity, shape.nodes),
        sender=fill(data.sender, shape.edges),
        receiver=None if data.receiver is None else fill(data.receiver, shape.edges),
        edge_bond=fill(data.edge_bond, shape.edges),
        edge_multiplicity=fill(data.edge_multiplicity, shape.edges),
        bond_distance=fill(data.bond_distance, shape.bonds),
        atom_node=fill(data.atom_node, shape.atoms),
        cluster=fill(data.cluster, shape.atoms),
        target=fill(data.target, shape.crystals),
    )
