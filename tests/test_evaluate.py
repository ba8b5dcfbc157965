"""`python -m gatgnn_jax.evaluate`: the metrics of training again, and those of other data."""

import json

import numpy as np
import pandas as pd
import pytest

from data_prep.build import main as build
from gatgnn_jax import evaluate
from tests.commands import bundled_rows, error_of, evaluate_to, untrained_run, write_source

NAMES = ("mae", "rmse", "r2", "coverage")


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def moved(run, tmp_path_factory):
    """The first 50 crystals of `run` in another file, two of them without a usable value."""

    def targets(number, old):
        return {"K_VRH": {3: -1.0, 4: None}.get(number, old["bulk_modulus"]), "other": 1.0}

    return write_source(tmp_path_factory.mktemp("data") / "moved.jsonl", 50, targets)


@pytest.mark.slow
def test_gives_what_training_gave_to_the_bit(run, tmp_path):
    """Saved, loaded and predicted again: the same file, the same metrics."""
    summary = read(run / "summary.json")
    assert evaluate_to(tmp_path / "all", run, "--subset", "all") == 0
    again = (tmp_path / "all" / "predictions.csv").read_bytes()
    assert again == (run / "predictions.csv").read_bytes()
    metrics = read(tmp_path / "all" / "metrics.json")
    assert metrics.pop("crystals") == summary["crystals"]
    assert metrics == {name: summary[name] for name in metrics}
    assert set(metrics) == {f"{s}_{m}" for s in summary["crystals"] for m in NAMES}

    assert evaluate_to(tmp_path / "val", run, "--subset", "val") == 0
    table = pd.read_csv(run / "predictions.csv")
    expected = table[table.subset == "val"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "val" / "predictions.csv"), expected)


def test_tests_by_default_and_writes_into_the_run(run, capsys):
    assert evaluate.main([str(run)]) == 0
    summary = read(run / "summary.json")
    output = capsys.readouterr().out
    assert f"{summary['test_mae']:.4f}" in output
    assert "log10(GPa)" in output
    folder = run / "evaluation-test"
    assert read(folder / "metrics.json")["crystals"] == {"test": 40}
    assert set(pd.read_csv(folder / "predictions.csv").subset) == {"test"}


@pytest.mark.slow
def test_other_data(run, moved, tmp_path):
    """All its crystals that have a value, under whatever name its column goes."""
    assert evaluate_to(tmp_path / "all", run, "--data", moved, "--seen") == 0
    table = pd.read_csv(tmp_path / "all" / "predictions.csv")
    ids = [row["id"] for row in bundled_rows(50)]
    assert table.id.tolist() == ids[:3] + ids[5:]
    trained = pd.read_csv(run / "predictions.csv").set_index("id")
    for column in ("target", "prediction"):
        np.testing.assert_allclose(table[column], trained[column][table.id], atol=1e-6)
    metrics = read(tmp_path / "all" / "metrics.json")
    error = (table.prediction - table.target).abs().mean()
    assert metrics["all_mae"] == pytest.approx(error, abs=1e-6)
    skipped = pd.read_csv(tmp_path / "all" / "skipped.csv")
    assert skipped.id.tolist() == ids[3:5]
    assert "log10 needs a value above 0" in skipped.reason[0]
    assert "no value of bulk_modulus" in skipped.reason[1]

    assert evaluate_to(tmp_path / "test", run, "--data", moved, "--subset", "test") == 0
    tested = pd.read_csv(tmp_path / "test" / "predictions.csv").id
    assert set(tested) == set(table.id) & set(read(run / "split.json")["test"])


