"""The notebooks of the documentation work from top to bottom."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"


def code_of(notebook: Path) -> list[str]:
    """The cells of code, without IPython's own commands."""
    cells = json.loads(notebook.read_text())["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert "%pip install -q gatgnn_jax" in texts[0]  # for Colab
    return [text.replace("%pip", "pass  # %pip") for text in texts]


def run_cells(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(folder)
    scope: dict = {}
    for text in code_of(FOLDER / f"{name}.ipynb"):
        exec(text, scope)
    return scope


def test_nothing_is_kept_of_a_run():
    """No outputs: they are made by whoever builds the documentation."""
    notebooks = sorted(FOLDER.glob("*.ipynb"))
    assert len(notebooks) == 3
    for notebook in notebooks:
        for cell in json.loads(notebook.read_text())["cells"]:
            assert not cell.get("outputs")


@pytest.mark.slow
def test_own_data(tmp_path, cache, monkeypatch):
    scope = run_cells("own_data", tmp_path, monkeypatch)
    assert scope["result"].values.shape == (2, 1)
    assert (scope["errors"] > 0).all()
    assert len(scope["errors"]) == 3
    assert len(scope["predictions"]) == 80
    assert (tmp_path / "hardness" / "report.html").exists()


@pytest.mark.slow
def test_change_the_model(tmp_path, cache, monkeypatch):
    scope = run_cells("change_the_model", tmp_path, monkeypatch)
    assert scope["own"].config.model.model == "gated-mean"
    assert scope["own"].config.model.global_attention == "atoms-alone"
    assert scope["paper"].config.train == scope["own"].config.train


@pytest.mark.slow
def test_screen_and_explain(tmp_path, cache, monkeypatch):
    scope = run_cells("screen_and_explain", tmp_path, monkeypatch)
    assert len(scope["result"]) == 35
    assert not scope["result"].skipped
    assert scope["best"].modulus.is_monotonic_decreasing
    assert scope["explanation"].atom_table().weight.sum() == pytest.approx(1, abs=1e-5)
