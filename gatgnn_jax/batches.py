"""Batches of fixed shape: which crystals go together, and how they are gathered on the device.

The whole dataset lies on the device as flat arrays (`DeviceData`, 9 bytes an edge); a batch is a
row of crystal numbers, and `gather_batch` turns it into a padded `jraph.GraphsTuple` inside the
jitted step. So an epoch is one array of numbers [steps, crystals a batch], and nothing but that
goes from the host to the device.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from data_prep.dataset import GraphDataset


class DeviceData(NamedTuple):
    """A `GraphDataset` on the device: C crystals, N nodes, K edge slots a node, A atoms."""

    n_node: jax.Array
    """int32 [C]"""
    n_atom: jax.Array
    """int32 [C]"""
    node_start: jax.Array
    """int32 [C]: each crystal's first node"""
    atom_start: jax.Array
    """int32 [C]: each crystal's first atom"""
    atomic_number: jax.Array
    """uint8 [N]"""
    multiplicity: jax.Array
    """uint16 [N]"""
    sender: jax.Array
    """int32 [N, K], counted within the crystal"""
    distance: jax.Array
    """float32 [N, K], Å"""
    edge_multiplicity: jax.Array
    """uint8 [N, K], 0 for an unused slot"""
    atom_node: jax.Array
    """int32 [A], counted within the crystal"""
    cluster: jax.Array
    """uint8 [A]"""
    target: jax.Array
    """float32 [C, T], transformed, NaN where missing"""


class BatchShape(NamedTuple):
    """The fixed sizes of a batch: crystals (without the padding graph), nodes, atoms."""

    crystals: int
    nodes: int
    atoms: int


def to_device(dataset: GraphDataset, target: np.ndarray) -> DeviceData:
    """Put a dataset with its targets [C, T] on the default device."""
    return DeviceData(
        n_node=jnp.asarray(dataset.n_node),
        n_atom=jnp.asarray(dataset.n_atom),
        node_start=jnp.asarray(dataset.node_offset[:-1].astype(np.int32)),
        atom_start=jnp.asarray(dataset.atom_offset[:-1].astype(np.int32)),
        atomic_number=jnp.asarray(dataset.node_atomic_number),
        multiplicity=jnp.asarray(dataset.node_multiplicity),
        sender=jnp.asarray(dataset.edge_sender),
        distance=jnp.asarray(dataset.edge_distance),
        edge_multiplicity=jnp.asarray(dataset.edge_multiplicity),
        atom_node=jnp.asarray(dataset.atom_node),
        cluster=jnp.asarray(dataset.atom_cluster),
        target=jnp.asarray(target, jnp.float32),
    )


def gather_batch(data: DeviceData, crystals: jax.Array, shape: BatchShape) -> jraph.GraphsTuple:
    """The crystals [B] int32 of a dataset (-1: none) as one padded graph.

    Pure and jittable: every size is fixed by `shape`. The caller sees to it that the crystals fit
    (`batch_shape`).
    """
    present = crystals >= 0
    rows = jnp.maximum(crystals, 0)
    node_graph, node_local, n_node = _members(data.n_node[rows] * present, shape.nodes)
    atom_graph, atom_local, _ = _members(data.n_atom[rows] * present, shape.atoms)
    is_node = node_graph < shape.crystals
    is_atom = atom_graph < shape.crystals

    # Padding reads some crystal's rows too (rows is padded with 0) and is masked right after.
    rows = jnp.append(rows, 0)
    node = jnp.where(is_node, data.node_start[rows][node_graph] + node_local, 0)
    atom = jnp.where(is_atom, data.atom_start[rows][atom_graph] + atom_local, 0)
    first_node = jnp.cumsum(n_node) - n_node

    own = jnp.arange(shape.nodes, dtype=jnp.int32)
    edge_multiplicity = data.edge_multiplicity[node] * is_node[:, None]
    # Unused slots name their own node: all of them pointing at one node would make the gradient of
    # the look-up a pile-up on one row.
    sender = jnp.where(
        edge_multiplicity > 0, data.sender[node] + first_node[node_graph][:, None], own[:, None]
    )
    return jraph.GraphsTuple(
        nodes={
            "atomic_number": data.atomic_number[node].astype(jnp.int32) * is_node,
            "multiplicity": data.multiplicity[node].astype(jnp.float32) * is_node,
        },
        edges={
            "distance": data.distance[node].reshape(-1),
            "multiplicity": edge_multiplicity.astype(jnp.float32).reshape(-1),
        },
        senders=sender.reshape(-1),
        receivers=None,
        n_node=n_node,
        n_edge=n_node * data.sender.shape[1],
        globals={
            "atom_node": jnp.where(
                is_atom, data.atom_node[atom] + first_node[atom_graph], shape.nodes - 1
            ),
            "atom_graph": atom_graph,
            "atom_index": atom_local,
            "atom_number": atom,
            "cluster": data.cluster[atom].astype(jnp.int32),
            "target": jnp.where(
                jnp.append(present, False)[:, None], data.target[rows], jnp.nan
            ),
        },
    )


