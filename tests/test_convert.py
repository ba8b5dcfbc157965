"""Checkpoints of the published program through the command, against the PyTorch version."""

import json
import warnings

import jax
import numpy as np
import pytest

from tests.commands import error_of, evaluate_to, predict_to
from tests.golden import CGCNN_GRAPH, DATA, load_golden

with warnings.catch_warnings():
    # PyG scripts a class while it is imported, which PyTorch now deprecates.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script", DeprecationWarning)
    reason = "needs torch and torch-geometric: pip install -e .[bench]"
    torch = pytest.importorskip("torch", reason=reason)
    pytest.importorskip("torch_geometric", reason=reason)

from torch_geometric.data import Batch

from benchmarks.torch_data import data_list
from benchmarks.torch_gatgnn import TorchGATGNN
from data_prep.cache import BUNDLED, open_dataset
from gatgnn_jax import train
from gatgnn_jax.convert import main
from gatgnn_jax.jobs.convert import read_checkpoint
from gatgnn_jax.prediction.engines import StreamPredictor
from gatgnn_jax.runs.directory import RunDirectory

pytestmark = pytest.mark.usefixtures("optimized")

CHECKPOINT = DATA / "composition_after_4_steps.pt"

# What TorchGATGNN takes, and the name of its global attention.
MODELS = {
    "small": {"layers": 2, "heads": 2, "neurons": 16},
    "classification": {"layers": 1, "classification": True},
    "composition beside": {"layers": 1, "concat_composition": True},
    "clusters": {"layers": 1, "global_attention": "cluster-fixed"},
    "both": {"layers": 1, "concat_composition": True, "classification": True},
}


def import_to(run, checkpoint=CHECKPOINT, attention="composition", *arguments):
    """Convert a checkpoint to a run."""
    options = ["--out", str(run), "--global-attention", attention, *arguments]
    assert main([str(checkpoint), *options]) == 0
    return run


def predict_golden(run, dataset):
    """What a run says about the crystals of a dataset, as they come: [C]."""
    predictor = StreamPredictor(*RunDirectory.open(run).load_best())
    crystals = ((i, dataset.crystal(i)) for i in range(len(dataset)))
    return np.concatenate([p.values[:, 0] for _, p in predictor.stream(crystals)])


@torch.no_grad()
def torch_outputs(model, dataset, gaussian_step=0.2):
    graphs = data_list(dataset, np.zeros(len(dataset)), gaussian_step)
    return model.eval()(Batch.from_data_list(graphs))


