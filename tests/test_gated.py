"""Gated GATGNN: the layer against its equations, the network's symmetries and all its commands."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import nnx
from scipy.special import expit, softmax

from data_prep.config import GraphConfig
from gatgnn_jax import convert, embed, explain
from gatgnn_jax.batches.layout import Neighborhoods
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import parameter_count
from gatgnn_jax.models.gated import GatedAttentionLayer
from gatgnn_jax.models.networks import new_network
from gatgnn_jax.presets import PUBLISHED_SIZES
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.train import parse
from tests.commands import SMALL, bundled_rows, error_of, evaluate_to, train_run
from tests.crystals import bundled
from tests.models import (
    GLOBAL_ATTENTIONS,
    arrays_of,
    assert_trees_close,
    batch_of,
    dataset_of,
    loss_and_gradient,
    small_network,
)

NODES, SLOTS, HEADS, NEURONS = 13, 4, 3, 6
FULL, REDUCED = GraphConfig(reduce=False, clusters=True), GraphConfig(clusters=True)


class Case:
    """A random graph with merged edges and nodes, unused slots, and nodes without edges."""

    def __init__(self, updates_bonds: bool):
        rng = np.random.default_rng(0)
        self.sender = rng.integers(0, NODES, (NODES, SLOTS))
        self.edge_weight = rng.integers(0, 4, (NODES, SLOTS)).astype(np.float32)
        self.edge_weight[[3, NODES - 1]] = 0  # isolated
        self.node_weight = rng.integers(1, 4, NODES).astype(np.float32)
        self.node_weight[-2:] = 0  # padding
        self.x = rng.normal(size=(NODES, NEURONS)).astype(np.float32)
        self.e = rng.normal(size=(NODES, SLOTS, NEURONS)).astype(np.float32)
        self.layer = GatedAttentionLayer(
            NEURONS, HEADS, updates_bonds=updates_bonds, rngs=nnx.Rngs(0)
        )
        for norm in (self.layer.edge_norm, self.layer.norm):
            norm.scale[...] = rng.uniform(0.5, 1.5, norm.scale.shape)
            norm.bias[...] = rng.normal(size=norm.bias.shape)
            norm.mean[...] = rng.normal(size=norm.mean.shape)
            norm.var[...] = rng.uniform(0.5, 1.5, norm.var.shape)
        self.edges = np.nonzero(self.edge_weight)

    def run(self, layout: str, train: bool) -> list[np.ndarray]:
        """New nodes, and new edges and attention of the edges that are used."""
        at = ... if layout == "dense" else self.edges
        neighborhoods = Neighborhoods(
            senders=jnp.asarray(self.sender[at]),
            receivers=None if layout == "dense" else jnp.asarray(self.edges[0]),
            bonds=jnp.zeros(0, jnp.int32),
            node_weight=jnp.asarray(self.node_weight),
            edge_weight=jnp.asarray(self.edge_weight[at]),
        )
        x, *edges = self.layer(
            jnp.asarray(self.x), jnp.asarray(self.e[at]), neighborhoods, train=train
        )
        used = self.edges if layout == "dense" else ...
        return [np.asarray(x), *(np.asarray(each)[used] for each in edges)]

    def expected(self, train: bool) -> list[np.ndarray]:
        """The equations in double precision, every edge on its own."""
        layer, receiver = self.layer, self.edges[0]
        kernel, attention = (np.asarray(p[...], float) for p in (layer.kernel, layer.attention))
        x, e = self.x.astype(float), self.e[self.edges].astype(float)
        sender, count = self.sender[self.edges], self.edge_weight[self.edges].astype(float)

        def normalized(norm, rows, weight):
            mean, var, scale, bias = (
                np.asarray(v[...], float) for v in (norm.mean, norm.var, norm.scale, norm.bias)
            )
            if train:
                mean = np.average(rows, axis=0, weights=weight)
                var = np.average((rows - mean) ** 2, axis=0, weights=weight)
            return (rows - mean) / np.sqrt(var + 1e-5) * scale + bias

        z = np.array(
            [
                np.concatenate([x[i], x[j], bond]) @ kernel
                for i, j, bond in zip(receiver, sender, e, strict=True)
            ]
        )
        z = normalized(layer.edge_norm, z, count * self.node_weight[receiver])
        core, gate = np.logaddexp(z[:, :NEURONS], 0), expit(z[:, NEURONS : 2 * NEURONS])
        alpha, total = np.zeros((len(e), HEADS)), np.zeros_like(x)
        width = NEURONS // HEADS
        for i in range(NODES):
            own = np.flatnonzero(receiver == i)
            if len(own) == 0:
                continue
            # Each edge as many times as it stands for, so that nothing need be weighted.
            copies = np.repeat(own, count[own].astype(int))
            for head in range(HEADS):
                part = slice(head * width, (head + 1) * width)
                share = softmax(core[copies, part] @ attention[head])
                messages = share[:, None] * gate[copies, part] * core[copies, part]
                total[i, part] = len(copies) * messages.sum(0)
                for edge in own:
                    alpha[edge, head] = share[copies == edge].sum()
        x = np.logaddexp(x + normalized(layer.norm, total, self.node_weight), 0)
        if z.shape[1] > 2 * NEURONS:
            e = e + z[:, 2 * NEURONS :] * expit(z[:, 2 * NEURONS :])
        return [x, e, alpha]


@pytest.mark.parametrize("updates_bonds", [True, False])
@pytest.mark.parametrize("layout", ["dense", "flat"])
@pytest.mark.parametrize("train", [True, False])
def test_the_layer_is_its_equations(train, layout, updates_bonds):
    case = Case(updates_bonds)
    expected = case.expected(train)
    for actual, own in zip(case.run(layout, train), expected, strict=True):
        np.testing.assert_allclose(actual, own, rtol=2e-5, atol=2e-5)


def test_its_size():
    """Counted by hand: what is read and made by each layer, weights first."""
    embedding = 92 * 64 + 64 + 41 * 64 + 64
    updating = (3 * 64) * (3 * 64) + 64 + 2 * (3 * 64) + 2 * 64
    last = (3 * 64) * (2 * 64) + 64 + 2 * (2 * 64) + 2 * 64
    attention = (64 + 103) * 32 + 32 + 32 + 1
    readout = 128 * 128 + 128 + 128 + 1
    network = new_network(PUBLISHED_SIZES["gated-gatgnn"], REDUCED, 1, rngs=nnx.Rngs(0))
    total = embedding + 2 * updating + last + attention + readout
    assert parameter_count(network) == total == 130_594


@pytest.fixture(scope="module")
def crystals():
    return [structure for _, structure in bundled(100)]


@pytest.mark.parametrize("global_attention", GLOBAL_ATTENTIONS)
@pytest.mark.slow
def test_quotient_graphs_and_padding_change_nothing(crystals, global_attention):
    """Neither loss nor gradients nor statistics, whatever the readout."""
    network = small_network("gated-gatgnn", FULL, global_attention=global_attention)
    full, reduced = (arrays_of(dataset_of(crystals, config)) for config in (FULL, REDUCED))
    assert len(reduced.atomic_number) < 0.6 * len(full.atomic_number)
    expected = loss_and_gradient(network, batch_of(full), len(crystals))
    actual = loss_and_gradient(network, batch_of(reduced, extra=50), len(crystals))
    for a, b in zip(actual, expected, strict=True):
        assert_trees_close(a, b, 1e-4)


@pytest.mark.slow
def test_every_parameter_has_a_gradient(crystals):
    network = small_network("gated-gatgnn", REDUCED, num_layers=3)
    graph = batch_of(arrays_of(dataset_of(crystals, REDUCED)))
    for path, leaf in jax.tree.leaves_with_path(loss_and_gradient(network, graph, 12)[1]):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


@pytest.fixture(scope="module")
def gated_run(tmp_path_factory, cache):
    path = tmp_path_factory.mktemp("gated") / "run"
    return train_run(
        path, "--preset=gated", *SMALL, "--hidden-neurons=16", "--limit=100", "--epochs=2",
        "--ensemble=2", "--property=bulk_modulus,poisson_ratio",
    )  # fmt: skip


@pytest.mark.slow
def test_every_command_takes_it(gated_run, tmp_path, capsys):
    row = bundled_rows(1)[0]
    crystal = tmp_path / "crystal.json"
    crystal.write_text(json.dumps(row["structure"]))
    quiet = ["--quiet", "--out"]
    assert explain.main([str(gated_run), str(crystal), *quiet, str(tmp_path / "shown")]) == 0
    weights = pd.read_csv(tmp_path / "shown" / "attention.csv").weight
    assert weights.sum() == pytest.approx(1, abs=1e-4)
    assert embed.main([str(gated_run), str(crystal), *quiet, str(tmp_path / "vectors.csv")]) == 0
    vector = pd.read_csv(tmp_path / "vectors.csv").filter(regex=r"^v\d")
    assert vector.shape == (1, 2 * 2 * 16)  # of both networks: mean and sum
    source = tmp_path / "crystals.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in bundled_rows(110)[100:]))
    assert evaluate_to(tmp_path / "scores", gated_run, "--data", source) == 0
    table = pd.read_csv(tmp_path / "scores" / "predictions.csv")
    assert np.isfinite(table.filter(like="uncertainty")).all(axis=None)
    refused = [gated_run, "--to-torch", "--out", tmp_path / "model.pt"]
    assert "cannot express" in error_of(convert.main, refused, capsys)


@pytest.mark.slow
def test_frozen_layers_keep_their_weights(tmp_path):
    options = ["--preset=gated", *SMALL, "--limit=60", "--epochs=1"]
    start = train_run(tmp_path / "start", *options)
    tuned = train_run(tmp_path / "tuned", *options, "--init-from", start, "--freeze=embed,agat")
    before, after = (RunDirectory.open(path).load_best()[2].params for path in (start, tuned))
    for part in ("embed_atom", "embed_bond", "layers"):
        assert_trees_close(after[part], before[part], 1e-6)
    assert not np.allclose(after["out"]["kernel"][...], before["out"]["kernel"][...])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"residual": True}, "has no --residual to choose"),
        ({"concat_composition": True}, "has no --concat-composition to choose"),
        ({"heads": 3}, "heads is 3: gated-gatgnn divides its 64 neurons among them"),
    ],
)
def test_settings_that_it_cannot_have_are_refused(settings, says):
    config = dataclasses.replace(PUBLISHED_SIZES["gated-gatgnn"], **settings)
    with pytest.raises(ValueError, match=says):
        new_network(config, REDUCED, 1, rngs=nnx.Rngs(0))


def test_its_sizes_are_those_of_its_preset():
    assert parse(["--preset=gated"]).model == parse(["--model=gated-gatgnn"]).model
    assert parse(["--preset=gated", "--model=gatgnn"]).model == ModelConfig()
