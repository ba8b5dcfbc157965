"""Our version, set up to be timed: as `python -m gatgnn_jax.train` trains and predicts."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.contenders import Contender
from data_prep.dataset import GraphDataset
from data_prep.properties import Property
from gatgnn_jax.batches.arrays import crystal_arrays, sizes_of
from gatgnn_jax.batches.gathering import BatchPlan
from gatgnn_jax.config import ModelConfig, Precision, TrainConfig
from gatgnn_jax.devices.compiler_memory import release_after_compiling
from gatgnn_jax.devices.mesh import data_mesh, replicate
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.prediction.engines import make_predict
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.training.step import init_state, make_train_steps


def jax_contender(
    dataset: GraphDataset,
    target: np.ndarray,
    layers: int,
    batch_size: int,
    batch: np.ndarray,
    precision: Precision = "float32",
) -> Contender:
    """Our version on a dataset with targets [C]; `batch` are the crystals of a step."""
    release_after_compiling()
    data = crystal_arrays(dataset, target[:, None])
    everything = np.arange(len(dataset))
    mesh = data_mesh(jax.devices()[:1])
    plan = BatchPlan(sizes_of(data), [everything, batch], batch_size)
    parts = plan.deal(everything)
    config = ModelConfig(num_layers=layers, precision=precision)
    model = GATGNN(config, dataset.config, 1, rngs=nnx.Rngs(0))
    optimizer = make_optimizer(TrainConfig(), parts.shape[0] * parts.shape[1])
    graphdef, state = init_state(model, optimizer)
    properties = (Property("target", "target"),)
    steps = make_train_steps(graphdef, optimizer, properties, plan.shape, mesh)
    predict = make_predict(graphdef, plan.shape, mesh)

    device_data = replicate(data, mesh)
    box = [replicate(state, mesh)]  # the step uses up the state it is given
    one = jnp.asarray(plan.deal(batch)[0])
    key = jax.random.key(0)

    def train(batches: jax.Array) -> None:
        box[0], sums = steps(box[0], device_data, batches, key)
        jax.block_until_ready(sums)

    def train_epoch() -> None:
        for part in plan.deal(everything, np.random.default_rng(0)):
            train(jnp.asarray(part))

    def evaluate() -> None:
        jax.block_until_ready(predict(box[0].params, box[0].stats, device_data, one))

    return Contender(
        train_step=lambda: train(one),
        evaluate=evaluate,
        train_epoch=train_epoch,
        padding_share=plan.padding_share(everything),
        batch_shape=plan.shape._asdict(),
    )