@torch.no_grad()
def lively(model, dataset):
    """With large weights, biases and statistics, and outputs of mean 0 and deviation 1."""
    torch.manual_seed(0)
    for value in model.state_dict().values():
        if value.dtype.is_floating_point:
            value.mul_(2).add_(0.2 * torch.rand_like(value))
    outputs = torch_outputs(model, dataset).reshape(len(dataset), -1)
    scale = outputs.std(0)
    scale[0] *= -1  # so that the two logits of a classification go apart
    model.out.weight /= scale[:, None]
    model.out.bias.sub_(outputs.mean(0)).div_(scale)
    return model


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The published checkpoint as a run."""
    return import_to(tmp_path_factory.mktemp("converted") / "run")


@pytest.mark.slow
def test_published_checkpoint_predicts_as_in_pytorch(converted):
    dataset = load_golden("composition").dataset
    model = TorchGATGNN()
    model.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    expected = torch_outputs(model, dataset)
    np.testing.assert_allclose(predict_golden(converted, dataset), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
@pytest.mark.slow
def test_checkpoints_of_all_kinds_predict_as_in_pytorch(settings, tmp_path):
    dataset = load_golden("composition").dataset
    torch.manual_seed(0)
    model = lively(TorchGATGNN(**settings), dataset)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    attention = settings.get("global_attention", "composition")
    run = import_to(tmp_path / "run", tmp_path / "model.pt", attention)
    expected = torch_outputs(model, dataset)
    if settings.get("classification"):
        expected = expected.softmax(-1)[:, 1]
    assert expected.std() > 0.05
    np.testing.assert_allclose(predict_golden(run, dataset), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.slow
def test_reduced_graphs_with_fake_edges_predict_the_same(tmp_path):
    """The default of converted runs, on real crystals with few neighbours."""
    golden = load_golden("megnet_graph")
    model = TorchGATGNN(edge_features=9)
    state = {n: torch.from_numpy(v) for n, v in golden.named("param").items()}
    model.load_state_dict(state)
    torch.save(state, tmp_path / "model.pt")
    run = import_to(tmp_path / "run", tmp_path / "model.pt")
    full, _ = open_dataset(None, golden.dataset.config, limit=60, workers=1, quiet=True)
    config = RunDirectory.open(run).config().graph
    reduced, _ = open_dataset(None, config, limit=60, workers=1, quiet=True)
    assert config.reduce
    assert reduced.n_node.sum() < full.n_node.sum() / 2
    assert (full.edge_distance == full.config.radius + 1).mean() > 0.01  # fake edges
    np.testing.assert_allclose(
        predict_golden(run, reduced), torch_outputs(model, full, 0.5), rtol=2e-5, atol=2e-5
    )


def test_there_and_back_and_there_is_the_identity(converted, tmp_path):
    assert main([str(converted), "--to-torch", "--out", str(tmp_path / "back.pt")]) == 0
    files = CHECKPOINT, tmp_path / "back.pt"
    there, back = (read_checkpoint(file).tensors for file in files)
    assert list(there) == list(back)
    for name in there:
        assert there[name].dtype == back[name].dtype
        np.testing.assert_array_equal(there[name], back[name], err_msg=name)
    again = import_to(tmp_path / "again", tmp_path / "back.pt")
    assert (again / "config.json").read_text() == (converted / "config.json").read_text()
    weights = [RunDirectory.open(run).load_best()[2] for run in (converted, again)]
    for a, b in zip(*map(jax.tree.leaves, weights), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("option", [[], ["--no-standardize"]])
@pytest.mark.slow
def test_a_run_trained_here_predicts_the_same_in_pytorch(tmp_path, option):
    """`reduce` and masked slots are no hindrance where every atom has all its neighbours."""
    run, file = tmp_path / "run", tmp_path / "model.pt"
    small = ["--num-layers", "1", "--neurons", "8", "--epochs", "1", "--limit", "60", "--workers=1"]
    assert train.main(["--quiet", "--run-dir", str(run), *small, *option]) == 0
    assert main([str(run), "--to-torch", "--out", str(file)]) == 0
    model = TorchGATGNN(layers=1, neurons=8)
    model.load_state_dict(torch.load(file, weights_only=True), strict=True)
    full, _ = open_dataset(None, CGCNN_GRAPH, limit=60, workers=1, quiet=True)
    own, _ = open_dataset(
        None, RunDirectory.open(run).config().graph, limit=60, workers=1, quiet=True
    )
    assert (full.edge_distance < 8).all()  # no fake edges
    np.testing.assert_allclose(
        predict_golden(run, own), torch_outputs(model, full), rtol=2e-5, atol=2e-5
    )


def test_trained_without_fake_edges_is_said(tmp_path, converted, capsys):
    capsys.readouterr()
    assert main([str(converted), "--to-torch", "--out", str(tmp_path / "a.pt")]) == 0
    assert "note" not in capsys.readouterr().out
    masked = tmp_path / "masked"
    config = json.loads((converted / "config.json").read_text())
    config["graph"]["fake_edges"] = False
    masked.mkdir()
    (masked / "config.json").write_text(json.dumps(config))
    (masked / "checkpoints").symlink_to(converted / "checkpoints")
    assert main([str(masked), "--to-torch", "--out", str(tmp_path / "b.pt")]) == 0
    assert "without fake edges" in capsys.readouterr().out


@pytest.mark.slow
def test_commands_take_converted_runs(converted, tmp_path):
    crystals = tmp_path / "crystals.jsonl.gz"
    crystals.symlink_to(BUNDLED)
    assert predict_to(tmp_path / "raw.csv", converted, crystals) == 0
    header, first, *_ = (tmp_path / "raw.csv").read_text().splitlines()
    assert header == "id,prediction,unit,warning"
    assert first.split(",")[2:] == ["", ""]  # no unit, and elements that are not known to be rare
    named = import_to(tmp_path / "run", CHECKPOINT, "composition", "--property", "bulk-moduli")
    assert evaluate_to(tmp_path / "evaluation", named, "--data", crystals) == 0
    header, first, *_ = (tmp_path / "evaluation" / "predictions.csv").read_text().splitlines()
    assert "log10(GPa)" in first
    # Log10 of bulk moduli is what it was trained on, on other crystals.
    assert json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["all_mae"] < 0.5


def test_bad_input_is_explained(converted, tmp_path, capsys):
    new, text, pickled = tmp_path / "new", tmp_path / "text.pt", tmp_path / "pickled.pt"
    text.write_text("not a checkpoint")
    torch.save({"epoch": 3, "model": torch.nn.Linear(2, 2)}, pickled)
    attention = ["--global-attention", "composition"]

    def error(*arguments):
        return error_of(main, [*arguments], capsys)

    assert "cluster-random or none" in error(CHECKPOINT, "--out", new)
    assert "crashes" in error(CHECKPOINT, "--out", new, "--global-attention", "cluster-learnable")
    assert "is_metal is a class" in error(
        CHECKPOINT, "--out", new, *attention, "--property", "is_metal"
    )
    assert "check the name" in error(tmp_path / "none.pt", "--out", new, *attention)
    assert "--to-torch" in error(converted, "--out", new, *attention)
    assert "text.pt is no state dict" in error(text, "--out", new, *attention)
    assert "pickled.pt is no state dict" in error(pickled, "--out", new, *attention)
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pt")
    message = error(tmp_path / "other.pt", "--out", new, *attention)
    assert "other.pt: this is no checkpoint" in message
    assert "embed_n.weight" in message
    assert not new.exists()

    assert "exists already" in error(CHECKPOINT, "--out", converted, *attention)
    assert "exists already" in error(converted, "--to-torch", "--out", CHECKPOINT)
    assert "no run" in error(tmp_path, "--to-torch", "--out", tmp_path / "x.pt")
    assert "leave out" in error(converted, "--to-torch", "--out", tmp_path / "x.pt", *attention)
