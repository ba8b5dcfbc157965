"""An ensemble's uncertainty where a user looks: the report, the explanation, the vectors."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_prep.properties import Property
from gatgnn_jax import embed, explain
from gatgnn_jax.pages.calibration import calibration_numbers, reliability, spread_groups
from gatgnn_jax.prediction.subsets import SubsetPredictions
from tests.browser import Opened, open_page
from tests.commands import SMALL, train_run, write_source
from tests.page_scripts import script

MEMBERS = 3


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The training of `tests.test_ensemble`, so that it is compiled once."""
    path = tmp_path_factory.mktemp("runs") / "ensemble"
    options = ["--ensemble", str(MEMBERS), "--epochs", "3", "--limit", "60"]
    return train_run(path, *options, *SMALL)


@pytest.fixture(scope="module")
def used(ensemble: Path, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    folder = tmp_path_factory.mktemp("report")
    return open_page(ensemble / "report.html", folder, script("uncertainty"))


@pytest.fixture
def tested(ensemble: Path) -> pd.DataFrame:
    """The rows of predictions.csv about test crystals, with the absolute error."""
    table = pd.read_csv(ensemble / "predictions.csv")
    table["error"] = (table.prediction - table.target).abs()
    return table[table.subset == "test"].set_index("id")


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"[\d.]+", text.replace("log10", ""))]


def test_points_and_bars_have_the_uncertainty(used: Opened, tested: pd.DataFrame) -> None:
    """What a crystal's point says in two charts is what the table has."""
    assert used.console == []
    assert used.result["bars"] == [len(tested), 0, True]
    assert used.result["points"] == [len(tested), 19]
    for chart in ("parity", "spread"):
        tips = used.result[chart]
        assert len(tips) > len(tested) / 2
        for name, (_, predicted, within) in tips.items():
            own = tested.loc[name.rsplit(" ", 1)[1]]
            shown = [own.prediction_gpa, own.prediction, own.uncertainty]
            np.testing.assert_allclose(numbers(predicted), shown, rtol=3e-2)
            ends = 10 ** (own.prediction + np.array([-1, 1]) * own.uncertainty)
            np.testing.assert_allclose(numbers(within), ends, rtol=6e-3)


def test_coverage_and_the_worst_are_those_of_the_table(used: Opened, tested: pd.DataFrame) -> None:
    inside = [(tested.error <= k * tested.uncertainty).mean() for k in (1, 2)]
    shown = numbers(used.result["note"])
    np.testing.assert_allclose([shown[0], shown[2]], np.multiply(inside, 100), atol=0.51)
    # Half of normal errors are within 0.6745 standard deviations.
    half = (tested.error <= 0.67449 * tested.uncertainty).mean()
    assert used.result["coverage"]["expected 50 %"] == [f"found {100 * half + 1e-9:.0f} %"]
    worst = tested.sort_values("error", ascending=False)[:12]
    assert [row[0] for row in used.result["worst"]] == worst.index.tolist()
    spread = [float(row[-1]) for row in used.result["worst"]]
    np.testing.assert_allclose(spread, worst.uncertainty, rtol=1e-4)


def test_the_networks_alone_beside_their_mean(
    ensemble: Path, used: Opened, tested: pd.DataFrame
) -> None:
    members = json.loads((ensemble / "summary.json").read_text())["members"]["test_mae"]
    errors = [float(error) for _, error in used.result["networks"]]
    assert errors[:-1] == pytest.approx(members)
    assert errors[-1] == pytest.approx(tested.error.mean(), rel=1e-5)
    assert len(set(members)) == MEMBERS
    assert errors[-1] <= np.mean(members)  # the mean errs no more than its members on average
    low, high = min(members), max(members)
    assert used.result["notes"][0].endswith(f"each network alone: {low:.4f} to {high:.4f}")
    assert used.result["values"][3].startswith(f"{MEMBERS} × GATGNN")


