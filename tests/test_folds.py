"""`--folds` and `--seeds`: each crystal tested once, groups whole, mean and spread; kills."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure

from benchmarks.make_pretrained import contents, out_of_fold
from benchmarks.model_card import out_of_fold_error
from data_prep.compositions import compositions
from data_prep.errors import UserError
from gatgnn_jax import train
from gatgnn_jax.jobs import folds
from gatgnn_jax.jobs.folds import Member, Repeats, read_members, splits_of
from gatgnn_jax.pages.report_numbers import errors_by, symbols_of
from gatgnn_jax.training.prepare import prepare
from tests.commands import TINY, assert_same_run, bundled_rows, error_of, train_run

LIMIT = 60
ARGUMENTS = ["--limit", str(LIMIT), "--epochs", "2", *TINY, "--folds", "3", "--seeds", "2"]


@pytest.fixture(scope="module")
def several(tmp_path_factory, cache):
    return train_run(tmp_path_factory.mktemp("folds") / "several", *ARGUMENTS)


@pytest.mark.slow
def test_each_crystal_is_tested_once_by_each_seed(several):
    """By networks that have not seen it, in training or validation."""
    table = pd.read_csv(several / "predictions.csv")
    assert (table.groupby(["id", "seed"]).size() == 1).all()
    assert table.id.nunique() == LIMIT
    members = read_members(several)
    assert [own.name for own in members] == [
        f"fold-{k}_seed-{s}" for k in (1, 2, 3) for s in (0, 1)
    ]
    for own in members:
        split = json.loads((several / own.name / "split.json").read_text())
        tested = table.id[(table.fold == own.fold) & (table.seed == own.seed)]
        assert {*tested} == {*split["test"]}
        assert not {*tested} & {*split["train"], *split["val"]}
        assert sum(map(len, split.values())) == LIMIT


def test_mean_and_spread(several):
    """As computed from the runs' own files."""
    summary = json.loads((several / "summary.json").read_text())
    errors = [
        json.loads((several / own.name / "summary.json").read_text())["test_mae"]
        for own in read_members(several)
    ]
    over = summary["over_trainings"]["test_mae"]
    assert over == {
        "mean": pytest.approx(np.mean(errors)),
        "std": pytest.approx(np.std(errors, ddof=1)),
    }
    table = pd.read_csv(several / "predictions.csv")
    mean = table.groupby("id")[["prediction", "target"]].mean()
    together = (mean.prediction - mean.target).abs().mean()
    assert summary["all_together"]["mae"] == pytest.approx(together, rel=1e-6)
    page = (several / "report.html").read_text()
    for value in [*errors, over["mean"], over["std"], together]:
        assert f"<td>{value:.4f}</td>" in page
    assert (several / "parity.png").read_bytes().startswith(b"\x89PNG")


def test_a_card_tells_errors_out_of_fold(several):
    """Of a crystal the mean over the seeds, of an element the crystals that have it."""
    folds = out_of_fold(several)
    [p], cells = folds.config.properties, contents(folds)
    table = pd.read_csv(several / "predictions.csv").groupby("id")[["prediction", "target"]].mean()
    error = (table.prediction - table.target).abs()
    assert f"out of fold**: {error.mean():.4f} ± {error.sem():.4f} " in out_of_fold_error(folds, p)
    crystals = {row["id"]: Structure.from_dict(row["structure"]) for row in bundled_rows(LIMIT)}
    having = [own for own, crystal in crystals.items() if "O" in crystal.symbol_set]
    [oxygen] = [row for row in errors_by(folds, p, symbols_of(cells)) if row[0] == "O"]
    assert oxygen == ("O", len(having), pytest.approx(error[having].mean()))


def test_formulas_stay_together():
    request = train.asked_for(train.parse(["--limit", "300"]))
    prepared = prepare(request, quiet=True)
    named = dict(zip(prepared.dataset.ids, compositions(prepared.dataset, range(300)), strict=True))
    splits = splits_of(prepared, Repeats(folds=5))
    tests = [{named[own].reduced_formula for own in split["test"]} for split in splits]
    assert sum(map(len, tests)) == len(set.union(*tests)) < 300
    for split in splits:
        seen = {named[own].reduced_formula for name in ("train", "val") for own in split[name]}
        tested = {named[own].reduced_formula for own in split["test"]}
        assert not seen & tested
        assert len(split["test"]) == pytest.approx(60, abs=3)
    alone = splits_of(prepared, Repeats(folds=5, group_by="none"))
    assert [len(split["test"]) for split in alone] == [60] * 5


