"""The other networks as parts of the program: symmetries, quotient graphs, devices, commands."""

import dataclasses

import jax
import numpy as np
import pytest
from pymatgen.core import Structure

from data_prep.config import GRAPH_PRESETS, GraphConfig
from data_prep.errors import UserError
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.networks import NETWORKS
from gatgnn_jax.presets import PRESETS, PUBLISHED_SIZES
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.train import main, parse
from tests.commands import on_two_devices, train_run
from tests.crystals import bundled, shuffled, without_symmetry
from tests.models import (
    arrays_of,
    assert_trees_close,
    batch_of,
    dataset_of,
    loss_and_gradient,
    outputs,
    predictions,
    small_network,
)

FULL, REDUCED = GraphConfig(reduce=False), GraphConfig()


@pytest.fixture(params=["gated-gatgnn", "cgcnn", "megnet"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def crystals() -> list[Structure]:
    return [structure for _, structure in bundled(100)]


def test_symmetries(name):
    """The order of atoms, the origin and the choice of the cell make no difference."""
    crystal = without_symmetry(8)
    moved = crystal.copy()
    moved.translate_sites(range(len(moved)), [0.13, 0.57, 0.91])
    images = [crystal, shuffled(crystal)[0], moved, crystal * (2, 1, 1), crystal * (1, 1, 2)]
    other = without_symmetry(8, seed=1)
    graph = batch_of(arrays_of(dataset_of([*images, other], FULL)))
    *same, different = predictions(small_network(name, FULL), graph, len(images) + 1)
    np.testing.assert_allclose(same, same[0], rtol=1e-5)
    assert abs(different - same[0]) > 1e-3 * abs(same[0])


@pytest.mark.slow
def test_outputs_are_those_of_the_full_graph(name, crystals):
    """In the other layout, with more padding, and reduced; fake edges merge as well."""
    sparse = GraphConfig(4.0, 16, fake_edges=True, reduce=False)
    network = small_network(name, sparse, gaussian_step=0.5)
    full, reduced = (
        arrays_of(dataset_of(crystals, config))
        for config in (sparse, dataclasses.replace(sparse, reduce=True))
    )
    assert (full.bond_distance == 5.0).any()  # fake
    assert len(reduced.atomic_number) < 0.6 * len(full.atomic_number)
    count, num_atoms = len(crystals), len(full.atomic_number)
    slots, edges = batch_of(full), batch_of(reduced, extra=7)
    assert slots.receivers is None
    assert edges.receivers is not None
    expected, actual = outputs(network, slots), outputs(network, edges)
    assert np.ptp(expected.prediction[:count]) > 1e-3
    for a, b in zip(actual[:3], expected[:3], strict=True):
        size = num_atoms if a.ndim == 1 else count
        np.testing.assert_allclose(a[:size], b[:size], rtol=1e-4, atol=1e-5)
    crystal = np.repeat(np.arange(count), full.num_rows[:, 3])
    total = np.bincount(crystal, expected.atom_attention[:num_atoms])
    np.testing.assert_allclose(total, 1, rtol=1e-5)


@pytest.mark.slow
def test_training_is_that_of_the_full_graph(name, crystals):
    network = small_network(name, FULL, num_layers=1)
    full, reduced = (arrays_of(dataset_of(crystals, config)) for config in (FULL, REDUCED))
    expected = loss_and_gradient(network, batch_of(full), len(crystals))
    actual = loss_and_gradient(network, batch_of(reduced), len(crystals))
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-4)
    assert_trees_close(actual[1], expected[1], 1e-4)
    if name == "megnet":  # it has no batch norm
        assert not jax.tree.leaves(actual[2])
    else:
        assert_trees_close(actual[2], expected[2], 1e-4)


TWO_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec
from data_prep.config import GraphConfig
from gatgnn_jax.batches.gathering import gather_batch
from gatgnn_jax.batches.arrays import BatchShape
from tests.models import crystal_mask
from tests.crystals import bundled
from tests.models import arrays_of, assert_trees_close, dataset_of, small_network

structures = [s for _, s in bundled(200)]
data = arrays_of(dataset_of(structures, GraphConfig()))
count = len(structures)
shape = BatchShape(count, *(int(n) + 1 for n in data.num_rows.sum(0)))
numbers = np.arange(count, dtype=np.int32)
batches = [  # two crystals, the others, all
    gather_batch(data, jnp.asarray(np.where(chosen, numbers, -1)), shape)
    for chosen in (numbers < 2, numbers >= 2, numbers >= 0)
]
mesh, shared, split = Mesh(jax.devices(), "data"), PartitionSpec(), PartitionSpec("data")
for name in ("gated-gatgnn", "cgcnn", "megnet"):
    graphdef, params, stats = nnx.split(
        small_network(name, GraphConfig(), num_layers=1), nnx.Param, nnx.BatchStat
    )

    def loss(params, graph, axis_name):
        model = nnx.merge(graphdef, params, stats, copy=True)
        y = model(graph, train=True, axis_name=axis_name).prediction[:, 0]
        total = jnp.square(jnp.where(crystal_mask(graph), y, 0)).sum()
        total = total if axis_name is None else jax.lax.psum(total, axis_name)
        return total, nnx.state(model, nnx.BatchStat)

    def on_each(params, graph):
        return jax.grad(loss, has_aux=True)(params, graph, "data")

    pair = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), *batches[:2])
    sharded = jax.shard_map(on_each, mesh=mesh, in_specs=(shared, split), out_specs=shared)
    if name == "megnet":  # crystals do not see each other there: that it can be sharded is enough
        jax.eval_shape(sharded, params, pair)
        continue
    expected = jax.jit(lambda p, g: jax.grad(loss, has_aux=True)(p, g, None))(params, batches[2])
    for a, b in zip(jax.jit(sharded)(params, pair), expected):
        assert_trees_close(a, b, 1e-4)
