"""The devices that share a batch: one axis, `data`; a single device is the mesh of size 1."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from gatgnn_jax.batches.processes import put

AXIS = "data"


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices (or the given ones) along the axis `data`."""
    return Mesh(np.array(devices or jax.devices()), (AXIS,))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a pytree on every device of the mesh; what compiled steps take and give back."""
    return put(tree, mesh, PartitionSpec())


def deal_out(batches: np.ndarray, mesh: Mesh) -> jax.Array:
    """Batches [steps, devices * B], each device's share on that device."""
    return put(batches, mesh, PartitionSpec(None, AXIS))
