"""State dicts of the published program, read and written without PyTorch."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.properties import Property
from gatgnn_jax.config import ModelConfig, TrainConfig
from gatgnn_jax.jobs.convert import read_checkpoint
from gatgnn_jax.published.gatgnn import from_torch, to_torch
from gatgnn_jax.runs.config import DataInfo, RunConfig
from tests.golden import DATA, GOLDEN_FILES, load_golden

MODULUS = Property("bulk_modulus", "bulk_modulus", "GPa", "log10")


@pytest.fixture(scope="module")
def state():
    return load_golden("composition").named("param")


@pytest.fixture(scope="module")
def imported(state):
    return from_torch(state, "composition")


def config_of(imported):
    return RunConfig(imported.graph, imported.model, TrainConfig(), (MODULUS,), DataInfo())


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_there_and_back_is_the_identity(name):
    golden = load_golden(name)
    state = golden.named("param")
    imported = from_torch(state, golden.global_attention)
    back = to_torch(config_of(imported), imported.weights, imported.unused)
    assert list(back) == list(state)
    for tensor, value in state.items():
        assert back[tensor].dtype == value.dtype
        np.testing.assert_array_equal(back[tensor], value, err_msg=tensor)


def test_settings_are_read_off_the_shapes(state, imported):
    graph = load_golden("composition").dataset.config
    assert imported.graph == replace(graph, reduce=True)
    assert imported.model == ModelConfig(num_layers=3, neurons=64, heads=4, hidden_layers=2)
    megnet = load_golden("megnet_graph")
    assert from_torch(megnet.named("param"), "composition").graph == replace(
        megnet.dataset.config, reduce=True
    )
    short = {name: value for name, value in state.items() if not name.startswith("linear")}
    assert from_torch(short, "composition").model == replace(imported.model, hidden_layers=0)
    two = {"out.weight": np.zeros((2, 64), np.float32), "out.bias": np.zeros(2, np.float32)}
    assert from_torch(state | two, "composition").num_outputs == 2


def test_tensors_that_were_never_there_are_made_afresh(state, imported):
    back = to_torch(config_of(imported), imported.weights, {})
    assert {n: (v.shape, v.dtype) for n, v in back.items()} == {
        n: (v.shape, v.dtype) for n, v in state.items()
    }
    assert imported.unused
    for name, value in state.items():
        if name not in imported.unused:
            np.testing.assert_array_equal(back[name], value, err_msg=name)
    assert np.isfinite(back["cluster_att.layer_1.weight"]).all()
    assert back["cluster_att.layer_1.weight"].std() > 0


def gaussians(count):
    return {"embed_e.weight": np.zeros((64, count), np.float32)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_n.weight": None}, "no tensor 'embed_n.weight'"),
        ({"batch_norm.2.running_var": None}, "no tensor 'batch_norm.2.running_var'"),
        ({"node_att.0.att": None}, "no tensor 'node_att.0.att'"),
        ({"embed_n.weight": np.zeros(64, np.float32)}, "other shapes"),
        ({"conv.weight": np.zeros(3, np.float32)}, "no tensor 'conv.weight'"),
        ({"linear2.bias": np.zeros(65, np.float32)}, r"'linear2.bias' is float32 \(65,\)"),
        ({"linear2.bias": np.zeros(64, np.float16)}, "float16"),
        ({"out.weight": np.zeros((3, 64), np.float32), "out.bias": np.zeros(3, np.float32)}, "3"),
        (gaussians(20), "20 Gaussians"),
    ],
)
def test_other_state_dicts_are_refused(state, changes, message):
    changed = {n: v for n, v in (state | changes).items() if v is not None}
    with pytest.raises(UserError, match=message):
        from_torch(changed, "composition")


def test_the_attention_that_never_ran_is_refused(state):
    with pytest.raises(UserError, match="does not have cluster-learnable, or crashes with it"):
        from_torch(state, "cluster-learnable")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ModelConfig(model="gat")}, "GAT"),
        ({"model": ModelConfig(global_attention="cluster-learnable")}, "cluster-learnable"),
        ({"model": ModelConfig(residual=True)}, "residual layers"),
        ({"model": ModelConfig(hidden_layers=1)}, "1 hidden layers"),
        ({"graph": GraphConfig(radius=6.0)}, "--radius 6"),
        ({"properties": (MODULUS, replace(MODULUS, name="other", column="other"))}, "2 properties"),
    ],
)
def test_what_the_published_program_cannot_express_is_refused(imported, changes, message):
    config = replace(config_of(imported), **changes)
    with pytest.raises(UserError, match=message):
        to_torch(config, imported.weights, imported.unused)


def test_without_pytorch_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="pip install torch"):
        read_checkpoint(DATA / "composition_after_4_steps.pt")
