"""`python -m gatgnn_jax.report RUN RUN …`: several runs on one page, and pictures for papers."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axis import YAxis
from matplotlib.figure import Figure

from gatgnn_jax import report
from gatgnn_jax.pages import plots
from gatgnn_jax.runs.directory import RunDirectory
from tests.browser import open_page
from tests.commands import error_of
from tests.page_scripts import script


@pytest.fixture(scope="module")
def other(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As if the same training had come to predictions that are 0.1 higher, of other settings, and
    half of the test crystals had been left out."""
    path = tmp_path_factory.mktemp("other") / "other"
    shutil.copytree(run, path, ignore=shutil.ignore_patterns("checkpoints"))
    config = RunDirectory(path).config()
    config = replace(config, train=replace(config.train, seed=7))
    RunDirectory(path).write_text("config.json", config.to_json())
    table = pd.read_csv(path / "predictions.csv")
    table.prediction += 0.1
    left_out = table.index[table.subset == "test"][::2]
    table.drop(left_out).to_csv(path / "predictions.csv", index=False)
    return path


@pytest.fixture(scope="module")
def page(run: Path, other: Path) -> Path:
    path = other.parent / "comparison.html"
    assert report.main([str(run), str(other), "--out", str(path), "--quiet"]) == 0
    return path


def test_numbers_are_those_of_the_tables(run: Path, other: Path, page: Path) -> None:
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])
    assert [own["name"] for own in data["runs"]] == [run.name, "other"]
    assert data["settings"] == [["seed", [0, 7]]]
    own, twin = (pd.read_csv(path / "predictions.csv").set_index("id") for path in (run, other))
    tested = twin[twin.subset == "test"]
    assert data["ids"] == tested.index.tolist()
    assert [entry["tested"] for entry in data["runs"]] == [2 * len(tested), len(tested)]
    (numbers,) = data["properties"]
    np.testing.assert_allclose(numbers["target"], tested.target, rtol=1e-4)
    for k, table in enumerate((own, twin)):
        predicted = table.prediction[tested.index]
        np.testing.assert_allclose(numbers["predicted"][k], predicted, rtol=1e-4)
        error = (predicted - tested.target).abs().mean()
        assert numbers["shared"][k]["mae"] == pytest.approx(error, rel=1e-5)
    every = own[own.subset == "test"]
    mae = (every.prediction - every.target).abs().mean()
    assert numbers["scores"][0]["mae"] == pytest.approx(mae, rel=1e-5)


def test_crystals_side_by_side(run: Path, page: Path, tmp_path: Path) -> None:
    """Choosing one in the table marks it; every crystal and epoch is drawn."""
    opened = open_page(page, tmp_path, script("comparison"))
    assert opened.console == []
    result = opened.result
    assert result["heads"] == ["Errors", "Learning curves", "The same crystals", "Settings"]
    epochs = len(pd.read_csv(run / "metrics.csv"))
    assert result["points"] == [2 * epochs, len(result["shown"])]
    assert result["changes"]
    spread = [float(row[-1]) for row in result["shown"]]
    np.testing.assert_allclose(spread, 0.1, atol=2e-5)


def test_runs_that_cannot_be_compared(run: Path, other: Path, tmp_path, capsys) -> None:
    strange = Path(shutil.copytree(other, tmp_path / "strange"))
    config = RunDirectory(strange).config()
    named = (replace(config.properties[0], name="hardness"),)
    RunDirectory(strange).write_text("config.json", replace(config, properties=named).to_json())
    for arguments, words in [
        ([], "nothing to report"),
        ([run] * 9, "9 runs are too many"),
        ([run, other, "--out", tmp_path / "page.csv"], "must end in .html"),
        ([run, strange, "--out", tmp_path / "page.html"], "no property in common"),
        ([run, tmp_path], "is no run"),
    ]:
        assert words in error_of(report.main, [*arguments, "--quiet"], capsys)
    assert not list(tmp_path.glob("page*"))


def test_pictures_for_papers(run: Path, tmp_path: Path) -> None:
    twin = Path(shutil.copytree(run, tmp_path / "twin"))
    assert report.main([str(twin), "--format", "svg", "--quiet"]) == 0
    for name in ("learning_curve.svg", "parity.svg"):
        assert "bulk modulus" in (twin / name).read_text()
    assert (twin / "parity.png").read_bytes() == (run / "parity.png").read_bytes()


@pytest.mark.parametrize(("low", "high"), [(0.21, 0.37), (0.04, 0.26), (0.5, 40.0)])
def test_ticks_are_plain_numbers(low: float, high: float, tmp_path: Path, monkeypatch) -> None:
    """Not 3×10⁻¹: at least two that are read at once, whatever the errors are."""
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    rows = [{"epoch": k + 1, "train_mae": v, "val_mae": v} for k, v in enumerate((high, low))]
    plots.learning_curve(rows, 2, (plots.Property("gap", "gap"),), tmp_path / "a.png")
    figures[0].draw_without_rendering()
    axis: YAxis = figures[0].axes[0].yaxis
    shown = [
        label.get_text()
        for tick, label in zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        if low <= tick <= high
    ]
    assert len(shown) >= 2
    assert all(re.fullmatch(r"[\d.]+", label) for label in shown)
    assert not any(label.get_text() for label in axis.get_minorticklabels())
