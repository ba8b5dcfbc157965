"""Matbench: the official folds, its scores and its record, with trainings small or made up."""

import dataclasses
import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from benchmarks.matbench import __main__ as matbench
from benchmarks.matbench.progress import epochs_done
from benchmarks.matbench.record import content_hash, read_fold, scores
from benchmarks.matbench.tasks import TASKS, official_folds, read_targets
from benchmarks.paper import trainings
from benchmarks.paper.trainings import Place, Training
from data_prep.errors import UserError
from gatgnn_jax import train
from gatgnn_jax.prediction.columns import subset_table, to_csv
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.prepare import prepare
from tests.commands import bundled_rows

DATA = Path(__file__).parent / "data"
ROWS = 25
ISOLATED = 4
"""The row that is a single atom in a large box."""


@pytest.mark.parametrize("name", TASKS)
def test_folds_are_the_official_ones(name: str) -> None:
    task, golden = TASKS[name], json.loads((DATA / "matbench_folds.json").read_text())[name]
    assert (task.target, task.rows) == (golden["target"], golden["rows"])
    assert task.classification == golden["classification"]
    target = np.zeros(task.rows)
    if task.classification:
        target = np.unpackbits(np.load(DATA / "matbench_is_metal.npy"))[: task.rows].astype(bool)
    ids = task.ids(task.rows)
    for (train_rows, test_rows), fold in zip(official_folds(target), golden["folds"], strict=True):
        names = ids[test_rows].tolist()
        assert names[:3] == fold["first_test_ids"]
        assert hashlib.sha256("\n".join(names).encode()).hexdigest() == fold["test_ids_sha256"]
        assert np.array_equal(np.delete(np.arange(task.rows), test_rows), train_rows)


def test_scores_are_matbench_s() -> None:
    # By hand, and the same by `score_array` of matbench 0.6.
    found = scores(np.array([1.0, -2.0, 0.0, 4.0]), np.array([1.5, -2.0, 1.0, 2.0]))
    expected = {"mae": 3.5 / 4, "rmse": (5.25 / 4) ** 0.5, "mape": 1 / 3, "max_error": 2.0}
    assert found == pytest.approx(expected)
    found = scores(np.array([True] * 3 + [False] * 2), np.array([0.9, 0.6, 0.2, 0.5, 0.7]))
    balanced = (2 / 3 + 1 / 2) / 2
    expected = {"accuracy": 3 / 5, "balanced_accuracy": balanced, "f1": 2 / 3, "rocauc": balanced}
    assert found == pytest.approx(expected)


def test_the_hash_is_matbench_s() -> None:
    # `hash_dictionary` of matbench 0.6 of the same.
    content = {"b": {"y": [0.1, 2], "x": None}, "a": "Å", "c": {"true": True}}
    expected = "cbfee0a5bb29201b1d303b8d551bb2ffc02eabb5b7b8e94f9fefebdb6bc1e64d"
    assert content_hash(content) == expected


def write_file(folder: Path, name: str) -> Path:
    """25 crystals as Matbench writes a task, one of them an isolated atom."""
    rows = bundled_rows(ROWS)
    bulk = np.log10([row["targets"]["bulk_modulus"] for row in rows])
    target = (bulk > np.median(bulk)).tolist() if TASKS[name].classification else bulk.tolist()
    structures = [row["structure"] for row in rows]
    structures[ISOLATED] = Structure(Lattice.cubic(30), ["He"], [[0, 0, 0]]).as_dict()
    content = {
        "index": list(range(ROWS)),
        "columns": ["structure", TASKS[name].target],
        "data": [list(pair) for pair in zip(structures, target, strict=True)],
    }
    path = folder / f"{name}.json.gz"
    path.write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))
    return path


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """The file of a task, which is then taken for the published one."""

    def publish(name: str) -> Path:
        path = write_file(tmp_path, name)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        task = dataclasses.replace(TASKS[name], rows=ROWS, sha256=sha256)
        monkeypatch.setattr(matbench, "TASKS", {name: task})
        return path

    return publish


