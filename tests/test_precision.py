"""Matmuls in full float32 wherever a program of this package runs, unless it is told otherwise.

What a GPU or TPU may round stands in the program that the compiler is given, so that no test needs
one. `tests/tf32_plugin.py` does what a GPU would do.
"""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax.batches.arrays import BatchShape
from gatgnn_jax.config import ModelConfig, Precision, TrainConfig
from gatgnn_jax.devices.mesh import data_mesh
from gatgnn_jax.models.base import Network
from gatgnn_jax.models.ensemble import Ensemble
from gatgnn_jax.models.networks import new_network
from gatgnn_jax.prediction import explanation
from gatgnn_jax.prediction.engines import make_predict
from gatgnn_jax.presets import PUBLISHED_SIZES
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.ready_made import PRETRAINED
from gatgnn_jax.training.optimizer import make_optimizer
from gatgnn_jax.training.step import init_state, make_train_steps
from gatgnn_jax.training.transfer import trained_run
from tests.crystals import bundled
from tests.models import arrays_of, batch_of, dataset_of, outputs

LEVEL: dict[Precision, str] = {
    "float32": "HIGHEST",
    "tensorfloat32": "HIGH",
    "bfloat16": "DEFAULT",
}
GRAPH = GraphConfig()
PROPERTIES = (Property("x", "x"),)
NETWORKS = [*PUBLISHED_SIZES, "gat", "ensemble"]


@pytest.fixture(scope="module")
def data():
    return arrays_of(dataset_of([structure for _, structure in bundled(4)], GRAPH))


@pytest.fixture(autouse=True)
def coarse_default():
    """Whatever the user has set is neither followed nor changed."""
    with jax.default_matmul_precision("bfloat16"):
        yield
        assert jax.config.jax_default_matmul_precision == "bfloat16"


def network(name: str, precision: Precision = "float32") -> Network:
    sizes = PUBLISHED_SIZES.get(name, ModelConfig("gat" if name == "gat" else "gatgnn"))
    sizes = dataclasses.replace(sizes, num_layers=2, neurons=8, precision=precision)
    members = [new_network(sizes, GRAPH, 1, rngs=nnx.Rngs(i)) for i in range(2)]
    return Ensemble(members) if name == "ensemble" else members[0]


def levels(lowered: Any) -> set[str]:
    """The precisions of all matmuls in a program, as its compiler is told them."""
    text = lowered.as_text()
    found = re.findall(r"dot_general.*precision = \[(\w+), (\w+)\]", text)
    assert len(found) == text.count("stablehlo.dot_general") > 5
    return {level for pair in found for level in pair}


def shape_of(data: Any) -> BatchShape:
    return BatchShape(len(data.target), *(int(n) + 1 for n in data.num_rows.sum(0)))


def training_levels(model: Network, data: Any) -> set[str]:
    optimizer = make_optimizer(TrainConfig(), 1)
    graphdef, state = init_state(model, optimizer)
    mesh = data_mesh(jax.devices()[:1])
    steps = make_train_steps(graphdef, optimizer, PROPERTIES, shape_of(data), mesh)
    batches = np.arange(len(data.target), dtype=np.int32)[None]
    return levels(steps.lower(state, data, batches, jax.random.key(0)))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.slow
def test_training_is_in_full(name, data):
    """Forward, backward and update, for every network."""
    assert training_levels(network(name), data) == {"HIGHEST"}


@pytest.mark.parametrize("precision", get_args(Precision))
def test_training_is_as_chosen(precision, data):
    assert training_levels(network("gatgnn", precision), data) == {LEVEL[precision]}


@pytest.mark.parametrize("precision", get_args(Precision))
def test_prediction_and_explanation_are_as_chosen(precision, data):
    graphdef, *states = nnx.split(network("gatgnn", precision), nnx.Param, nnx.BatchStat)
    shape = shape_of(data)
    predict = make_predict(graphdef, shape, data_mesh(jax.devices()[:1]))
    batches = np.arange(len(data.target), dtype=np.int32)[None]
    assert levels(predict.lower(*states, data, batches)) == {LEVEL[precision]}
    explained = explanation._apply.lower(graphdef, *states, data, shape)
    assert levels(explained) == {LEVEL[precision]}


@pytest.mark.parametrize("precision", ["float32", "tensorfloat32"])
def test_gradients_of_a_users_own_are_as_chosen(precision, data):
    """The backward pass is traced when the network's call has ended."""
    graph = batch_of(data)
    graphdef, params, rest = nnx.split(network("gatgnn", precision), nnx.Param, ...)

    def loss(params: Any) -> jax.Array:
        model = nnx.merge(graphdef, params, rest, copy=True)
        return jnp.square(model(graph, train=True).prediction).sum()

    assert levels(jax.jit(jax.grad(loss)).lower(params)) == {LEVEL[precision]}


def test_a_cpu_multiplies_in_full_whatever_is_chosen(data):
    if jax.default_backend() != "cpu":
        pytest.skip("this is not a CPU")
    in_full, *rounded = (
        outputs(network("gatgnn", precision), batch_of(data)).prediction
        for precision in get_args(Precision)
    )
    for other in rounded:
        np.testing.assert_array_equal(other, in_full)


ON_A_GPU = """
import json
import numpy as np
from tests.golden import load_golden
from tests.golden_case import Case
from tests.tf32_plugin import tf32

found = {}
golden = load_golden("composition")
with tf32() as counts:
    for precision in ("float32", "tensorfloat32"):
        gradients, output = Case(golden, False, precision).gradients_and_prediction()
        bars, expected = golden.gradient_bars(), golden.named("grad")
        errors = {n: float(np.abs(gradients[n] - expected[n]).max()) for n in bars}
        found[precision] = {
            "output": float(np.abs(output[:12, 0] - golden.arrays["train_output"]).max()),
            "gradient": max(errors[n] / bars[n] for n in bars),
            "full": counts.full,
            "rounded": counts.rounded,
        }
        counts.full = counts.rounded = 0
print(json.dumps(found))
"""


@pytest.mark.slow
def test_golden_numbers_on_a_machine_that_rounds_where_it_may():
    """`pytest -p tests.tf32_plugin tests/test_golden.py` takes all of them through it."""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", ON_A_GPU], cwd=root, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["float32"]["rounded"] == 0 < found["float32"]["full"]
    assert found["float32"]["output"] < 2e-5
    assert found["float32"]["gradient"] < 1
    assert found["tensorfloat32"]["full"] == 0 < found["tensorfloat32"]["rounded"]
    assert 5e-5 < found["tensorfloat32"]["output"] < 1e-2


def test_settings_of_older_runs_mean_float32():
    values = json.loads((PRETRAINED / "band_gap" / "config.json").read_text())
    values["model"].pop("precision", None)
    assert RunConfig.from_json(json.dumps(values)).model.precision == "float32"


def test_a_run_can_start_from_one_of_another_precision():
    start = PRETRAINED / "formation_energy"
    config = RunDirectory.open(start).config()
    for precision in get_args(Precision):
        model = dataclasses.replace(config.model, precision=precision)
        trained_run(start, dataclasses.replace(config, model=model))


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="precision is 'double': give"):
        ModelConfig(precision="double")  # type: ignore[arg-type]
