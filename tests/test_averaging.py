"""The moving average of the weights, against one taken by hand."""

import jax
import numpy as np
import pandas as pd
import pytest

from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax import train
from gatgnn_jax.batches.feeds import ResidentFeed
from gatgnn_jax.config import TrainConfig
from gatgnn_jax.devices.mesh import data_mesh, replicate
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.training.step import TrainState, init_state, make_train_steps
from tests.commands import SMALL, error_of, train_run
from tests.crystals import bundled
from tests.models import arrays_of, assert_trees_close, dataset_of, small_model

STEPS = 8


def states_of(averaging: float) -> list[TrainState]:
    """The states after each of some steps."""
    structures = [structure for _, structure in bundled(20)]
    data = arrays_of(dataset_of(structures, GraphConfig()))
    everything, mesh = np.arange(20), data_mesh(jax.devices()[:1])
    feed = ResidentFeed(data, {"train": everything}, 20, mesh)
    [(crystals, batches)] = feed(feed.plan.deal(everything))
    settings = TrainConfig(learning_rate=0.01, averaging=averaging)
    optimizer = make_optimizer(settings, 1)
    graphdef, state = init_state(small_model(GraphConfig()), optimizer, averaging > 0)
    properties = (Property("x", "x"),)
    steps = make_train_steps(graphdef, optimizer, properties, feed.plan.shape, mesh, settings)
    state, states = replicate(state, mesh), []
    for _ in range(STEPS):
        state, _ = steps(state, crystals, batches, jax.random.key(0))
        states.append(jax.device_get(state))
    return states


@pytest.mark.slow
def test_average_is_that_of_the_states() -> None:
    """Of the last states, and of as few as a tenth of all so far while those are fewer."""
    plain, averaged = states_of(0), states_of(0.25)
    assert plain[-1].average is None
    assert plain[-1].model == (plain[-1].params, plain[-1].stats)
    keeps = [0, 1 / 11, 2 / 12, 3 / 13, 0.25, 0.25, 0.25, 0.25]
    for number, other in enumerate(averaged):
        assert_trees_close(other.params, plain[number].params, 1e-5)
        # A state's share: what it came in with, and what every later step kept of it.
        shares = [(1 - keeps[i]) * np.prod(keeps[i + 1 : number + 1]) for i in range(number + 1)]
        assert sum(shares) == pytest.approx(1)
        parts = [(s.params, s.stats) for s in plain[: number + 1]]
        expected = jax.tree.map(
            lambda *xs, w=shares: sum(a * x for a, x in zip(w, xs, strict=True)), *parts
        )
        assert_trees_close(other.model, expected, 1e-4)


@pytest.mark.slow
def test_a_run_predicts_with_its_average(tmp_path, cache) -> None:
    """What is kept for prediction is the average, and the training goes as without it."""
    options = ["--limit", "60", "--epochs", "2", *SMALL]
    plain = train_run(tmp_path / "plain", *options)
    averaged = train_run(tmp_path / "averaged", "--averaging", "0.99", *options)
    weights = [RunDirectory.open(run).load_best()[2].params for run in (plain, averaged)]
    differences = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, weights), strict=True)]
    assert max(differences) > 1e-4
    losses = [pd.read_csv(run / "metrics.csv").train_loss for run in (plain, averaged)]
    np.testing.assert_allclose(*losses, rtol=1e-5)  # the training itself is the same


@pytest.mark.parametrize("value", ["1", "-0.1"])
def test_out_of_range_is_refused(value: str, tmp_path, capsys) -> None:
    arguments = ["--averaging", value, "--run-dir", tmp_path / "run"]
    assert "averaging is" in error_of(train.main, arguments, capsys)
