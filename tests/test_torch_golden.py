"""The PyTorch version against numbers from running the published program."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from tests.golden import DATA, GOLDEN_FILES, LEARNING_RATE, WEIGHT_DECAY, load_golden

with warnings.catch_warnings():
    # PyG scripts a class while it is imported, which PyTorch now deprecates.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script", DeprecationWarning)
    reason = "needs torch and torch-geometric: pip install -e .[bench]"
    torch = pytest.importorskip("torch", reason=reason)
    pytest.importorskip("torch_geometric", reason=reason)

from torch.nn.functional import smooth_l1_loss
from torch_geometric.data import Batch

from benchmarks.torch_data import data_list
from benchmarks.torch_gatgnn import TorchGATGNN, draw_other_cluster


@pytest.fixture(autouse=True)
def two_threads():
    """On a single core PyTorch sums a gradient that is zero in another order, and past its bar."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=GOLDEN_FILES)
def golden(request):
    return load_golden(request.param)


def batch_of(golden):
    return Batch.from_data_list(data_list(golden.dataset, golden.arrays["y"], golden.gaussian_step))


def model_of(golden, global_attention=None):
    state = {name: torch.from_numpy(array) for name, array in golden.named("param").items()}
    model = TorchGATGNN(
        edge_features=state["embed_e.weight"].shape[1],
        global_attention=global_attention or golden.global_attention,
    )
    model.load_state_dict(state, strict=True)
    return model


def train(model, batch, steps):
    """Losses [steps] of as many AdamW steps on one batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    losses = []
    model.train()
    for _ in range(steps):
        loss = smooth_l1_loss(model(batch), batch.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_composition_vectors(golden):
    expected = golden.arrays["composition"]
    np.testing.assert_allclose(batch_of(golden).composition, expected, atol=1e-7)


@torch.no_grad()
def test_evaluation(golden):
    model, batch = model_of(golden).eval(), batch_of(golden)
    x = model.atom_vectors(batch)
    output = model.readout(x, batch)
    np.testing.assert_allclose(output, golden.arrays["eval_output"], rtol=0, atol=2e-5)
    if golden.global_attention != "none":
        weights = model.atom_weights(x, batch)[:, 0]
        expected = golden.arrays["eval_global_attention"]
        np.testing.assert_allclose(weights, expected, rtol=0, atol=2e-5)


def test_training_output_and_gradients(golden):
    model, batch = model_of(golden).train(), batch_of(golden)
    output = model(batch)
    smooth_l1_loss(output, batch.y).backward()
    np.testing.assert_allclose(output.detach(), golden.arrays["train_output"], rtol=0, atol=2e-5)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    expected, bars = golden.named("grad"), golden.gradient_bars()
    # The same parameters are left unused: AdamW must not decay them.
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=bars[name], err_msg=name)


def test_four_training_steps(golden):
    model = model_of(golden)
    losses = train(model, batch_of(golden), steps=4)
    np.testing.assert_allclose(losses, golden.arrays["train_losses"], rtol=1e-3)
    state = model.state_dict()
    for name, expected in golden.named("after").items():
        np.testing.assert_allclose(state[name], expected, rtol=2e-3, atol=2e-3, err_msg=name)


def test_published_checkpoint_is_the_model_four_steps_on():
    golden = load_golden("composition")
    batch, trained, saved = batch_of(golden), model_of(golden), model_of(golden)
    train(trained, batch, steps=4)
    state = torch.load(DATA / "composition_after_4_steps.pt", weights_only=True)
    saved.load_state_dict(state, strict=True)
    # Training mode: its batch norms hide the biases in front of them, whose gradient is noise.
    np.testing.assert_allclose(
        saved.train()(batch).detach(), trained(batch).detach(), rtol=0, atol=2e-5
    )


@torch.no_grad()
def test_random_cluster_that_draws_its_own_is_fixed_cluster(monkeypatch):
    golden = load_golden("cluster_fixed")
    model, batch = model_of(golden, global_attention="cluster-random").eval(), batch_of(golden)
    own = 3 * batch.batch + batch.cluster
    monkeypatch.setattr("benchmarks.torch_gatgnn.draw_other_cluster", lambda size, data: own)
    np.testing.assert_allclose(model(batch), golden.arrays["eval_output"], rtol=0, atol=2e-5)


def test_random_cluster_draws_every_other_cluster_and_no_empty_one():
    batch = batch_of(load_golden("cluster_fixed"))
    own = 3 * batch.batch + batch.cluster
    size = torch.bincount(own, minlength=3 * batch.num_graphs)
    drawn = torch.stack([draw_other_cluster(size, batch) for _ in range(200)])
    for atom, crystal in enumerate(batch.batch.tolist()):
        present = {c for c in range(3 * crystal, 3 * crystal + 3) if size[c] > 0}
        others = present - {int(own[atom])}
        assert set(drawn[:, atom].tolist()) == (others or present)


@torch.no_grad()
def test_composition_beside_the_crystal_vector_and_two_logits():
    """Wired so that the first logit sees only the crystal's vector, the second the composition."""
    golden = load_golden("composition")
    batch, plain = batch_of(golden), model_of(golden).eval()
    model = TorchGATGNN(concat_composition=True, classification=True).eval()
    state = model.state_dict()
    for name, value in plain.state_dict().items():
        if state[name].shape != value.shape:
            state[name].zero_()
        state[name][tuple(slice(size) for size in value.shape)] = value
    state["linear1.weight"][64:, 64:] = torch.eye(64)
    state["linear2.weight"][64:, 64:] = torch.eye(64)
    state["out.weight"][1, 64:] = 1
    model.load_state_dict(state)
    logits = model(batch)
    np.testing.assert_allclose(logits[:, 0], golden.arrays["eval_output"], rtol=0, atol=2e-5)
    embedded = batch.composition @ plain.embed_comp.weight.T + plain.embed_comp.bias
    embedded = torch.where(embedded > 0, embedded, 0.2 * embedded)
    hidden = torch.log1p(1 + embedded.exp())  # softplus of softplus
    np.testing.assert_allclose(logits[:, 1], hidden.sum(1), rtol=1e-5)


def test_reduced_graphs_are_refused():
    dataset = load_golden("composition").dataset
    config = replace(dataset.config, reduce=True)
    with pytest.raises(ValueError, match="reduce=False"):
        data_list(replace(dataset, config=config), np.zeros(len(dataset)))