@pytest.mark.slow
def test_crystals_the_run_knows_are_not_scored(run, moved, tmp_path, capsys):
    """Of other data, those of its training and validation are counted and left out, by id."""
    split = read(run / "split.json")
    usable = {row["id"] for number, row in enumerate(bundled_rows(50)) if number not in (3, 4)}
    known = {*split["train"], *split["val"]}
    assert evaluate.main([str(run), "--data", str(moved), "--out", str(tmp_path / "new")]) == 0
    assert set(pd.read_csv(tmp_path / "new" / "predictions.csv").id) == usable - known
    count = len(known & {row["id"] for row in bundled_rows(50)})
    assert f"{count} crystals not scored: {run} was trained" in capsys.readouterr().out
    skipped = pd.read_csv(tmp_path / "new" / "skipped.csv")
    assert set(skipped.id) >= known & usable
    # What the run's own subset names is scored as asked.
    assert evaluate_to(tmp_path / "val", run, "--data", moved, "--subset", "val") == 0
    assert set(pd.read_csv(tmp_path / "val" / "predictions.csv").id) == usable & {*split["val"]}


@pytest.mark.slow
def test_several_properties_and_classes(tmp_path):
    source = write_source(
        tmp_path / "data.jsonl", 6, lambda number, targets: {"is_metal": number % 2, "gap": number}
    )
    path = untrained_run(tmp_path / "run", ["is_metal", "gap"], source)
    assert evaluate_to(tmp_path / "out", path, "--data", source) == 0
    metrics = read(tmp_path / "out" / "metrics.json")
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    right = table.prediction_is_metal == table.target_is_metal
    assert metrics["all_accuracy_is_metal"] == pytest.approx(right.mean())
    probability = np.where(
        table.target_is_metal == "metal", table.probability_is_metal, 1 - table.probability_is_metal
    )
    assert metrics["all_log_loss_is_metal"] == pytest.approx(-np.log(probability).mean(), abs=1e-5)
    error = (table.prediction_gap - np.arange(6)).abs().mean()
    assert metrics["all_mae_gap"] == pytest.approx(error, abs=1e-5)


@pytest.mark.slow
def test_bad_input_is_explained(run, moved, tmp_path, capsys):
    def message(*arguments):
        return error_of(evaluate.main, arguments, capsys)

    ids = [row["id"] for row in bundled_rows(3)]
    split = dict(zip(("train", "val", "test"), ([i] for i in ids), strict=True))
    source = write_source(tmp_path / "data.jsonl", 3, lambda number, targets: {"gap": number})
    own = untrained_run(tmp_path / "own", ["gap"], source, split=split)
    converted = untrained_run(tmp_path / "converted")
    graphs = ["--out", str(tmp_path / "dataset"), "--graph", "megnet", "--limit", "2", "--quiet"]
    assert build([str(moved), *graphs]) == 0

    assert "--data" in message(converted)
    assert "is no run" in message(tmp_path)
    assert "does not exist" in message(run, "--data", tmp_path / "nowhere")
    assert "no property 'bulk_modulus'" in message(run, "--data", source)
    assert "radius 4.0 instead of 8.0" in message(run, "--data", tmp_path / "dataset")
    assert "is a run" in message(run, "--out", run)
    assert "--out" in message(run, "--out", source / "folder")
    gaps = write_source(
        tmp_path / "gaps.jsonl", 3, lambda number, old: {"gap": None if number == 1 else 1, "x": 0}
    )
    assert "no crystal of the subset val" in message(own, "--data", gaps, "--subset", "val")

    assert "has not seen in training (--seen scores" in message(
        untrained_run(tmp_path / "all", ["gap"], source, split=split | {"val": ids}),
        "--data",
        source,
    )
    untested = untrained_run(tmp_path / "untested", ["gap"], source, split=split | {"test": []})
    assert "has no test crystals: name others with --data, or --subset val" in message(untested)

    assert evaluate_to(tmp_path / "out", own) == 0
    # Of one crystal there is no R²; JSON has no NaN.
    assert read(tmp_path / "out" / "metrics.json")["test_r2"] is None
    write_source(source, 3, lambda number, targets: {"gap": -number})
    assert "has changed" in message(own)
    source.unlink()
    assert "is gone" in message(own)
