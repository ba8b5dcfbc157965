"""Two writers, full disks, kills, forks and homeless users: what is whole stays whole."""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import data_prep.files
from gatgnn_jax import embed, predict, train
from gatgnn_jax.runs import checkpoints
from gatgnn_jax.runs.one_writer import one_writer
from tests.commands import TINY, error_of, predict_to, resume, train_run
from tests.crystals import rock_salt

FEW = ["--limit", "40", "--epochs", "2", *TINY]

HOLDER = """
import sys, time
from pathlib import Path
from gatgnn_jax.runs.one_writer import one_writer
with one_writer(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def salt(tmp_path):
    path = tmp_path / "salt.vasp"
    path.write_text(rock_salt().to(fmt="poscar"))
    return path


def hold(path):
    """Another process that writes to a path until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    return process


def test_two_writers_of_a_table(untrained, salt, tmp_path, capsys):
    """The second says who was first and touches nothing; a killed one is in nobody's way."""
    out = tmp_path / "results" / "table.csv"
    out.parent.mkdir()
    report = out.with_name("table.skipped.csv")
    report.write_text("of the first\n")
    holder = hold(out)
    try:
        for command, path in ((predict.main, out), (embed.main, out.with_suffix(".npz"))):
            message = error_of(command, [untrained, salt, "--out", path, "--quiet"], capsys)
            assert f"being written by process {holder.pid} on " in message
        assert report.read_text() == "of the first\n"
    finally:
        holder.kill()
        holder.communicate()
    assert predict_to(out, untrained, salt) == 0
    assert [path.name for path in out.parent.iterdir()] == ["table.csv"]


@pytest.mark.slow
def test_two_trainings_in_a_directory(tmp_path, capsys):
    """As long as one lasts; a lock that a kill left behind does not make the place taken."""
    path = tmp_path / "run"
    path.mkdir()
    holder = hold(path)
    try:
        message = error_of(train.main, ["--quiet", "--run-dir", path, *FEW], capsys)
        assert f"process {holder.pid}" in message
    finally:
        holder.kill()
        holder.communicate()
    assert (path / ".lock").exists()
    train_run(path, *FEW)
    assert not (path / ".lock").exists()
    with one_writer(path):
        assert "being written by" in error_of(train.main, ["--resume", path], capsys)


@pytest.mark.parametrize(
    ("name", "text"), [("table.csv", "id,target\na,1\n"), ("table.csv", ""), ("table.npz", "x")]
)
def test_a_file_of_another_kind_is_not_written_over(untrained, salt, tmp_path, capsys, name, text):
    out = tmp_path / name
    out.write_text(text)
    commands = [embed.main] if out.suffix == ".npz" else [embed.main, predict.main]
    for command in commands:
        message = error_of(command, [untrained, salt, "--out", out, "--quiet"], capsys)
        assert "other columns" in message
    assert out.read_text() == text


def test_a_table_is_written_anew_only_if_that_is_asked_for(untrained, salt, tmp_path, capsys):
    for command, name in ((embed, "table.npz"), (predict, "p.csv"), (embed, "table.csv")):
        arguments = [str(untrained), str(salt), "--out", str(tmp_path / name), "--quiet"]
        assert command.main(arguments) == 0
        before = (tmp_path / name).read_bytes()
        assert "give --overwrite" in error_of(command.main, arguments, capsys)
        assert (tmp_path / name).read_bytes() == before
        assert command.main([*arguments, "--overwrite"]) == 0
    message = error_of(predict.main, [untrained, salt, "--out", tmp_path / "table.csv"], capsys)
    assert "other columns" in message


@pytest.mark.parametrize("wrong", [["--freeze", "agatt"], ["--learning-rate", "1e30"]])
@pytest.mark.slow
def test_a_start_that_fails_leaves_nothing(tmp_path, capsys, wrong):
    path = tmp_path / "run"
    error_of(train.main, ["--quiet", "--run-dir", path, *FEW, *wrong], capsys)
    assert not path.exists()
    path.mkdir()
    (path / ".hidden").write_text("mine")
    error_of(train.main, ["--quiet", "--run-dir", path, *FEW, *wrong], capsys)
    assert [file.name for file in path.iterdir()] == [".hidden"]


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_at_the_start(tmp_path, capsys, monkeypatch):
    """Nothing is left, so the same command can be given again."""
    arguments = ["--quiet", "--run-dir", tmp_path / "run", *FEW]
    with monkeypatch.context() as patch:
        patch.setattr(data_prep.files.Path, "replace", full)
        message = error_of(train.main, arguments, capsys)
    assert "No space left on device" in message
    assert str(tmp_path / "run") in message
    assert "free some space" in message
    train_run(tmp_path / "run", *FEW)