print(len(jax.devices()), "devices")
"""


@pytest.mark.slow
def test_two_devices_are_one():
    assert on_two_devices(TWO_DEVICES) == "2 devices"


@pytest.mark.slow
def test_training_command(tmp_path, name):
    small = ["--num-layers=1", "--neurons=8", "--limit=40", "--epochs=1", "--workers=1"]
    run = train_run(tmp_path / "run", "--model", name, *small)
    config, _, _ = RunDirectory.open(run).load_best()
    assert isinstance(config.new_model(), NETWORKS[name].network)


def test_presets_and_options():
    assert parse(["--model", "cgcnn"]).model == PUBLISHED_SIZES["cgcnn"]
    assert parse(["--model=megnet", "--preset=official"]).model == PUBLISHED_SIZES["megnet"]
    assert parse(["--preset=megnet"]).graph == GRAPH_PRESETS["megnet"]
    # The Gaussians are those of the preset's graphs, whatever the network.
    for model in ("gat", "cgcnn", "megnet", "gated-gatgnn"):
        for preset, step in (("paper-megnet", 0.5), ("best", 0.2)):
            assert parse([f"--preset={preset}", f"--model={model}"]).model.gaussian_step == step
    larger = parse(["--preset=cgcnn", "--hidden-neurons=256", "--num-layers=4"]).model
    assert (larger.hidden_neurons, larger.num_layers, larger.neurons) == (256, 4, 64)
    # gatgnn and gat share all settings, so that a preset's stay.
    assert parse(["--preset=official", "--model=gat"]).model == ModelConfig("gat", num_layers=3)
    assert parse(["--preset=cgcnn", "--model=gat"]).model == ModelConfig("gat")
    assert parse(["--preset=cgcnn", "--model=cgcnn"]).model == PRESETS["cgcnn"].model


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model=cgcnn", "--global-attention=cluster-fixed"],
        ["--model=cgcnn", "--heads=4"],
        ["--preset=cgcnn", "--concat-composition"],
        ["--model=gat", "--residual"],
        ["--model=megnet", "--hidden-layers=3"],
        ["--preset=megnet", "--hidden-neurons=64"],
    ],
)
def test_settings_that_a_model_does_not_have_are_refused(arguments, tmp_path):
    option = arguments[1].partition("=")[0]
    with pytest.raises(UserError, match=f"has no {option} to choose: leave it out"):
        main([*arguments, "--quiet", "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
