"""Checkpoints of CGCNN through the command."""

import numpy as np
import pytest

from gatgnn_jax.convert import main
from gatgnn_jax.prediction.engines import StreamPredictor
from gatgnn_jax.runs.directory import RunDirectory
from tests.commands import error_of
from tests.golden_cgcnn import golden, golden_dataset, named

torch = pytest.importorskip("torch", reason="needs torch: pip install -e .[bench]")

pytestmark = pytest.mark.usefixtures("optimized")


def save(path, **changes):
    """A checkpoint as the published program saves it, its bookkeeping included."""
    mean, std = golden()["normalizer"].tolist()
    checkpoint = {
        "epoch": 3,
        "state_dict": {name: torch.tensor(value) for name, value in named("param").items()},
        "best_mae_error": np.float64(0.5),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.01, "params": [0]}]},
        "normalizer": {"mean": torch.tensor(mean), "std": torch.tensor(std)},
        "args": {"atom_fea_len": 8, "n_conv": 2, "h_fea_len": 12, "n_h": 2, "lr_milestones": [100]},
    }
    torch.save(checkpoint | changes, path)
    return path


def predict(run):
    dataset = golden_dataset()
    predictor = StreamPredictor(*RunDirectory.open(run).load_best())
    crystals = ((i, dataset.crystal(i)) for i in range(len(dataset)))
    return np.concatenate([p.values[:, 0] for _, p in predictor.stream(crystals)])


def test_a_regression(tmp_path):
    checkpoint, run = save(tmp_path / "model.pth.tar"), tmp_path / "run"
    assert main([str(checkpoint), "--property", "bulk-moduli", "--out", str(run)]) == 0
    config = RunDirectory.open(run).config()
    assert config.properties[0].unit == "GPa"
    assert config.graph.fake_edges
    np.testing.assert_allclose(predict(run), golden()["eval_output"], atol=1e-5)


def test_a_classification_has_no_normalizer(tmp_path):
    """Two outputs, the second of which is larger by the first checkpoint's output."""
    state = {name: torch.tensor(value) for name, value in named("param").items()}
    for part in ("weight", "bias"):
        value = state[f"fc_out.{part}"]
        state[f"fc_out.{part}"] = torch.cat([0.5 * value, 1.5 * value])
    checkpoint, run = save(tmp_path / "model.pth.tar", state_dict=state), tmp_path / "run"
    assert main([str(checkpoint), "--property", "is_metal", "--out", str(run)]) == 0
    mean, std = golden()["normalizer"]
    logit = (golden()["eval_output"] - mean) / std
    np.testing.assert_allclose(predict(run), 1 / (1 + np.exp(-logit)), atol=1e-5)


def test_what_does_not_fit_is_explained(tmp_path, capsys):
    checkpoint, run = save(tmp_path / "model.pth.tar"), tmp_path / "run"

    def error(*arguments):
        return error_of(main, arguments, capsys)

    message = error(checkpoint, "--global-attention", "none", "--out", run)
    assert "a CGCNN has no global attention: leave out --global-attention" in message
    assert "is_metal is a class" in error(checkpoint, "--property", "is_metal", "--out", run)
    assert not run.exists()
    assert main([str(checkpoint), "--out", str(run)]) == 0
    assert "cannot express CGCNN" in error(run, "--to-torch", "--out", tmp_path / "back.pt")