def _members(count: jax.Array, total: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """For each of `total` rows its graph and its number within it; and the sizes of all graphs.

    `count` [B] are the sizes of the crystals; the padding graph B takes what is left.
    """
    count = jnp.append(count, total - count.sum())
    graphs = jnp.arange(count.shape[0], dtype=jnp.int32)
    graph = jnp.repeat(graphs, count, total_repeat_length=total)
    start = jnp.cumsum(count) - count
    return graph, jnp.arange(total, dtype=jnp.int32) - start[graph], count


def epoch_batches(
    dataset: GraphDataset,
    subset: np.ndarray,
    batch_size: int,
    rng: np.random.Generator | None = None,
    parts: int = 1,
) -> np.ndarray:
    """Deal a subset of crystals into batches: int32 [batches, crystals a batch], -1 for none.

    Every crystal is dealt once. Crystals are sorted by size and each stratum, as many neighbours in
    that order as there are batches, is spread over the batches: at random with an `rng`. So every
    batch is a random draw from the same distribution of sizes, and little of it is padding. The
    number of batches is a multiple of `parts`; they differ by one crystal at most.
    """
    strata = _strata(dataset, subset, batch_size, parts)
    if rng is not None:
        strata = rng.permuted(strata, axis=1)
    return np.ascontiguousarray(strata.T)


def batch_shape(
    dataset: GraphDataset, subsets: Sequence[np.ndarray], batch_size: int, parts: int = 1
) -> BatchShape:
    """A shape that every deal (`epoch_batches`) of each of the `subsets` fits into.

    The largest batch there can be takes the largest crystal of every stratum. As strata follow each
    other in size, that is at most about one largest crystal above the mean.
    """
    shapes = []
    for subset in subsets:
        strata = _strata(dataset, subset, batch_size, parts)
        nodes, atoms = (
            int((sizes[strata] * (strata >= 0)).max(axis=1).sum())
            for sizes in (dataset.n_node, dataset.n_atom)
        )
        # At least one row of padding, for the look-ups of padding to point at.
        shapes.append((len(strata), nodes + 1, atoms + 1))
    return BatchShape(*map(max, zip(*shapes, strict=True)))


def _strata(
    dataset: GraphDataset, subset: np.ndarray, batch_size: int, parts: int
) -> np.ndarray:
    """The subset by falling size, cut into rows of one crystal a batch: [strata, batches]."""
    num_batches = -(-len(subset) // (batch_size * parts)) * parts
    # Nodes decide a batch's cost; among equals atoms are spread evenly as well.
    order = np.lexsort((subset, dataset.n_atom[subset], dataset.n_node[subset]))[::-1]
    padded = np.full(-(-len(subset) // num_batches) * num_batches, -1, np.int32)
    padded[: len(subset)] = subset[order]
    return padded.reshape(-1, num_batches)
