"""Epochs arrive in TensorBoard and Weights & Biases as they stand in metrics.csv."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gatgnn_jax import train
from tests.commands import TINY, error_of, train_run

SHORT = ["--limit", "60", "--epochs", "2", *TINY]


def test_tensorboard_shows_metrics_csv(tmp_path: Path, cache: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    run = train_run(tmp_path / "run", "--log", "tensorboard", *SHORT)
    log = EventAccumulator(str(run / "tensorboard"))
    log.Reload()
    table = pd.read_csv(run / "metrics.csv")
    for name in table.columns.drop("epoch"):
        events = log.Tensors(name)
        assert [event.step for event in events] == table.epoch.tolist()
        values = [make_ndarray(event.tensor_proto).item() for event in events]
        np.testing.assert_allclose(values, table[name], rtol=1e-6)
    assert len(log.Tensors("crystals_per_second")) == 2


def test_wandb_goes_on_with_a_resumed_run(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client as a stand-in that keeps what it is given: the service needs an account."""
    started: list[dict[str, Any]] = []
    logged: list[tuple[int, dict[str, float]]] = []

    def init(**settings: Any) -> SimpleNamespace:
        started.append(settings)
        return SimpleNamespace(
            id="abc123",
            log=lambda values, step: logged.append((step, values)),
            finish=lambda: started[-1].update(finished=True),
        )

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    run = train_run(tmp_path / "run", "--log", "wandb", *SHORT)
    assert [step for step, _ in logged] == [1, 2]
    table = pd.read_csv(run / "metrics.csv")
    assert [values["val_mae"] for _, values in logged] == pytest.approx(table.val_mae.tolist())
    assert started[0]["finished"]
    assert started[0]["id"] is None
    assert started[0]["name"] == "run"
    assert started[0]["config"]["train"]["epochs"] == 2

    (run / "summary.json").unlink()
    assert train.main(["--resume", str(run), "--log", "wandb", "--quiet"]) == 0
    assert started[1]["id"] == "abc123"
    assert started[1]["resume"] == "allow"


def test_a_missing_package_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    arguments = ["--log", "wandb", "--run-dir", tmp_path / "run", *SHORT]
    assert "pip install wandb" in error_of(train.main, arguments, capsys)
    assert not (tmp_path / "run").exists()
