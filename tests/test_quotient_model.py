"""Quotient graphs change nothing: the model on merged nodes against the model on all atoms."""

import jax
import numpy as np
import pytest
from pymatgen.core import Structure

from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax.batches.feeds import ResidentFeed
from gatgnn_jax.config import TrainConfig
from gatgnn_jax.devices.mesh import data_mesh, replicate
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.prediction.engines import DatasetPredictor
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.training.step import init_state, make_train_steps
from tests.crystals import bundled, shuffled
from tests.models import (
    GLOBAL_ATTENTIONS,
    arrays_of,
    assert_trees_close,
    batch_of,
    dataset_of,
    loss_and_gradient,
    outputs,
    small_model,
)

FULL, REDUCED = GraphConfig(reduce=False, clusters=True), GraphConfig(clusters=True)


@pytest.fixture(scope="module")
def crystals() -> list[Structure]:
    """Every third of the bundled crystals: 394."""
    return [structure for _, structure in bundled(3)]


def changed(structures: list[Structure], how: str) -> list[Structure]:
    if how == "shuffled":
        return [shuffled(s)[0] for s in structures]
    if how == "jittered":
        rng = np.random.default_rng(0)
        moved = []
        for s in structures:
            shift = rng.normal(0, 0.002 / np.sqrt(3), (len(s), 3))
            moved.append(
                Structure(s.lattice, s.species, s.cart_coords + shift, coords_are_cartesian=True)
            )
        return moved
    return structures


@pytest.mark.parametrize("how", ["as they are", "shuffled", "jittered"])
@pytest.mark.slow
def test_predictions_and_attention_are_those_of_the_full_graph(crystals, how):
    structures = changed(crystals, how)
    full, reduced = (arrays_of(dataset_of(structures, config)) for config in (FULL, REDUCED))
    merged = 1 - len(reduced.atomic_number) / len(full.atomic_number)
    assert (merged < 0.05) if how == "jittered" else (merged > 0.4)
    count = len(structures)
    for global_attention in GLOBAL_ATTENTIONS:
        model = small_model(FULL, global_attention, num_layers=3)
        expected = outputs(model, batch_of(full))
        actual = outputs(model, batch_of(reduced))
        np.testing.assert_allclose(
            actual.prediction[:count], expected.prediction[:count], atol=1e-4
        )
        # Attention is still one number an atom, in the atoms' order.
        np.testing.assert_allclose(
            actual.atom_attention[:-1], expected.atom_attention[:-1], atol=1e-4
        )


@pytest.mark.parametrize("global_attention", GLOBAL_ATTENTIONS)
@pytest.mark.slow
def test_training_is_the_same_function(crystals, global_attention):
    """Batch statistics, loss and gradients, with every node counted as often as it stands for."""
    structures = crystals[:60]
    full, reduced = (arrays_of(dataset_of(structures, config)) for config in (FULL, REDUCED))
    model = small_model(FULL, global_attention)
    expected = loss_and_gradient(model, batch_of(full), len(structures))
    actual = loss_and_gradient(model, batch_of(reduced), len(structures))
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-4)
    assert_trees_close(actual[1], expected[1], 1e-4)
    assert_trees_close(actual[2], expected[2], 1e-4)


@pytest.mark.slow
def test_a_whole_training_is_the_same(crystals):
    """Forty updates on all crystals at once: the same losses and, in the end, predictions."""
    structures = crystals[:60]
    target = np.log([[s.volume / len(s)] for s in structures])
    everything = np.arange(60)
    results = []
    for config in (FULL, REDUCED):
        dataset = dataset_of(structures, config)
        mesh = data_mesh(jax.devices()[:1])
        feed = ResidentFeed(arrays_of(dataset, target), {"train": everything}, 60, mesh)
        [(data, batches)] = feed(feed.plan.deal(everything))
        optimizer = make_optimizer(TrainConfig(epochs=40, learning_rate=0.01), 1)
        graphdef, state = init_state(small_model(config), optimizer)
        properties = (Property("volume", "volume"),)
        steps = make_train_steps(graphdef, optimizer, properties, feed.plan.shape, mesh)
        state, losses = replicate(state, mesh), []
        for _ in range(40):
            state, sums = steps(state, data, batches, jax.random.key(0))
            losses.append(float(sums.loss[0]) / 60)
        predict = DatasetPredictor(graphdef, feed, properties, mesh)
        results.append((losses, predict(ModelState(state.params, state.stats), everything)))
    (full, expected), (reduced, predicted) = results
    assert full[-1] < 0.2 * full[0]
    np.testing.assert_allclose(reduced, full, rtol=1e-4)
    np.testing.assert_allclose(predicted, expected, atol=1e-3)
