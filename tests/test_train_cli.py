"""`python -m gatgnn_jax.train`: it learns, can be interrupted anywhere, and explains bad input."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from data_prep.build import main as build
from gatgnn_jax import train
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.terminal import TrainingReporter
from tests.commands import (
    SMALL,
    TINY,
    TRAINING,
    assert_same_run,
    bundled_rows,
    error_of,
    resume,
    train_run,
    write_source,
)

VARIANTS = [
    ["--global-attention", "composition", "--concat-composition"],
    *(["--global-attention", f"cluster-{kind}"] for kind in ("fixed", "random", "learnable")),
    *(["--global-attention", "none"], ["--residual"], ["--model", "gat"]),
]

# Saves after every epoch, so that there is something to resume soon.
DRIVER = """
import sys
from gatgnn_jax import train
from gatgnn_jax.training import loop as training
training.SECONDS_BETWEEN_CHECKPOINTS = 0
sys.exit(train.main(sys.argv[1:]))
"""


def read(path):
    return json.loads(path.read_text())


def test_learns_more_than_the_mean(run):
    """The error on unseen crystals is far below that of always saying the training mean."""
    table = pd.read_csv(run / "predictions.csv")
    target = {name: table.target[table.subset == name] for name in ("train", "test")}
    dummy = (target["test"] - target["train"].mean()).abs().mean()
    summary = read(run / "summary.json")
    assert summary["test_mae"] < 0.6 * dummy
    error = (table.prediction - table.target)[table.subset == "test"]
    assert summary["test_mae"] == pytest.approx(error.abs().mean(), abs=1e-6)
    assert summary["test_rmse"] == pytest.approx(np.sqrt((error**2).mean()), abs=1e-6)
    spread = target["test"] - target["test"].mean()
    r2 = 1 - (error**2).sum() / (spread**2).sum()
    assert summary["test_r2"] == pytest.approx(r2, abs=1e-5)


def test_run_directory_holds_everything(run):
    metrics, timing = (pd.read_csv(run / name) for name in ("metrics.csv", "timing.csv"))
    assert metrics.epoch.tolist() == timing.epoch.tolist() == list(range(1, 41))
    assert not any("second" in name for name in metrics)
    # 5e-3, a tenth of it from half of the epochs on, a hundredth from three quarters on.
    expected = np.repeat([5e-3, 5e-4, 5e-5], [20, 10, 10])
    np.testing.assert_allclose(metrics.learning_rate, expected, rtol=1e-6)
    summary = read(run / "summary.json")
    assert summary["best_epoch"] == metrics.epoch[metrics.val_mae.idxmin()]
    assert summary["val_mae"] == pytest.approx(metrics.val_mae.min(), abs=1e-6)
    assert summary["compilations"] == 1
    assert summary["crystals"] == {"train": 120, "val": 40, "test": 40}
    assert {"jax", "jaxlib"} <= summary["versions"].keys()
    split = read(run / "split.json")
    table = pd.read_csv(run / "predictions.csv")
    for name, ids in split.items():
        assert table.id[table.subset == name].tolist() == ids
    np.testing.assert_allclose(table.prediction_gpa, 10**table.prediction, rtol=1e-6)
    known = {row["id"]: row["targets"]["bulk_modulus"] for row in bundled_rows(200)}
    np.testing.assert_allclose(table.target_gpa, table.id.map(known), rtol=1e-6)
    for name in ("learning_curve.png", "parity.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG")
    assert RunDirectory.open(run).config().data.limit == 200


@pytest.mark.slow
def test_resumes_after_kill_9(run, tmp_path):
    path = tmp_path / "killed"
    arguments = ["--quiet", "--run-dir", str(path), *TRAINING]
    process = subprocess.Popen([sys.executable, "-c", DRIVER, *arguments])
    metrics = path / "metrics.csv"
    while process.poll() is None and not (
        metrics.exists() and len(metrics.read_text().splitlines()) > 3
    ):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (path / "summary.json").exists()
    (path / ".metrics.csv.0123abcd.new").touch()  # as a kill amid a write leaves it
    resume(path)
    assert_same_run(path, run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_resumes_after_a_signal(run, tmp_path, capsys, monkeypatch, number):
    path = tmp_path / "stopped"
    report = TrainingReporter.epoch

    def stop_in_third(self, row, seconds, crystals_per_second):
        report(self, row, seconds, crystals_per_second)
        if row["epoch"] == 3:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingReporter, "epoch", stop_in_third)
        assert train.main(["--run-dir", str(path), *TRAINING]) == 128 + number
    output = capsys.readouterr().out
    assert "stopped after epoch 3" in output
    assert f"--resume {path}" in output
    assert not (path / "summary.json").exists()
    resume(path)
    assert_same_run(path, run)


def test_resuming_a_finished_run_says_so(run, capsys):
    before = (run / "summary.json").read_bytes()
    assert train.main(["--resume", str(run)]) == 0
    assert "finished already" in " ".join(capsys.readouterr().out.split())
    assert (run / "summary.json").read_bytes() == before


def test_stops_early_when_validation_does_not_improve(tmp_path):
    """A rate that moves nothing: the first epoch stays the best but for the running statistics."""
    options = ["--limit", "40", "--epochs", "60", "--patience", "2", "--learning-rate", "1e-9"]
    path = train_run(tmp_path / "run", *options, *TINY, "--model", "gat")
    summary = read(path / "summary.json")
    assert summary["epochs"] == summary["best_epoch"] + 2 < 60


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(v).strip("-"))
@pytest.mark.slow
def test_every_variant_trains(tmp_path, capsys, variant):
    path = train_run(tmp_path / "run", "--limit", "60", "--epochs", "2", *TINY, *variant)
    assert capsys.readouterr().out == ""  # --quiet
    summary = read(path / "summary.json")
    assert np.isfinite([summary[f"{name}_mae"] for name in ("train", "val", "test")]).all()
    assert summary["compilations"] <= 3


@pytest.mark.slow
def test_classification(tmp_path):
    """A class that depends on the elements: the model finds it out."""
    source = write_source(
        tmp_path / "metals.jsonl",
        160,
        lambda number, targets: {"is_metal": int(targets["bulk_modulus"] > 100)},
    )
    path = train_run(
        tmp_path / "run", "--data", source, "--property", "is_metal", "--epochs", "30", *SMALL
    )
    table = pd.read_csv(path / "predictions.csv")
    summary = read(path / "summary.json")
    assert set(table.prediction) == {"insulator", "metal"}
    assert ((table.probability > 0.5) == (table.prediction == "metal")).all()
    test = table[table.subset == "test"]
    assert summary["test_accuracy"] == pytest.approx((test.prediction == test.target).mean())
    most_frequent = test.target.value_counts(normalize=True).max()
    assert summary["test_accuracy"] > most_frequent
    metals, others = (test.probability[test.target == c].to_numpy() for c in ("metal", "insulator"))
    wins = np.subtract.outer(metals, others)
    auc = (np.sign(wins) + 1).mean() / 2
    assert summary["test_auc"] == pytest.approx(auc)


@pytest.mark.slow
def test_two_properties_with_missing_values(tmp_path):
    """A crystal with one of two values trains that one; without any it is left out."""

    def targets(number, old):
        kept = {"bulk_modulus": old["bulk_modulus"], "shear_modulus": old["shear_modulus"]}
        if number % 3 == 0:
            del kept["shear_modulus"]
        if number == 0:
            kept["bulk_modulus"] = -1
        return kept

    source = write_source(tmp_path / "moduli.jsonl", 60, targets)
    properties = ["--property", "bulk_modulus,shear_modulus"]
    path = train_run(tmp_path / "run", "--data", source, *properties, "--epochs", "2", *TINY)
    table = pd.read_csv(path / "predictions.csv")
    assert len(table) == 59
    assert table.target_bulk_modulus.notna().all()
    assert table.target_shear_modulus.isna().sum() == 19
    assert table[["prediction_bulk_modulus", "prediction_shear_modulus"]].notna().all(axis=None)
    summary = read(path / "summary.json")
    for p in ("bulk_modulus", "shear_modulus"):
        test = table[table.subset == "test"]
        error = (test[f"prediction_{p}"] - test[f"target_{p}"]).abs().mean()
        assert summary[f"test_mae_{p}"] == pytest.approx(error, abs=1e-6)
    skipped = pd.read_csv(path / "skipped.csv")
    assert skipped.id.tolist() == [bundled_rows(1)[0]["id"]]
    assert "log10 needs a value above 0" in skipped.reason[0]


@pytest.mark.slow
def test_standardized_targets_know_no_units(tmp_path):
    """A target in other units, from another zero, gives the same training in those units."""

    def targets(number, old):
        value = np.log10(old["bulk_modulus"])
        return {"strength": value, "temperature": 100 * value + 273}

    source = write_source(tmp_path / "units.jsonl", 60, targets)
    tables, rows = [], []
    for name in ("strength", "temperature"):
        settings = ["--data", source, "--property", name, "--epochs", "2", *TINY]
        run = train_run(tmp_path / name, *settings)
        tables.append(pd.read_csv(run / "predictions.csv"))
        rows.append(pd.read_csv(run / "metrics.csv"))
    strength, temperature = (table.prediction for table in tables)
    assert strength.std() > 0.01
    np.testing.assert_allclose(temperature, 100 * strength + 273, rtol=1e-4)
    np.testing.assert_allclose(rows[1].train_loss, rows[0].train_loss, rtol=1e-3)
    np.testing.assert_allclose(rows[1].train_mae, 100 * rows[0].train_mae, rtol=1e-3)


def test_plain_lines_without_a_terminal(tmp_path, capsys):
    options = ["--limit", "60", "--epochs", "2", *TINY]
    assert train.main(["--run-dir", str(tmp_path / "run"), *options]) == 0
    output = capsys.readouterr().out
    assert "epoch 2/2" in output
    assert "test MAE" in output
    assert "\x1b" not in output


BAD_INPUT = {
    "no data": (["--data", "{tmp}/nowhere"], "does not exist"),
    "empty folder": (["--data", "{tmp}/empty"], "is empty"),
    "no property": (["--property", "hardness"], "no property 'hardness'"),
    "slip in the property": (["--property", "poison_ratio"], "did you mean 'poisson_ratio'"),
    "wrong column": (["--data", "{tmp}/few.jsonl", "--property", "gap"], "It has: x"),
    "too few": (["--data", "{tmp}/few.jsonl", "--property", "x"], "too few to split"),
    "other settings": (["--data", "{tmp}/dataset"], "radius 4.0 instead of 8.0"),
    "used directory": (["--run-dir", "{tmp}/used"], "is not empty"),
    "directory of a run": (["--run-dir", "{run}"], "--resume"),
    "directory is a file": (["--run-dir", "{tmp}/few.jsonl"], "is a file"),
    "cannot be written": (["--run-dir", "{tmp}/few.jsonl/run"], "choose another --run-dir"),
    "no split file": (["--split", "{tmp}/nowhere.json"], "--split"),
    "damaged split": (["--split", "{tmp}/few.jsonl"], "no split file"),
    "overlapping split": (["--split", "{tmp}/overlapping.json"], "in both train and test"),
    "foreign split": (["--split", "{tmp}/foreign.json"], "none of the ids of train"),
    "ratios": (["--split", "60:40"], "three ratios"),
    "no such part": (["--freeze", "agatt"], "--freeze agatt: choose from agat"),
    "negative rate": (["--learning-rate", "-1"], "learning_rate is -1"),
    "no layers": (["--num-layers", "0"], "num_layers is 0"),
    "value in val and test only": (
        ["--data", "{tmp}/gaps.jsonl", "--split", "{tmp}/split.json", "--property", "x,y"],
        "no crystal of train has a usable value of y",
    ),
    "learning goes wrong": (["--learning-rate", "1e30"], "lower --learning-rate"),
    "resume what is not there": (["--resume", "{tmp}/nowhere"], "is no run"),
    "resume with other settings": (["--resume", "{run}", "--epochs", "3"], "drop the other"),
}


@pytest.fixture(scope="module")
def bad(run, tmp_path_factory):
    """Things that are wrong in one way each."""
    tmp = tmp_path_factory.mktemp("bad")
    (tmp / "empty").mkdir()
    (tmp / "used").mkdir()
    (tmp / "used" / "notes.txt").write_text("mine")
    few = write_source(tmp / "few.jsonl", 2, lambda number, targets: {"x": 1.0})
    options = ["--out", str(tmp / "dataset"), "--graph", "megnet", "--limit", "2", "--quiet"]
    assert build([str(few), *options]) == 0
    ids = [row["id"] for row in bundled_rows(3)]
    split = dict(zip(("train", "val", "test"), ([i] for i in ids), strict=True))
    (tmp / "split.json").write_text(json.dumps(split))
    write_source(
        tmp / "gaps.jsonl", 3, lambda number, old: {"x": 1.0} | ({"y": 2.0} if number else {})
    )
    (tmp / "overlapping.json").write_text(json.dumps(split | {"test": ids[:1]}))
    (tmp / "foreign.json").write_text(json.dumps(split | {"train": ["nobody"]}))
    return {"tmp": tmp, "run": run}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_explained(bad, tmp_path, capsys, case):
    arguments, message = BAD_INPUT[case]
    arguments = [argument.format(**bad) for argument in arguments]
    if "--resume" not in arguments:
        arguments = ["--limit", "40", "--epochs", "2", *TINY, *arguments]
    if not {"--run-dir", "--resume"} & set(arguments):
        arguments += ["--run-dir", str(tmp_path / "run")]
    assert message in error_of(train.main, arguments, capsys)
    assert not (tmp_path / "run").exists()  # nothing is left behind
