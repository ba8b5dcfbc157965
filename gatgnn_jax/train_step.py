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
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from data_prep.properties import Property
from gatgnn_jax.batches import gather_batch
from gatgnn_jax.config import TrainConfig
from gatgnn_jax.crystal_arrays import BatchShape, CrystalArrays
from gatgnn_jax.objective import Sums, loss_sums
from gatgnn_jax.transfer import freeze

AXIS = "data"
EVALUATION_SEED = 0
"""Random clusters are drawn from this seed in evaluation, so that predictions repeat."""

AVERAGE_WARM_UP = 10
"""A moving average remembers about one in so many of the steps until it reaches its full span."""

ModelState = Any
"""A pytree of the model's parameters or batch statistics (nnx.State)."""


class TrainState(NamedTuple):
    """All that training changes."""

    params: ModelState
    stats: ModelState
    opt_state: optax.OptState
    step: jax.Array
    """int32 scalar: updates made so far"""
    average: tuple[ModelState, ModelState] | None = None
    """moving average of parameters and statistics, if there is one"""

    @property
    def model(self) -> tuple[ModelState, ModelState]:
        """Parameters and statistics to predict with."""
        return (self.params, self.stats) if self.average is None else self.average


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices (or the given ones) along the axis `data`."""
    return Mesh(np.array(devices or jax.devices()), (AXIS,))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a pytree on every device of the mesh; what compiled steps take and give back."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def make_optimizer(config: TrainConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """AdamW (decay on every parameter, as torch's) with a piecewise constant learning rate."""
    drops = {epoch * steps_per_epoch: config.decay for epoch in config.milestone_epochs}
    schedule = optax.piecewise_constant_schedule(config.learning_rate, drops)
    # As one vector: an update an array would be half of all the kernels that XLA compiles.
    optimizer = optax.flatten(optax.adamw(schedule, weight_decay=config.weight_decay))
    return freeze(optimizer, config.frozen_parts) if config.frozen_parts else optimizer


def init_state(
    model: nnx.Module, optimizer: optax.GradientTransformation, averaged: bool = False
) -> tuple[nnx.GraphDef, TrainState]:
    """The model's structure, and the state training starts from."""
    graphdef, *states = nnx.split(model, nnx.Param, nnx.BatchStat)
    params, stats = states
    average = jax.tree.map(jnp.copy, (params, stats)) if averaged else None
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
    averaging: float = 0.0,
    huber_delta: float = 1.0,
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
        averaging: how much of `state.average` a step keeps, if there is one.
        huber_delta: where the loss of a regression turns from quadratic to linear.

    Returns:
        The state after the step, and the batch's sums over all devices.
    """
    graph = gather_batch(data, crystals, shape)

    def loss_of(params: ModelState) -> tuple[jax.Array, Any]:
        model = nnx.merge(graphdef, params, state.stats, copy=True)
        output = model(graph, train=True, key=jax.random.fold_in(key, state.step), axis_name=AXIS)
        sums = loss_sums(output.prediction, graph.globals["target"], properties, huber_delta)
        sums = jax.lax.psum(sums, AXIS)
        # An ensemble's members each get the gradient of their own loss, not of the mean.
        members = output.prediction.shape[1] if output.prediction.ndim == 3 else 1
        loss = (sums.loss / jnp.maximum(sums.count, 1)).mean() * members
        return loss, (nnx.state(model, nnx.BatchStat), sums)

    grads, (stats, sums) = jax.grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if average is not None:
        # At first it spans the last tenth of the steps: early weights are nothing to keep.
        keep = jnp.minimum(averaging, state.step / (state.step + AVERAGE_WARM_UP))
        average = optax.incremental_update((params, stats), average, 1 - keep)
    return TrainState(params, stats, opt_state, state.step + 1, average), sums


def make_train_steps(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    properties: Sequence[Property],
    shape: BatchShape,
    mesh: Mesh,
    averaging: float = 0.0,
    huber_delta: float = 1.0,
) -> Callable[..., tuple[TrainState, Sums]]:
    """Compiled `(state, data, batches, key) → (state, sums)` over many steps.

    `batches` is int32 [steps, devices * B]. The steps run in one dispatch (`lax.scan`), and the
    state's buffers are reused: do not touch the state that was passed in.
    """
    step = partial(
        train_step,
        graphdef=graphdef,
        optimizer=optimizer,
        properties=properties,
        shape=shape,
        averaging=averaging,
        huber_delta=huber_delta,
    )

    def steps(state: TrainState, data: CrystalArrays, batches: jax.Array, key: jax.Array) -> Any:
        state, sums = jax.lax.scan(lambda s, b: step(s, b, data, key), state, batches)
        return state, jax.tree.map(lambda x: x.sum(0), sums)

    everywhere = PartitionSpec()
    sharded = jax.shard_map(
        steps,
        mesh=mesh,
        in_specs=(everywhere, everywhere, PartitionSpec(None, AXIS), everywhere),
        out_specs=everywhere,
    )
    return jax.jit(sharded, donate_argnums=0)


class Prediction(NamedTuple):
    """The model's outputs, batch by batch: [batches, devices * B, …]."""

    output: jax.Array
    """[…, outputs]"""
    crystal_vector: jax.Array
    """[…, F]"""


def make_predict(
    graphdef: nnx.GraphDef, shape: BatchShape, mesh: Mesh
) -> Callable[..., Prediction]:
    """Compiled `(params, stats, data, batches) → Prediction`; `batches` as in training."""

    def predict(
        params: ModelState, stats: ModelState, data: CrystalArrays, batches: jax.Array
    ) -> Prediction:
        model = nnx.merge(graphdef, params, stats, copy=True)

        def one(crystals: jax.Array) -> Prediction:
            graph = gather_batch(data, crystals, shape)
            output = model(graph, key=jax.random.key(EVALUATION_SEED))
            return Prediction(output.prediction[:-1], output.crystal_vector[:-1])

        return jax.lax.map(one, batches)

    everywhere = PartitionSpec()
    return jax.jit(
        jax.shard_map(
            predict,
            mesh=mesh,
            in_specs=(everywhere, everywhere, everywhere, PartitionSpec(None, AXIS)),
            out_specs=PartitionSpec(None, AXIS),
        )
    )
