"""Intervals: exact quantiles, the promised coverage, and columns wherever predictions go."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition
from scipy.stats import binom

from data_prep.errors import UserError
from data_prep.properties import Property
from gatgnn_jax import evaluate, predict
from gatgnn_jax.api import Predictor
from gatgnn_jax.prediction.columns import prediction_columns
from gatgnn_jax.prediction.coverage import coverage_groups
from gatgnn_jax.prediction.intervals import conformal_quantile, fit_intervals
from gatgnn_jax.prediction.reliability import read_reliability
from gatgnn_jax.runs.directory import RunDirectory
from tests.commands import SMALL, train_run, write_source

GAP = Property("gap", "gap", "eV")
MODULUS = Property("bulk_modulus", "bulk_modulus", "GPa", "log10")
METAL = Property("is_metal", "is_metal", task="classification")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    path = tmp_path_factory.mktemp("runs") / "intervals"
    return train_run(path, "--limit", "200", "--epochs", "3", *SMALL)


# ---- by hand -------------------------------------------------------------------------------------


def test_the_quantile_is_the_corrected_one() -> None:
    scores = np.array([5, 1, 9, 3, 7, 2, 8, 4, 6.0])
    assert conformal_quantile(scores, 0.9) == 9  # ⌈10 · 0.9⌉ = 9th of 9, not the 8th or ∞
    assert conformal_quantile(scores, 0.8) == 8
    assert conformal_quantile(scores, 0.5) == 5
    assert conformal_quantile(scores, 0.91) == np.inf  # ⌈9.1⌉ = 10th of 9
    assert conformal_quantile(scores[:8], 0.9) == np.inf
    assert conformal_quantile(np.empty(0), 0.9) == np.inf


def test_a_single_network_and_an_ensemble_by_hand() -> None:
    """Errors 1 to 9; of the ensemble the crystal with the largest has the largest spread."""
    target = np.zeros((10, 1))
    target[9] = np.nan  # nobody knows it
    predicted = np.arange(1.0, 11.0)[:, None] * [-1]
    (own,) = fit_intervals([GAP], predicted, target, None).properties
    assert (own.name, own.quantile, own.floor, own.crystals) == ("gap", 9.0, None, 9)
    spread = np.array([1, 1, 1, 1, 1, 1, 1, 1, 8, 50.0])[:, None]
    intervals = fit_intervals([GAP], predicted, target, spread)
    (own,) = intervals.properties
    assert own.floor == 1  # the median of the nine
    assert own.quantile == 4  # errors over spread + 1: ½, 1, … 4 and 9 / 9 = 1
    half = intervals.half_width([GAP], predicted[:2], np.array([[0.0], [3.0]]))
    np.testing.assert_allclose(half, [[4], [16]])


def test_classes_and_unknown_properties_have_none() -> None:
    values = np.full((20, 3), 0.5)
    target = np.column_stack([np.ones(20), np.full(20, np.nan), np.zeros(20)])
    intervals = fit_intervals([METAL, MODULUS, GAP], values, target, None)
    assert [own.name for own in intervals.properties] == ["gap"]
    half = intervals.half_width([METAL, MODULUS, GAP], values, None)
    assert np.isnan(half[:, :2]).all()
    np.testing.assert_allclose(half[:, 2], 0.5)


@pytest.mark.parametrize("members", [1, 5])
def test_the_promise_is_kept(members: int) -> None:
    """Of exchangeable crystals nine in ten lie within, whatever the errors and the spreads are.

    The number inside is a mixture of binomials around it; bounds at five standard deviations.
    """
    rng = np.random.default_rng(members)
    inside = total = 0
    for _ in range(200):
        spread = rng.lognormal(size=(300, 1))
        error = rng.standard_t(3, (300, 1)) * spread**0.7 + 0.2
        given = spread if members > 1 else None
        intervals = fit_intervals(
            [GAP], error[:99], np.zeros((99, 1)), None if given is None else given[:99]
        )
        half = intervals.half_width([GAP], error[99:], None if given is None else given[99:])
        inside += int((np.abs(error[99:]) <= half).sum())
        total += 201
    # One calibration's coverage is Beta(90, 10), with a standard deviation of 0.03.
    bound = 5 * (0.03 / 200**0.5 + binom.std(total, 0.9) / total)
    assert abs(inside / total - 0.9) < bound


def test_columns_in_both_units() -> None:
    half = np.array([[0.1, np.nan]])
    table = prediction_columns([MODULUS, METAL], np.array([[2.0, 0.7]]), half_width=half)
    row = table.iloc[0]
    assert row.lower_bulk_modulus == pytest.approx(1.9)
    assert row.upper_bulk_modulus == pytest.approx(2.1)
    assert row.lower_gpa_bulk_modulus == pytest.approx(79.4328)
    assert row.upper_gpa_bulk_modulus == pytest.approx(125.8925)
    assert not [name for name in table if name.endswith("is_metal") and "er_" in name]


def test_coverage_by_groups_by_hand() -> None:
    cells = [Composition(text) for text in ("Fe4", "NaCl", "SrTiO3", "SrTiO3")]
    predicted, target = np.array([1.0, 2, 3, 4]), np.array([1.5, 2, np.nan, 6])
    table = coverage_groups(GAP, predicted, target, np.full(4, 1.0), cells).set_index("group")
    assert table.crystals["all"] == 3
    assert table.coverage["all"] == pytest.approx(2 / 3)
    assert table.mae["all"] == pytest.approx(2.5 / 3)
    assert (table.coverage["1"], table.coverage["3"]) == (1, 0)
    assert table.crystals["1–4"] == 2 and table.crystals["5–8"] == 1
    assert table.coverage["highest third"] == 0


# ---- a run ---------------------------------------------------------------------------------------


def test_the_run_has_the_quantile_of_its_own_table(trained: Path) -> None:
    table = pd.read_csv(trained / "predictions.csv")
    val = table[table.subset == "val"]
    errors = np.sort((val.prediction - val.target).abs())
    rank = int(np.ceil((len(val) + 1) * 0.9 - 1e-9))
    (own,) = json.loads((trained / "intervals.json").read_text())["properties"]
    assert own["quantile"] == pytest.approx(errors[rank - 1], rel=1e-5)
    assert own["crystals"] == len(val)
    np.testing.assert_allclose(table.upper - table.prediction, own["quantile"], rtol=1e-5)
    np.testing.assert_allclose(table.lower_gpa, 10**table.lower, rtol=1e-6)
    test = table[table.subset == "test"]
    within = ((test.target >= test.lower) & (test.target <= test.upper)).mean()
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["test_coverage"] == pytest.approx(within)


def test_wherever_predictions_go(trained: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "crystals.jsonl", 3, lambda number, old: old)
    out = tmp_path / "predictions.csv"
    assert predict.main([str(trained), str(source), "--out", str(out), "--quiet"]) == 0
    table = pd.read_csv(out)
    quantile = json.loads((trained / "intervals.json").read_text())["properties"][0]["quantile"]
    np.testing.assert_allclose(table.prediction - table.lower, quantile, rtol=1e-5)
    result = Predictor.load(trained).predict(source)
    assert result.lower is not None and result.upper is not None
    np.testing.assert_allclose(result.lower[:, 0], table.lower_gpa, rtol=1e-3)
    np.testing.assert_allclose(result.upper[:, 0], table.upper_gpa, rtol=1e-3)
    assert list(result.to_dataframe())[: len(table.columns)] == list(table.columns)

    assert evaluate.main([str(trained), "--out", str(tmp_path / "e"), "--quiet"]) == 0
    groups = pd.read_csv(tmp_path / "e" / "coverage.csv")
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    every = groups[groups.by == "all"].iloc[0]
    assert every.coverage == pytest.approx(metrics["test_coverage"])
    assert every.crystals == metrics["crystals"]["test"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read"),
        ('{"level": 0.9}', "properties is missing"),
        ('{"level": 2, "properties": []}', "level is 2"),
        ("quantile: -1", "quantile is -1"),
        ("name: other", "another run"),
        ("floor: 0.5", "another run"),
    ],
)
def test_a_damaged_file_is_named(text: str, told: str, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    name, _, value = text.partition(": ")
    if text[0] != "{":
        values = json.loads((run / "intervals.json").read_text())
        values["properties"][0][name] = value if name == "name" else float(value)
        text = json.dumps(values)
    (run / "intervals.json").write_text(text)
    with pytest.raises(UserError, match=told) as error:
        read_reliability(RunDirectory(run))
    assert "intervals.json" in str(error.value)


def test_runs_without_one_do_without(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    for name in ("intervals.json", "neighbors.npz"):
        (run / name).unlink()
    known = read_reliability(RunDirectory(run))
    assert known.intervals is None and known.training is None
    source = write_source(tmp_path / "crystals.jsonl", 2, lambda number, old: old)
    result = Predictor.load(run).predict(source)
    assert result.lower is None and result.neighbors is None
    assert list(result.to_dataframe()) == [
        *("id", "prediction", "unit", "prediction_gpa", "warning", "skipped")
    ]


def test_other_numbers_of_arrays_are_refused(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    path = run / "neighbors.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"vectors_points": arrays["vectors_points"][:-1]})
    with pytest.raises(UserError, match=r"neighbors\.npz cannot be read"):
        read_reliability(RunDirectory(run))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"neighbors\.npz cannot be read"):
        read_reliability(RunDirectory(run))