def made_up(place: Place, training: Training, seed: int, cores: Any) -> None:
    """A training's files; regressions are off by 0.1 in fold 0, 0.2 in fold 1, …"""
    prepared = prepare(train.asked_for(train.parse(place.command(training, seed))))
    run = RunDirectory.create(place.run(training, seed), prepared.config)
    rows, [p] = prepared.subsets["test"], prepared.properties
    predicted = prepared.target[rows] + 0.1 * (int(training.method[-1]) + 1)
    if p.task == "classification":
        predicted = 0.25 + 0.5 * prepared.target[rows]
    test = {"test": prepared.dataset.ids[rows]}, {"test": predicted}, {"test": predicted}
    table = subset_table(*test, [p], {"test": None}, {"test": None})
    run.write_text("predictions.csv", to_csv(table))
    counts = {name: len(rows) for name, rows in prepared.subsets.items()}
    run.write_json(
        "summary.json", {"crystals": counts, "epochs": 7, "best_epoch": 5, "parameters": 11}
    )


@pytest.mark.parametrize("name", ["matbench_log_kvrh", "matbench_mp_is_metal"])
def test_the_record_of_all_folds(
    name: matbench.TaskName,
    published: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = published(name)
    target = read_targets(path, TASKS[name])
    options = matbench.Options(name, path, run_dir=tmp_path / name)
    monkeypatch.setattr(trainings, "_train", made_up)
    assert matbench.main(options) == 0
    assert "no graph for 1 of 25 rows (row 4: " in capsys.readouterr().out

    record = json.loads((tmp_path / name / "results.json.gz").read_text())
    assert list(record) == [
        "@module", "@class", "version", "tasks", "user_metadata", "benchmark_name", "datestamp",
        "hash",
    ]  # fmt: skip
    [task] = record["tasks"].values()
    assert (task["dataset_name"], task["benchmark_name"]) == (name, "matbench_v0.1")
    prefix = {"matbench_log_kvrh": "mb-log-kvrh", "matbench_mp_is_metal": "mb-mp-is-metal"}[name]
    tested: list[str] = []
    for number in range(5):
        fold = task["results"][f"fold_{number}"]
        assert sorted(fold) == ["data", "parameters", "scores", "uncertainty"]
        split = json.loads((tmp_path / name / f"fold-{number}_split.json").read_text())
        assert [len(rows) for rows in split.values()] == [18, 2, 5]
        assert {*split["train"], *split["val"], *split["test"]} == set(map(str, range(ROWS)))
        tested += fold["data"]
        for row, (identifier, value) in zip(split["test"], fold["data"].items(), strict=True):
            assert identifier == f"{prefix}-{int(row) + 1:02d}"
            assert isinstance(value, float)
            if int(row) == ISOLATED:
                known = [int(i) for i in split["train"] + split["val"]]
                assert value == pytest.approx(target[known].mean())
                assert fold["parameters"]["predicted_by_training_mean"] == 1
            elif TASKS[name].classification:
                assert value == (0.75 if target[int(row)] else 0.25)
            else:
                assert value == pytest.approx(target[int(row)] + 0.1 * (number + 1), rel=1e-6)
        if str(ISOLATED) in split["test"]:
            continue
        assert fold["parameters"]["predicted_by_training_mean"] == 0
        if TASKS[name].classification:
            assert set(fold["scores"].values()) == {1.0}
        else:
            assert fold["scores"]["mae"] == pytest.approx(0.1 * (number + 1), rel=1e-5)
    assert len(set(tested)) == len(tested) == ROWS

    first = next(iter(task["results"]["fold_0"]["scores"]))
    values = [fold["scores"][first] for fold in task["results"].values()]
    written = json.loads((tmp_path / name / "scores.json").read_text())["statistics"][first]
    assert written["mean"] == pytest.approx(np.mean(values))
    assert written["std"] == pytest.approx(np.std(values))

    # What is finished is not trained again, and other settings are not mixed with these.
    monkeypatch.setattr(trainings, "_train", lambda *_: pytest.fail("trained again"))
    assert matbench.main(options) == 0
    assert json.loads((tmp_path / name / "results.json.gz").read_text())["tasks"] == record["tasks"]
    with pytest.raises(UserError, match=r"other settings \(seed\): choose another --run-dir"):
        matbench.main(dataclasses.replace(options, seed=1))


def test_a_fold_is_trained_on_the_numbers_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trainings, "_train", made_up)
    path = write_file(tmp_path, "matbench_log_kvrh")
    options = matbench.Options(
        "matbench_log_kvrh", path, folds=(3,), epochs=9, options="--neurons 8 --averaging 0",
        limit=22, seed=5, run_dir=tmp_path / "run",
    )  # fmt: skip
    assert matbench.main(options) == 0
    assert "not an official result, and no record of it: --limit" in capsys.readouterr().out
    assert not (tmp_path / "run" / "results.json.gz").exists()

    target = read_targets(path, TASKS["matbench_log_kvrh"])
    place = matbench.FoldRuns(tmp_path, tmp_path / "run")
    training = matbench.training_of(options, TASKS["matbench_log_kvrh"], 3)
    prepared = prepare(train.asked_for(train.parse(place.command(training, 5))))
    rows = prepared.dataset.ids.astype(int)
    # The file holds logarithms: no other one is taken.
    np.testing.assert_allclose(prepared.target[:, 0], target[rows], rtol=1e-6)
    test = [row for row in official_folds(target[:22])[3][1].tolist() if row != ISOLATED]
    assert sorted(rows[prepared.subsets["test"]]) == test
    settings = prepared.config.train
    assert (settings.epochs, settings.seed, settings.averaging) == (9, 5, 0)
    assert prepared.config.model.neurons == 8


