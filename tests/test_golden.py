"""The model against numbers from running the published program."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from data_prep.properties import Property
from gatgnn_jax.batches.arrays import BatchShape, crystal_arrays
from gatgnn_jax.batches.devices import data_mesh, replicate
from gatgnn_jax.batches.gathering import gather_batch
from gatgnn_jax.config import TrainConfig
from gatgnn_jax.models.base import Output
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.objective import loss_sums
from gatgnn_jax.published.gatgnn import from_torch, layout, published_names
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.training.step import TrainState, make_train_steps
from tests.golden import GOLDEN_FILES, LEARNING_RATE, WEIGHT_DECAY, Golden, load_golden

pytestmark = pytest.mark.usefixtures("optimized")

MODULUS = Property("log10_modulus", "log10_modulus")
CRYSTALS = np.array([*range(12), -1, -1], np.int32)
"""The twelve, and room for two more, so that padding is seen to change nothing."""


class Case:
    """One golden file in one layout: its batch, and our model with its weights."""

    def __init__(self, golden: Golden, writes_receivers: bool):
        self.golden = golden
        dataset = golden.dataset
        data = crystal_arrays(dataset, golden.arrays["y"][:, None])
        assert data.receiver is None
        nodes, slots = dataset.edge_sender.shape
        if writes_receivers:
            local = np.concatenate([np.arange(n, dtype=np.int32) for n in dataset.n_node])
            data = data._replace(receiver=np.repeat(local, slots))
        bonds = len(data.bond_distance)
        self.shape = BatchShape(len(CRYSTALS), nodes + 4, slots * (nodes + 4), bonds + 4, nodes + 4)
        self.data = jax.tree.map(jnp.asarray, data)
        gather = jax.jit(gather_batch, static_argnums=2)
        self.batch = gather(self.data, jnp.asarray(CRYSTALS), self.shape)
        imported = from_torch(golden.named("param"), golden.global_attention)
        self.weights = imported.weights
        self.tensors = layout(imported.model, len(imported.graph.gaussian_centers), 1)
        self.graphdef = nnx.graphdef(
            nnx.eval_shape(lambda: GATGNN(imported.model, imported.graph, 1, rngs=nnx.Rngs(0)))
        )

    def run(self, params: nnx.State, *, train: bool) -> Output:
        model = nnx.merge(self.graphdef, params, self.weights.stats, copy=True)
        return model(self.batch, train=train)

    def loss_and_prediction(self, params: nnx.State) -> tuple[jax.Array, jax.Array]:
        prediction = self.run(params, train=True).prediction
        sums = loss_sums(prediction, self.batch.globals["target"], [MODULUS])
        return sums.loss[0] / sums.count[0], prediction


@cache
def case_of(name: str, layout: str) -> Case:
    return Case(load_golden(name), writes_receivers=layout == "segments")


@pytest.fixture(params=GOLDEN_FILES)
def name(request):
    return request.param


@pytest.fixture(params=["slots", "segments"])
def case(request, name):
    return case_of(name, request.param)


def test_evaluation(case):
    output = jax.jit(lambda p: case.run(p, train=False))(case.weights.params)
    expected = case.golden.arrays
    np.testing.assert_allclose(output.prediction[:12, 0], expected["eval_output"], 0, 2e-5)
    n_atom = len(expected["atomic_number"])
    attention = expected.get("eval_global_attention", np.ones(n_atom))  # "none" has none
    np.testing.assert_allclose(output.atom_attention[:n_atom], attention, 0, 2e-5)


def test_training_output_and_gradients(case):
    gradients_of = jax.jit(jax.grad(case.loss_and_prediction, has_aux=True))
    gradients, prediction = gradients_of(case.weights.params)
    output = case.golden.arrays["train_output"]
    np.testing.assert_allclose(prediction[:12, 0], output, 0, 2e-5)

    named = published_names(case.tensors, gradients)
    expected, bars = case.golden.named("grad"), case.golden.gradient_bars()
    assert named.keys() == expected.keys()
    for name, gradient in named.items():
        np.testing.assert_allclose(gradient, expected[name], 0, bars[name], err_msg=name)


def test_four_training_steps(name):
    case = case_of(name, "slots")
    config = TrainConfig(learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    optimizer = make_optimizer(config, steps_per_epoch=4)
    mesh = data_mesh(jax.devices()[:1])
    params, stats = case.weights
    state = TrainState(params, stats, optimizer.init(params), jnp.zeros((), jnp.int32))
    state, data = replicate((state, case.data), mesh)
    train_steps = make_train_steps(case.graphdef, optimizer, [MODULUS], case.shape, mesh)
    losses = []
    for _ in range(4):
        state, sums = train_steps(state, data, jnp.asarray(CRYSTALS[None]), jax.random.key(0))
        losses.append(float(sums.loss[0] / sums.count[0]))
    np.testing.assert_allclose(losses, case.golden.arrays["train_losses"], rtol=1e-3)

    statistics = published_names(case.tensors, state.stats)
    expected = case.golden.named("after")
    assert statistics.keys() == expected.keys()
    for name, values in statistics.items():
        np.testing.assert_allclose(values, expected[name], 2e-3, 2e-3, err_msg=name)
