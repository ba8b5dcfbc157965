"""Where a training's batches find their crystals: all on the device, or windows read from disk."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from data_prep.dataset import GraphDataset
from gatgnn_jax.batches.arrays import (
    BatchShape,
    CrystalArrays,
    CrystalSizes,
    crystal_arrays,
    is_dense,
    padded,
    sizes_of,
)
from gatgnn_jax.batches.gathering import BatchPlan
from gatgnn_jax.devices.mesh import AXIS, deal_out, put_shares, replicate
from gatgnn_jax.devices.processes import agree

if TYPE_CHECKING:
    from gatgnn_jax.choices import Streaming

CHUNK = 8192
"""Crystals whose sizes are taken at a time."""

MEMORY_SHARE = 0.25
"""A dataset is streamed if its arrays take more than this share of a device's memory."""

KEPT_BYTES, MADE_BYTES = 17, 65
"""What an edge takes on a device (sender, bond, its distance, multiplicity, and for merged edges a
receiver), and at most on the machine while the arrays are made."""


class Feed(Protocol):
    """Gives compiled steps their crystals."""

    plan: BatchPlan
    num_crystals: int
    placed: PartitionSpec
    """where the crystals lie: all on every device, or on each device its own"""

    def __call__(self, parts: np.ndarray) -> Iterator[tuple[CrystalArrays, jax.Array]]:
        """For each part of `parts` [parts, steps, B]: crystals on the devices, and the batches.

        The batches [steps, B] count within the crystals of their device.
        """


class ResidentFeed:
    """The whole dataset lies on every device."""

    placed = PartitionSpec()

    def __init__(
        self, data: CrystalArrays, subsets: Mapping[str, np.ndarray], batch_size: int, mesh: Mesh
    ):
        """`data` on the host; `subsets` are the crystal numbers that will be dealt."""
        self.plan = BatchPlan(sizes_of(data), list(subsets.values()), batch_size, mesh.size)
        self.num_crystals = len(data.target)
        self.mesh = mesh
        self.data = replicate(data, mesh)

    def __call__(self, parts: np.ndarray) -> Iterator[tuple[CrystalArrays, jax.Array]]:
        """See `Feed`."""
        for batches in parts:
            yield self.data, deal_out(batches, self.mesh)


class StreamedFeed:
    """Crystals are read part by part from a dataset on disk, one part ahead.

    The batches are those of `ResidentFeed`, and so is every number that comes of them; only GI M-3
    draws other random clusters in training, as it draws by an atom's row. Memory holds two parts,
    the one at work and the next. They have one shape, so that one compiled program runs them all.
    Each device gets the crystals of its own shares, and a process reads those of its devices.
    """

    placed = PartitionSpec(AXIS)

    def __init__(
        self,
        dataset: GraphDataset,
        target: np.ndarray,
        subsets: Mapping[str, np.ndarray],
        batch_size: int,
        mesh: Mesh,
    ):
        """`target` [C, T] as of `network_targets`; `subsets` are the crystals that are dealt."""
        self.dataset, self.target, self.mesh = dataset, target, mesh
        self.dense = is_dense(dataset)
        self.plan = BatchPlan(self._sizes(), list(subsets.values()), batch_size, mesh.size)
        self.num_crystals = len(dataset)

    def __call__(self, parts: np.ndarray) -> Iterator[tuple[CrystalArrays, jax.Array]]:
        """See `Feed`."""
        with ThreadPoolExecutor(1) as reader:
            coming = [reader.submit(self._window, batches) for batches in parts[:1]]
            for batches in [*parts[1:], None]:
                window = coming.pop().result()
                if batches is not None:
                    coming.append(reader.submit(self._window, batches))
                yield window

    def _window(self, batches: np.ndarray) -> tuple[CrystalArrays, jax.Array]:
        """The crystals of some batches, and the same batches counted within each device's."""
        # A share's crystals are counted one after another, from 0 in every share.
        shares = batches.reshape(len(batches), self.plan.devices, -1).swapaxes(0, 1)
        present = shares >= 0
        local = (
            np.where(present, present.reshape(len(shares), -1).cumsum(1).reshape(shares.shape), 0)
            - 1
        )
        shape = BatchShape(*(size * len(batches) for size in self.plan.shape))

        def crystals_of(device: int) -> CrystalArrays:
            numbers = shares[device][present[device]]
            data = crystal_arrays(self.dataset.take(numbers), self.target[numbers], self.dense)
            return padded(data, shape)

        local = local.astype(np.int32).swapaxes(0, 1).reshape(batches.shape)
        return put_shares(crystals_of, self.mesh), deal_out(local, self.mesh)

    def _sizes(self) -> CrystalSizes:
        """As `sizes_of` the whole dataset, which is never in memory."""
        chunks = []
        for start in range(0, len(self.dataset), CHUNK):
            part = self.dataset.take(range(start, min(start + CHUNK, len(self.dataset))))
            chunks.append(sizes_of(crystal_arrays(part, np.zeros((len(part), 1)), self.dense)))
        node, edge, bond, atom = map(np.concatenate, zip(*(c[:4] for c in chunks), strict=True))
        return CrystalSizes(node, edge, bond, atom, chunks[0].slots)


def make_feed(
    dataset: GraphDataset,
    target: np.ndarray,
    subsets: Mapping[str, np.ndarray],
    batch_size: int,
    mesh: Mesh,
    streaming: "Streaming" = "auto",
) -> Feed:
    """The feed for a dataset, with what the network is to give [C, T] as of `network_targets`.

    Of more edges than 32 bits can number no array can be made: they are streamed in any case.
    """
    too_many = dataset.edge_multiplicity.size >= 2**31
    large = streaming == "auto" and agree(_is_large(dataset, mesh))
    if streaming == "always" or too_many or large:
        return StreamedFeed(dataset, target, subsets, batch_size, mesh)
    return ResidentFeed(crystal_arrays(dataset, target), subsets, batch_size, mesh)


def _is_large(dataset: GraphDataset, mesh: Mesh) -> bool:
    """Whether a dataset's arrays would crowd a device's memory, or the machine's to make them."""
    edges = dataset.edge_multiplicity.size
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    device = (mesh.local_devices[0].memory_stats() or {}).get("bytes_limit", machine)
    return edges * KEPT_BYTES > MEMORY_SHARE * device or edges * MADE_BYTES > machine / 2
