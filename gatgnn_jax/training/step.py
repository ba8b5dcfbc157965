"""Pure, compiled training and evaluation over batches, on one device or many.

Both are written over a `jax.sharding.Mesh` with the axis `data`: each device gathers its share of
every batch, and batch-norm statistics, losses and gradients are summed over the axis. One device is
the mesh of size 1.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from data_prep.properties import Property
from gatgnn_jax.batches.arrays import BatchShape, CrystalArrays
from gatgnn_jax.batches.gathering import gather_batch
from gatgnn_jax.config import TrainConfig
from gatgnn_jax.devices.mesh import AXIS
from gatgnn_jax.models.base import ModelState, Network
from gatgnn_jax.models.ensemble import call_members
from gatgnn_jax.objective import Sums, mean_loss_sums

AVERAGE_WARM_UP = 10
"""A moving average remembers about one in so many of the steps until it reaches its full span."""


class TrainState(NamedTuple):
    """All that training changes."""

    params: nnx.State
    stats: nnx.State
    opt_state: optax.OptState
    step: jax.Array
    """int32 scalar: updates made so far"""
    average: ModelState | None = None
    """moving average of parameters and statistics, if there is one"""

    @property
    def model(self) -> ModelState:
        """Parameters and statistics to predict with."""
        return ModelState(self.params, self.stats) if self.average is None else self.average


def init_state(
    model: Network, optimizer: optax.GradientTransformation, averaged: bool = False
) -> tuple[nnx.GraphDef, TrainState]:
    """The model's structure, and the state training starts from."""
    graphdef, *states = nnx.split(model, nnx.Param, nnx.BatchStat)
    params, stats = states
    average = jax.tree.map(jnp.copy, ModelState(params, stats)) if averaged else None
    step = jnp.zeros((), jnp.int32)
    return graphdef, TrainState(params, stats, optimizer.init(params), step, average)


def train_step(
    state: TrainState,
    crystals: jax.Array,
    data: CrystalArrays,
    key: jax.Array,
    *,
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    properties: Sequence[Property],
    shape: BatchShape,
    settings: TrainConfig,
) -> tuple[TrainState, Sums]:
    """One AdamW step on this device's share of a batch.

    Args:
        state: before the step.
        crystals: [B] int32 numbers of this device's crystals, -1 for none.
        data: the dataset.
        key: of the run; the step's own key is folded from it.
        graphdef: the model's structure.
        optimizer: its update.
        properties: what the targets are.
        shape: fixed sizes of the batch on one device.
        settings: of the loss and of the moving average, if `state` has one.

    Returns:
        The state after the step, and the batch's sums over all devices.
    """
    graph = gather_batch(data, crystals, shape)

    def loss_of(params: nnx.State) -> tuple[jax.Array, Any]:
        model = nnx.merge(graphdef, params, state.stats, copy=True)
        step_key = jax.random.fold_in(key, state.step)
        prediction = call_members(model, graph, train=True, key=step_key, axis_name=AXIS).prediction
        target = graph.globals["target"]
        sums = mean_loss_sums(prediction, target, properties, settings.huber_delta)
        sums = jax.lax.psum(sums, AXIS)
        # An ensemble's members each get the gradient of their own loss, not of the mean.
        members = prediction.shape[1]
        loss = (sums.loss / jnp.maximum(sums.count, 1)).mean() * members
        return loss, (nnx.state(model, nnx.BatchStat), sums)

    grads, (stats, sums) = jax.grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if average is not None:
        # At first it spans the last tenth of the steps: early weights are nothing to keep.
        keep = jnp.minimum(settings.averaging, state.step / (state.step + AVERAGE_WARM_UP))
        average = optax.incremental_update(ModelState(params, stats), average, 1 - keep)
    return TrainState(params, stats, opt_state, state.step + 1, average), sums


def make_train_steps(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    properties: Sequence[Property],
    shape: BatchShape,
    mesh: Mesh,
    settings: TrainConfig = TrainConfig(),  # noqa: B008 (frozen)
    placed: PartitionSpec = PartitionSpec(),  # noqa: B008 (immutable)
) -> Callable[..., tuple[TrainState, Sums]]:
    """Compiled `(state, data, batches, key) → (state, sums)` over many steps.

    `batches` is int32 [steps, devices * B]; `placed` says how `data` lie on the devices, as in
    `Feed`. The steps run in one dispatch (`lax.scan`), and the
    state's buffers are reused: do not touch the state that was passed in.
    """
    step = partial(
        train_step,
        graphdef=graphdef,
        optimizer=optimizer,
        properties=properties,
        shape=shape,
        settings=settings,
    )

    def steps(state: TrainState, data: CrystalArrays, batches: jax.Array, key: jax.Array) -> Any:
        state, sums = jax.lax.scan(lambda s, b: step(s, b, data, key), state, batches)
        return state, jax.tree.map(lambda x: x.sum(0), sums)

    everywhere = PartitionSpec()
    sharded = jax.shard_map(
        steps,
        mesh=mesh,
        in_specs=(everywhere, placed, PartitionSpec(None, AXIS), everywhere),
        out_specs=everywhere,
    )
    return jax.jit(sharded, donate_argnums=0)
