"""The model against numbers from running the published program."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gatgnn_jax.config import TrainConfig
from gatgnn_jax.devices.mesh import data_mesh, replicate
from gatgnn_jax.published.gatgnn import published_names
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.training.step import TrainState, make_train_steps
from tests.golden import GOLDEN_FILES, LEARNING_RATE, WEIGHT_DECAY, load_golden
from tests.golden_case import CRYSTALS, MODULUS, Case

pytestmark = pytest.mark.usefixtures("optimized")


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


@pytest.mark.slow
def test_training_output_and_gradients(case):
    named, prediction = case.gradients_and_prediction()
    output = case.golden.arrays["train_output"]
    np.testing.assert_allclose(prediction[:12, 0], output, 0, 2e-5)

    expected, bars = case.golden.named("grad"), case.golden.gradient_bars()
    assert named.keys() == expected.keys()
    for name, gradient in named.items():
        np.testing.assert_allclose(gradient, expected[name], 0, bars[name], err_msg=name)


@pytest.mark.slow
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
