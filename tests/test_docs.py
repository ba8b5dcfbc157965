"""The tutorial works from top to bottom, as it stands there."""

import importlib
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

TUTORIAL = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"```(python|bash)\n(.*?)```", TUTORIAL, re.DOTALL)


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block in its order; commands in this process, to start JAX once only."""
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    commands = []
    for kind, text in BLOCKS:
        if kind == "python":
            exec(text, scope)
            continue
        for line in text.splitlines():
            python, option, module, *arguments = shlex.split(line)
            assert (python, option) == ("python", "-m")
            commands.append(module)
            assert importlib.import_module(module).main(arguments) == 0, line
    assert set(commands) == {
        f"gatgnn_jax.{name}" for name in ("train", "evaluate", "predict", "explain", "embed")
    }

    # What the text says is there.
    for name in ("report.html", "parity.png", "learning_curve.png", "summary.json"):
        assert (tmp_path / "hardness" / name).stat().st_size > 500
    assert len(pd.read_csv(tmp_path / "hardness" / "predictions.csv")) == 80
    assert pd.read_csv(tmp_path / "hardness" / "skipped.csv").empty
    assert scope["table"].prediction.tolist() == pytest.approx(
        pd.read_csv(tmp_path / "hardness.csv").prediction.tolist(), rel=1e-4
    )
    assert (tmp_path / "explanation" / "explain.html").exists()
    assert (tmp_path / "vectors.png").exists()
