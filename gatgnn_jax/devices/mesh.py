"""The devices that share a batch: one axis, `data`; a single device is the mesh of size 1.

Devices of several processes make one mesh, and all processes call these functions with the same
values.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gatgnn_jax.devices.processes import is_alone, meet

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


def meet_on_devices(mesh: Mesh) -> None:
    """Let the devices of all processes find each other, for which they may have half a minute.

    Without this they would do so within the first program, which one process may have compiled a
    minute before another has.
    """
    if not is_alone():
        meet()
        ones = put(np.ones(mesh.size, np.float32), mesh, PartitionSpec(AXIS))
        everywhere = NamedSharding(mesh, PartitionSpec())
        jax.block_until_ready(jax.jit(jnp.sum, out_shardings=everywhere)(ones))


def put(tree: Any, mesh: Mesh, spec: PartitionSpec) -> Any:
    """Arrays that every process has whole, as arrays over the devices of all processes."""
    sharding = NamedSharding(mesh, spec)
    if is_alone():
        return jax.device_put(tree, sharding)

    def place(whole: Any) -> jax.Array:
        is_key = isinstance(whole, jax.Array) and jax.dtypes.issubdtype(
            whole.dtype, jax.dtypes.prng_key
        )
        values = whole if is_key else np.asarray(whole)
        return jax.make_array_from_callback(values.shape, sharding, lambda part: values[part])

    return jax.tree.map(place, tree)


def put_shares(share_of: Callable[[int], Any], mesh: Mesh) -> Any:
    """Arrays of which each device has a share of its own, one after another along their axis 0.

    `share_of` makes a device's, by its place in the mesh; it is called for this process's devices
    only.
    """
    own = [place for place, device in enumerate(mesh.devices) if device in mesh.local_devices]
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))

    def join(*shares: np.ndarray) -> jax.Array:
        shape = (len(shares[0]) * mesh.size, *shares[0].shape[1:])
        return jax.make_array_from_process_local_data(sharding, np.concatenate(shares), shape)

    return jax.tree.map(join, *map(share_of, own))


def whole(tree: Any) -> Any:
    """Arrays over the devices of all processes, as numpy arrays in each."""
    if is_alone():
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)
