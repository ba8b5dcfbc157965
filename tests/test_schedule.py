"""The learning rate of every step, and what weight decay acts on."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from flax import nnx

from data_prep.config import GraphConfig
from gatgnn_jax.config import TrainConfig
from gatgnn_jax.training.optimizer import learning_rate, make_optimizer
from tests.commands import TINY, train_run
from tests.models import small_network

PEAK, STEPS = 2e-3, 7


def rates(**settings):
    """The rate of each step of ten epochs."""
    config = TrainConfig(epochs=10, learning_rate=PEAK, **settings)
    schedule = learning_rate(config, STEPS)
    return np.array([float(schedule(step)) for step in range(10 * STEPS)])


def test_stages():
    own = rates(milestones=(3 / 7, 5 / 7), decay=0.25)
    # Milestones fall between epochs: 3 / 7 and 5 / 7 of ten are 4 and 7.
    expected = np.repeat([PEAK, PEAK / 4, PEAK / 16], [4 * STEPS, 3 * STEPS, 3 * STEPS])
    np.testing.assert_allclose(own, expected, rtol=1e-6)


def test_short_trainings_begin_at_the_full_rate():
    """Of milestones that fall into one epoch both count."""
    expected = {1: [1], 2: [1, 0.1], 3: [1, 1, 0.01], 4: [1, 1, 0.1, 0.01]}
    for epochs, shares in expected.items():
        own = learning_rate(TrainConfig(epochs=epochs, learning_rate=PEAK, decay=0.1), STEPS)
        first = [float(own(epoch * STEPS)) for epoch in range(epochs)]
        np.testing.assert_allclose(first, PEAK * np.array(shares), rtol=1e-6)


def test_one_cycle():
    """As PyTorch's OneCycleLR: a rise from a 25th over 30 % of the steps, then to nothing."""
    own = rates(schedule="one-cycle")
    start, end = PEAK / 25, PEAK / 25 / 1e4
    rise = [start + (PEAK - start) * (1 - math.cos(math.pi * k / 21)) / 2 for k in range(21)]
    fall = [end + (PEAK - end) * (1 + math.cos(math.pi * k / 49)) / 2 for k in range(49)]
    np.testing.assert_allclose(own, [*rise, *fall], rtol=1e-4)


def test_cosine():
    angle = np.pi * np.arange(10 * STEPS) / (10 * STEPS)
    np.testing.assert_allclose(
        rates(schedule="cosine"), PEAK * (1 + np.cos(angle)) / 2, rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_have_rates(schedule, steps):
    own = learning_rate(TrainConfig(epochs=1, schedule=schedule), steps)
    rate = np.array([float(own(step)) for step in range(steps)])
    assert np.isfinite(rate).all()
    assert (rate > 0).all()
    assert rate.max() <= 5e-3 * (1 + 1e-6)


def test_unknown_ones_are_refused():
    with pytest.raises(ValueError, match="schedule is 'linear': give one of piecewise"):
        TrainConfig(schedule="linear")


@pytest.mark.slow
def test_the_table_has_the_rates_of_training(tmp_path):
    options = ["--schedule=one-cycle", "--epochs=5", "--limit=40", "--learning-rate=2e-3"]
    run = train_run(tmp_path / "run", *options, "--batch-size=256", *TINY)
    table = pd.read_csv(run / "metrics.csv")
    schedule = learning_rate(
        TrainConfig(epochs=5, learning_rate=PEAK, schedule="one-cycle"), steps_per_epoch=1
    )
    expected = [float(schedule(epoch)) for epoch in range(5)]
    np.testing.assert_allclose(table.learning_rate, expected, rtol=1e-5)


def updates(**settings):
    """One step without a gradient: what decay alone does to the parameters, by name."""
    network = small_network("gated-gatgnn", GraphConfig())
    params = nnx.state(network, nnx.Param)
    optimizer = make_optimizer(TrainConfig(learning_rate=0.1, weight_decay=0.5, **settings), 1)
    zero = jax.tree.map(np.zeros_like, params)
    change, _ = optimizer.update(zero, optimizer.init(params), params)
    after = optax.apply_updates(params, change)
    shares = jax.tree.map(lambda new, old: np.asarray(new / old), after, params)
    return dict(jax.tree.leaves_with_path(shares))


@pytest.mark.parametrize("decay_norms", [True, False])
@pytest.mark.slow
def test_what_decays(decay_norms):
    own = updates(decay_norms=decay_norms)
    kept = {path for path, share in own.items() if np.allclose(share, 1)}
    named = {path for path in own if re.search(r"'(bias|scale)'\]", jax.tree_util.keystr(path))}
    assert kept == (set() if decay_norms else named)
    assert 0 < len(named) < len(own)
    for path, share in own.items():
        if path not in kept:
            np.testing.assert_allclose(share, 1 - 0.1 * 0.5, rtol=1e-5)


def test_sgd_keeps_its_direction():
    """Written out: v ← 0.9 v + g, then w ← w − rate · (v + decay · w)."""
    config = TrainConfig(optimizer="sgd", learning_rate=0.1, weight_decay=0.5, epochs=2)
    optimizer = make_optimizer(config, steps_per_epoch=1)
    weight, gradients = 2.0, [1.0, -3.0]
    own, state = {"w": jnp.array([weight])}, optimizer.init({"w": jnp.array([weight])})
    direction = 0.0
    for rate, gradient in zip((0.1, 0.01), gradients, strict=True):
        change, state = optimizer.update({"w": jnp.array([gradient])}, state, own)
        own = optax.apply_updates(own, change)
        direction = 0.9 * direction + gradient
        weight -= rate * (direction + 0.5 * weight)
        np.testing.assert_allclose(own["w"], [weight], rtol=1e-5)