DRIVER = "import sys\nfrom gatgnn_jax import train\nsys.exit(train.main(sys.argv[1:]))"


@pytest.mark.slow
def test_goes_on_after_a_kill(several, tmp_path):
    """Killed during a training in the middle, all end as they would have."""
    path = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, "--quiet", "--run-dir", str(path), *ARGUMENTS]
    )
    while process.poll() is None and not (path / "fold-1_seed-1" / "summary.json").exists():
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (path / "summary.json").exists()
    (path / ".summary.json.0123abcd.new").write_text("{")  # as a kill amid a write leaves it
    assert train.main(["--quiet", "--resume", str(path)]) == 0
    assert not list(path.glob(".*.new"))
    for own in read_members(several):
        assert_same_run(path / own.name, several / own.name)
    for name in ("predictions.csv", "members.json"):
        assert (path / name).read_bytes() == (several / name).read_bytes()


@pytest.mark.slow
def test_seeds_share_a_split(tmp_path):
    """And differ in nothing but their seed; a stop in between says how to go on."""
    path = train_run(tmp_path / "seeds", "--limit", "40", "--epochs", "1", *TINY, "--seeds", "2")
    assert [own.name for own in read_members(path)] == ["seed-0", "seed-1"]
    first, second = (json.loads((path / f"seed-{k}" / "split.json").read_text()) for k in (0, 1))
    assert first == second
    table = pd.read_csv(path / "predictions.csv")
    assert "fold" not in table
    assert table.groupby("id").prediction.nunique().eq(2).all()


@pytest.mark.slow
def test_seeds_without_a_test_end_with_their_report(tmp_path):
    arguments = ["--limit", "20", "--split", "80:20:0", "--epochs", "1", *TINY, "--seeds", "2"]
    path = train_run(tmp_path / "untested", *arguments)
    assert not (path / "parity.png").exists()
    summary = json.loads((path / "summary.json").read_text())
    assert summary["crystals"] == 0
    page = (path / "report.html").read_text()
    assert "seed-1/report.html" in page and "<img" not in page


def test_a_metric_that_the_first_fold_lacks_is_told(monkeypatch):
    """As there is no R² of a single crystal."""
    monkeypatch.setattr(folds, "scores_of", lambda together: {})
    members = [Member(f"fold-{k}", k, 0) for k in (1, 2, 3)]
    every = [{"test_mae": 1.0, "test_r2": None}, {"test_mae": 2.0, "test_r2": 0.5}]
    every.append({"test_mae": 3.0, "test_r2": 0.7})
    summary = folds.summarized(
        members, [SimpleNamespace(summary=own) for own in every], SimpleNamespace(predictions=[])
    )
    over = summary["over_trainings"]
    assert over["test_mae"] == {"mean": 2.0, "std": 1.0}
    assert over["test_r2"] == {"mean": pytest.approx(0.6), "std": pytest.approx(0.02**0.5)}
    assert [own["test_r2"] for own in summary["trainings"]] == [None, 0.5, 0.7]


def test_errors(tmp_path, capsys, monkeypatch):
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "notes.txt").write_text("mine")
    for arguments, words in [
        (["--folds", "2"], "3 or more"),
        (["--seeds", "0"], "1 or more"),
        (["--folds", "3", "--split", "60:20:20"], "leave out --split"),
        (["--folds", "9", "--limit", "8"], "too few formulas for 9 folds: there are 8"),
        (["--folds", "3", "--limit", "20", "--run-dir", busy], "choose another --run-dir"),
    ]:
        assert words in error_of(train.main, ["--quiet", *arguments], capsys)
    assert [file.name for file in busy.iterdir()] == ["notes.txt"]

    def full(*arguments):
        raise UserError("the disk is full")

    monkeypatch.setattr(folds, "create", full)
    new = tmp_path / "new"
    arguments = ["--quiet", "--folds", "3", "--limit", "20", "--run-dir", new]
    assert "disk is full" in error_of(train.main, arguments, capsys)
    assert not [file for file in Path(new).iterdir() if not file.name.startswith(".")]