def test_a_finished_run_is_scored_as_it_scored_itself(run: Path, tmp_path: Path) -> None:
    table = pd.read_csv(run / "predictions.csv")
    numbered = table.assign(id=np.arange(len(table)))
    numbered.to_csv(tmp_path / "predictions.csv", index=False)
    for name in ("config.json", "summary.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    tested = (table.subset == "test").to_numpy()
    parts = np.flatnonzero(~tested), np.flatnonzero(tested)
    result = read_fold(tmp_path, TASKS["matbench_log_kvrh"], table.target.to_numpy(), *parts)
    summary = json.loads((run / "summary.json").read_text())
    for score in ("mae", "rmse"):
        assert result.scores[score] == pytest.approx(summary[f"test_{score}"], rel=1e-5)
    assert result.fallbacks == 0
    assert result.parameters["best_epoch"] == summary["best_epoch"]
    assert result.parameters["training_crystals"] == (table.subset == "train").sum()


def test_what_cannot_be_scored_is_told(published: Callable[[str], Path], tmp_path: Path) -> None:
    path = published("matbench_log_kvrh")
    options = matbench.Options("matbench_log_kvrh", path, run_dir=tmp_path / "run")
    task = matbench.TASKS["matbench_log_kvrh"]

    def message(**changes: Any) -> str:
        with pytest.raises(UserError) as error:
            matbench.main(dataclasses.replace(options, **changes))
        return str(error.value)

    out = tmp_path / "record.json.gz"
    assert "--limit leaves rows out" in message(out=out, limit=22)
    assert "--folds leaves folds out" in message(out=out, folds=(0, 1))
    assert "--folds: there are the folds 0 to 4" in message(folds=(5,))
    assert "is not there" in message(file=tmp_path / "nothing.json.gz")
    assert "too few for five folds" in message(limit=19)
    assert "--split is not to be set there" in message(options="--split=60:20:20")
    assert "--seed is not to be set there" in message(options="--seed 4")
    other = write_file(tmp_path, "matbench_jdft2d")
    assert "no column 'log10(K_VRH)', but exfoliation_en" in message(file=other)
    assert "not the published file" in matbench.unofficial(options, task, ROWS, "other")
    assert "25 rows and the task has 10,987" in matbench.unofficial(
        options, TASKS["matbench_log_kvrh"], ROWS, ""
    )
    assert get_args(matbench.TaskName) == tuple(TASKS)


def test_progress_counts_the_epochs_of_a_run(tmp_path: Path) -> None:
    assert epochs_done(tmp_path, 9) == 0
    (tmp_path / "metrics.csv").write_text("epoch,train_loss\n1,0.5\n2,0.4\n")
    assert epochs_done(tmp_path, 9) == 2
    (tmp_path / "summary.json").write_text("{}")
    assert epochs_done(tmp_path, 9) == 9