def test_explanations_and_vectors_have_it_too(
    ensemble: Path, tested: pd.DataFrame, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "crystals.jsonl", 1, lambda number, old: old)
    table = pd.read_csv(ensemble / "predictions.csv").set_index("id")
    own = table.loc[json.loads(source.read_text())["id"]]
    options = [str(ensemble), str(source), "--quiet", "--out"]
    assert explain.main([*options, str(tmp_path)]) == 0
    opened = open_page(tmp_path / "explain.html", tmp_path)
    assert opened.console == []
    value, unit, note = re.search(
        r'"value">([\d.]+)<small> (.*?)</small></div><div class="note">(.*?)</div>', opened.dom
    ).groups()
    assert float(value) == pytest.approx(own.prediction_gpa, rel=1e-3)
    ends = 10 ** (own.prediction + np.array([-1, 1]) * own.uncertainty)
    np.testing.assert_allclose(numbers(unit), ends, rtol=1e-3)
    shown = numbers(note.split(" = ")[1])
    np.testing.assert_allclose(shown, [own.prediction, own.uncertainty], atol=1e-3)
    assert "GI M-1, mean of an ensemble" in opened.dom

    assert embed.main([*options, str(tmp_path / "a.npz"), "--map=none", "--workers=1"]) == 0
    with np.load(tmp_path / "a.npz") as file:
        assert file["uncertainty"][0, 0] == pytest.approx(own.uncertainty, rel=1e-2)


# ---- the numbers behind them -------------------------------------------------------------------


def test_errors_as_large_as_the_uncertainty_says() -> None:
    """Groups of rising uncertainty lie on the diagonal, below it if errors are twice as large."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 2, 20_000)
    error = np.abs(rng.normal(size=20_000)) * spread
    groups = spread_groups(error, spread)
    assert groups.shape == (10, 2)
    assert (np.diff(groups[:, 0]) > 0).all()
    np.testing.assert_allclose(groups[:, 1], groups[:, 0], rtol=0.06)
    np.testing.assert_allclose(spread_groups(2 * error, spread)[:, 1], 2 * groups[:, 1])
    assert spread_groups(error[:15], spread[:15]).shape == (1, 2)


def test_how_often_a_class_is_right_by_its_probability() -> None:
    probability, target = np.array([0.05, 0.07, 0.62, 0.64, 1.0]), np.array([0, 0, 1, 0, 1])
    said, found = reliability(probability, target)
    np.testing.assert_allclose(said, [0.06, 0.63, 1.0])
    np.testing.assert_allclose(found, [0, 0.5, 1])


def test_crystals_without_a_target_do_not_count() -> None:
    p = Property("gap", "gap", "eV")
    predicted, target = np.array([1.0, 2.0, 3.0]), np.array([1.05, np.nan, 3.15])
    numbers = calibration_numbers(p, predicted, target, np.full(3, 0.1))
    assert numbers["within"] == [0.5, 1.0]
    empty = calibration_numbers(p, predicted, np.full(3, np.nan), np.full(3, 0.1))
    assert empty == {"curve": [], "groups": [], "within": []}


def test_each_member_has_scores_of_its_own() -> None:
    p: Any = Property("gap", "gap", "eV", mean=1.0, scale=2.0)
    outputs = np.array([[[0.0], [1.0]], [[1.0], [1.0]]])  # of two members: 1 and 3, 3 and 3
    target = np.array([[1.0], [3.0]])
    result = SubsetPredictions(
        (p,), {"test": np.array(["a", "b"])}, {"test": target}, {"test": outputs}
    )
    np.testing.assert_allclose(result.predicted["test"], [[2], [3]])
    np.testing.assert_allclose(result.spread["test"], [[2**0.5], [0]])
    assert result.member_scores("test")["test_mae"] == [0.0, 1.0]
    assert result.scores("test")["test_mae"] == 0.5
