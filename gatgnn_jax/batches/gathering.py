"""Batches of fixed shape: which crystals go together, and how they are gathered on the device.

A batch is a row of crystal numbers, and `gather_batch` turns it into a padded `jraph.GraphsTuple`
inside the jitted step. So an epoch is one array of numbers, and nothing but that goes from the host
to the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from gatgnn_jax.batches.arrays import BatchShape, CrystalArrays, CrystalSizes


def gather_batch(data: CrystalArrays, crystals: jax.Array, shape: BatchShape) -> jraph.GraphsTuple:
    """The crystals [B] int32 of a dataset (-1: none) as one padded graph.

    Pure and jittable: every size is fixed by `shape`. The caller sees to it that the crystals fit
    (`BatchPlan`).
    """
    crystals = jnp.append(crystals, -1)  # the padding graph
    present = crystals >= 0
    num_rows = jnp.where(present[:, None], data.num_rows[crystals], 0)
    node, edge, bond, atom = _members(num_rows.T, data.first_row[crystals].T, shape)

    def node_of(member: _Members, local: jax.Array) -> jax.Array:
        """Crystal-wise node numbers as batch-wise ones; padding is spread over all nodes."""
        spread = jnp.arange(member.row.shape[0], dtype=jnp.int32) % shape.nodes
        return jnp.where(member.real, local[member.row] + node.first[member.graph], spread)

    bonds = data.edge_bond[edge.row] + bond.first[edge.graph]
    return jraph.GraphsTuple(
        nodes={
            "atomic_number": jnp.where(
                node.real, data.atomic_number[node.row].astype(jnp.int32), 0
            ),
            "multiplicity": jnp.where(
                node.real, data.multiplicity[node.row].astype(jnp.float32), 0
            ),
        },
        edges={
            "bond": jnp.where(
                edge.real, bonds, jnp.arange(shape.edges, dtype=jnp.int32) % shape.bonds
            ),
            "multiplicity": jnp.where(
                edge.real, data.edge_multiplicity[edge.row].astype(jnp.float32), 0
            ),
        },
        senders=node_of(edge, data.sender),
        receivers=None if data.receiver is None else node_of(edge, data.receiver),
        n_node=node.count,
        n_edge=edge.count,
        globals={
            "bond_distance": data.bond_distance[bond.row],
            "atom_node": node_of(atom, data.atom_node),
            "atom_graph": atom.graph,
            "atom_index": atom.local,
            "atom_number": atom.row,
            "cluster": data.cluster[atom.row].astype(jnp.int32),
            "target": jnp.where(present[:, None], data.target[crystals], jnp.nan),
        },
    )


@dataclass(frozen=True)
class _Members:
    """Where a batch's rows of one kind come from."""

    row: jax.Array
    """the row of the dataset; padding reads row 0, and is masked or never read"""
    graph: jax.Array
    """the graph the row belongs to"""
    local: jax.Array
    """its number within that graph"""
    real: jax.Array
    """whether it is no padding"""
    count: jax.Array
    """rows of each graph [G]"""
    first: jax.Array
    """each graph's first row in the batch [G]"""


def _members(count: jax.Array, start: jax.Array, shape: BatchShape) -> list[_Members]:
    """The rows of all four kinds, from how many each graph has and their starts [4, G].

    The last graph is padding and takes the rows that are left over. The kinds stand in one list,
    one after another, so that one search finds the graphs of all rows: fewer kernels to compile.

    Of one kind alone, for a dataset whose crystals have 3, 2 and 4 nodes and so begin at rows 0, 3
    and 5, the batch of crystals 2 and 0 in a shape of 9 nodes (the last graph is padding):

        count           4  3  2                  the padding takes 9 - 4 - 3
        first           0  4  7                  where each graph begins in the batch
        row             0  1  2  3  4  5  6  7  8
        place (graph)   0  0  0  0  1  1  1  2  2
        local           0  1  2  3  0  1  2  0  1
        source          5  6  7  8  0  1  2      the row of the dataset; of padding 0
    """
    totals = np.array([shape.nodes, shape.edges, shape.bonds, shape.atoms], np.int32)
    base = (np.cumsum(totals) - totals)[:, None]
    graphs = count.shape[1]
    count = count.at[:, -1].set(totals - count.sum(1))
    end = jnp.cumsum(count, axis=1)
    first = end - count

    row = jnp.arange(totals.sum(), dtype=jnp.int32)
    place = jnp.searchsorted((base + end).ravel(), row, side="right").astype(jnp.int32)
    local = row - (base + first).ravel()[place]
    source = start.ravel()[place] + local
    members = []
    for kind, (begin, total) in enumerate(zip(base[:, 0], totals, strict=True)):
        own = slice(begin, begin + total)
        graph = place[own] - kind * graphs
        real = graph < graphs - 1
        row_or_0 = jnp.where(real, source[own], 0)
        members.append(_Members(row_or_0, graph, local[own], real, count[kind], first[kind]))
    return members


MAX_STEPS = 32
"""An epoch's steps are cut into equal parts no longer than this: one compiled program runs each."""