@pytest.mark.slow
def test_a_full_disk_at_a_checkpoint(tmp_path, capsys, monkeypatch):
    arguments = ["--quiet", "--run-dir", tmp_path / "run", *FEW]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.ocp.CheckpointManager, "save", full)
        message = error_of(train.main, arguments, capsys)
    assert "No space left on device" in message
    assert str(tmp_path / "run" / "checkpoints" / "latest") in message
    train_run(tmp_path / "run", *FEW)


def test_a_full_disk_at_a_table(untrained, salt, tmp_path, capsys, monkeypatch):
    out = tmp_path / "results" / "table.csv"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        message = error_of(predict.main, [untrained, salt, "--out", out, "--quiet"], capsys)
    assert f"cannot write {out}: No space left on device" in message
    assert predict_to(out, untrained, salt) == 0
    assert len(pd.read_csv(out)) == 1
    assert [path.name for path in out.parent.iterdir()] == ["table.csv"]


def test_killed_between_summary_and_report(tmp_path):
    """Resuming writes the pages that are missing, and nothing else."""
    path = train_run(tmp_path / "run", *FEW)
    pages = {name: (path / name).read_bytes() for name in ("parity.png", "learning_curve.png")}
    kept = {
        name: (path / name).read_bytes()
        for name in ("summary.json", "predictions.csv", "metrics.csv", "split.json")
    }
    for name in (*pages, "report.html"):
        (path / name).unlink()
    resume(path)
    assert {name: (path / name).read_bytes() for name in pages} == pages
    assert "<html" in (path / "report.html").read_text()
    assert {name: (path / name).read_bytes() for name in kept} == kept


def test_a_part_that_is_not_what_its_state_says(untrained, salt, tmp_path):
    """Whatever stands in `.part.json`: from the beginning, and no row that is none."""
    out = tmp_path / "table.csv"
    part, state = out.with_name("table.csv.part"), out.with_name("table.csv.part.json")
    for text in ("[]", '{"key": 1}', json.dumps({"key": "k", "bytes": "many"}), "{", "null"):
        part.write_text("id,prediction\nold,1\n")
        state.write_text(text)
        assert predict_to(out, untrained, salt) == 0
        assert pd.read_csv(out).id.tolist() == ["salt"]


HOMELESS = """
from pathlib import Path
def home(): raise RuntimeError("Could not determine home directory.")
Path.home = home
import jax.numpy as jnp
from gatgnn_jax.devices.chosen import use_device
use_device("cpu")
use_device("cpu")
print(jnp.ones(3).sum())
"""


def test_without_a_home():
    """As for a user number without a name: one line of warning, and all goes on."""
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "GATGNN_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS],
        cwd=Path(__file__).parent.parent,
        env=environment | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "3.0\n"
    assert done.stderr.startswith("warning: no home directory")
    assert len(done.stderr.splitlines()) == 1


FORKING = """
import multiprocessing, sys, warnings
warnings.simplefilter("ignore")  # JAX's own, about forks
from gatgnn_jax import Predictor
from data_prep.errors import UserError

def load(answers, predictor):
    try:
        answers.put(str((predictor or Predictor.load(sys.argv[1])).predict(sys.argv[2])))
    except UserError as error:
        answers.put(str(error))

before = Predictor.load(sys.argv[1])
context = multiprocessing.get_context("fork")
for predictor in (None, before):
    answers = context.Queue()
    worker = context.Process(target=load, args=(answers, predictor))
    worker.start()
    print(answers.get(timeout=60).replace(chr(10), " "))
    worker.join()
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no forks here")
@pytest.mark.slow
def test_a_forked_worker_is_told_to_spawn(untrained, salt):
    """Whether it loads a model or uses its parent's; it would wait for ever."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(untrained), str(salt)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("forked" in line and "spawn" in line for line in lines)
