"""Training in PyTorch and in JAX side by side, on a few of the bundled crystals."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

with warnings.catch_warnings():
    # PyG scripts a class while it is imported, which PyTorch now deprecates.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script", DeprecationWarning)
    reason = "needs torch and torch-geometric: pip install -e .[bench]"
    pytest.importorskip("torch", reason=reason)
    pytest.importorskip("torch_geometric", reason=reason)

from benchmarks import parity_training
from benchmarks.parity_training import Options, main
from data_prep.errors import UserError
from tests.commands import train_run

pytestmark = pytest.mark.usefixtures("optimized")


@pytest.fixture(scope="module")
def options(optimized, tmp_path_factory):
    """A finished comparison: 36 crystals, a step an epoch, rates that drop twice."""
    folder = tmp_path_factory.mktemp("parity")
    options = Options(
        data_dir=folder, layers=1, epochs=20, limit=60, seeds=(0,), out=folder / "parity.json"
    )
    assert main(options) == 0
    return options


def runs_of(options):
    runs = json.loads(options.out.read_text())["runs"]
    assert [run["framework"] for run in runs] == ["jax", "pytorch"]
    return runs


@pytest.mark.slow
def test_both_train_alike(options):
    ours, theirs = runs_of(options)
    np.testing.assert_allclose(ours["first_losses"], theirs["first_losses"], rtol=1e-3)
    np.testing.assert_allclose(ours["train_loss"], theirs["train_loss"], rtol=1e-3)
    assert len(ours["first_losses"]) == len(set(ours["first_losses"])) == 20
    assert ours["test_mae"] == pytest.approx(theirs["test_mae"], rel=0.1)
    summary = json.loads(options.out.read_text())["summary"]
    assert summary["first_steps_largest_relative_difference"] < 1e-3
    assert options.out.with_suffix(".png").stat().st_size > 0


@pytest.mark.slow
def test_ours_is_the_training_command(options, tmp_path):
    arguments = ["--preset", "official", "--num-layers", "1", "--epochs", "20", "--limit", "60"]
    arguments += ["--seed", "0", "--no-reduce", "--workers", "1"]
    run = train_run(tmp_path / "run", *arguments)
    rows = np.genfromtxt(run / "metrics.csv", delimiter=",", names=True)
    np.testing.assert_allclose(rows["train_loss"], runs_of(options)[0]["train_loss"], rtol=1e-3)


@pytest.mark.slow
def test_what_is_finished_is_not_trained_again(options, monkeypatch):
    def train(*arguments):
        raise AssertionError("trained again")

    before = options.out.read_bytes()
    monkeypatch.setattr(parity_training, "train", train)
    assert main(options) == 0
    assert options.out.read_bytes() == before


def test_figures_of_other_settings_are_not_overwritten(options):
    with pytest.raises(UserError, match="another --out"):
        main(replace(options, epochs=21))