class BatchPlan:
    """Deals crystals into batches that all fit one shape.

    Crystals are sorted by size, and each stratum, as many neighbours in that order as there are
    batches, is spread over the batches. So every batch is a draw from the same distribution of
    sizes, and little of it is padding: the largest batch there can be takes the largest crystal of
    every stratum, and as strata follow each other in size, that is at most about one largest
    crystal above the mean.

    Which crystals make a batch does not depend on the number of devices. A device gets whole
    strata, the same ones of every batch, so that its share fits one shape as well; they are dealt
    so that the largest shares there can be are alike.
    """

    def __init__(
        self,
        sizes: CrystalSizes,
        subsets: Sequence[np.ndarray],
        batch_size: int,
        devices: int = 1,
    ):
        """Plan for the subsets (crystal numbers) of a dataset.

        Args:
            sizes: of the crystals.
            subsets: every subset that will be dealt.
            batch_size: crystals a step at most, over all devices.
            devices: they share every batch.
        """
        self.sizes = sizes[:4]
        self.devices = devices
        self.batch_size = batch_size
        largest = [self._largest(self._strata(subset)) for subset in subsets]
        shares = np.concatenate([self._shares(own, self._owners(own)) for own in largest])
        crystals, nodes, edges, bonds, atoms = map(int, shares.max(axis=0))
        if sizes.slots is not None:
            edges = nodes * sizes.slots
        self.shape = BatchShape(crystals, nodes, edges, bonds, atoms)
        """of the part of a batch that one device gets"""

    def deal(self, subset: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Crystal numbers [parts, steps, devices * crystals] int32, -1 for none.

        Every crystal is dealt once, within its stratum at random if there is an `rng`; batches
        differ by one crystal at most.

        Raises:
            ValueError: it is none of the planned subsets, and has batches larger than theirs.
        """
        strata = self._strata(subset)
        largest = self._largest(strata)
        owner = self._owners(largest)
        if (self._shares(largest, owner) > np.array(self.shape)).any():
            raise ValueError("crystals that were not planned for, and do not fit: plan this subset")
        if rng is not None:
            strata = rng.permuted(strata, axis=1)
        batches = np.full((strata.shape[1], self.devices, self.shape.crystals), -1, np.int32)
        for device in range(self.devices):
            own = strata[owner == device]
            batches[:, device, : len(own)] = own.T
        return batches.reshape(self._parts(subset), -1, self.devices * self.shape.crystals)

    def padding_share(self, subset: np.ndarray) -> float:
        """The share of a batch's edge rows that are padding when `subset` is dealt."""
        edges = self.sizes[1]
        rows = self._strata(subset).shape[1] * self.devices * self.shape.edges
        return float(1 - edges[subset].sum() / rows)

    def _parts(self, subset: np.ndarray) -> int:
        steps = -(-len(subset) // self.batch_size)
        return -(-steps // MAX_STEPS)

    def _strata(self, subset: np.ndarray) -> np.ndarray:
        """The subset by falling size, cut into rows of one crystal a batch: [strata, batches]."""
        parts = self._parts(subset)
        batches = -(-len(subset) // (self.batch_size * parts)) * parts
        # Edges decide a batch's cost; among equals the rest is spread evenly as well.
        node, edge, bond, atom = (sizes[subset] for sizes in self.sizes)
        order = np.lexsort((subset, atom, bond, node, edge))[::-1]
        padded = np.full(-(-len(subset) // batches) * batches, -1, np.int32)
        padded[: len(subset)] = subset[order]
        return padded.reshape(-1, batches)

    def _largest(self, strata: np.ndarray) -> np.ndarray:
        """What a stratum gives to a batch at most: [strata, 5], kinds as in `BatchShape`."""
        rows = [(sizes[strata] * (strata >= 0)).max(axis=1) for sizes in self.sizes]
        return np.stack([np.ones(len(strata), np.int64), *rows], axis=1)

    def _owners(self, largest: np.ndarray) -> np.ndarray:
        """The device that each stratum goes to [strata], by what it gives at most.

        Largest first, each goes to the device that it fills least, where the fill is that of the
        kind of which there is most: the rule of the longest processing time for several kinds.
        """
        share = largest / largest.sum(axis=0)
        filled = np.zeros((self.devices, share.shape[1]))
        owner = np.empty(len(largest), np.int64)
        for number, own in enumerate(share):
            owner[number] = (filled + own).max(axis=1).argmin()
            filled[owner[number]] += own
        return owner

    def _shares(self, largest: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """What each device gets of a batch at most: [devices, 5]."""
        return np.stack([largest[owner == d].sum(axis=0) for d in range(self.devices)])


def in_dataset_order(values: np.ndarray, batches: np.ndarray, num_crystals: int) -> np.ndarray:
    """Batched rows [parts, steps, B, …] → one float32 row for each crystal of the dataset [C, …].

    Crystals that are in no batch get NaN.
    """
    result = np.full((num_crystals, *values.shape[3:]), np.nan, np.float32)
    present = batches >= 0
    result[batches[present]] = values[present]
    return result
