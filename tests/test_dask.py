"""Graphs prepared on a Dask cluster: the same bytes, whatever becomes of its workers."""

import itertools
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from data_prep import build, featurize, workers
from data_prep.build import main
from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.reading.formats import Record
from data_prep.workers import Dask
from gatgnn_jax import predict, train
from tests.commands import error_of, write_source

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(autouse=True)
def large_jobs(monkeypatch):
    """Every job is one for a cluster, and cut into many pieces."""
    monkeypatch.setattr(featurize, "HEAD_START", 0.0)
    monkeypatch.setattr(featurize, "BATCH", 8)


def local_workers() -> list[psutil.Process]:
    """The workers that Dask has started for this process."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def kill_every_worker(items, config):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_build_survives_a_killed_worker_with_the_same_bytes(tmp_path, monkeypatch):
    source = write_source(tmp_path / "x.jsonl", 120, lambda number, targets: targets)
    assert main([str(source), "--out", str(tmp_path / "alone"), "--quiet", "--workers=1"]) == 0
    killed = []

    def kill_one(stream, total, label, quiet):
        yield from itertools.islice(stream, 1)
        killed.extend(local_workers()[:1])
        killed[0].kill()
        yield from stream

    monkeypatch.setattr(build, "track", kill_one)
    options = ["--dask=local", "--workers=2", "--quiet"]
    assert main([str(source), "--out", str(tmp_path / "dask"), *options]) == 0
    assert len(killed) == 1
    assert not local_workers()
    files = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert sorted(path.name for path in (tmp_path / "dask").iterdir()) == files
    for name in files:
        assert (tmp_path / "dask" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


@pytest.mark.slow
def test_crystals_that_kill_every_worker_end_the_work(monkeypatch):
    monkeypatch.setattr(featurize, "_featurize_packed", kill_every_worker)
    items = [Record("a", None)]
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        pytest.raises(UserError, match="killed one worker after another: give its workers more"),
    ):
        list(featurize.featurize(items, GraphConfig(), Dask("local", 1)))


def test_a_cluster_that_is_there_already(tmp_path, monkeypatch):
    """By its scheduler's address and by its file; it is left running."""
    source = write_source(tmp_path / "x.jsonl", 20, lambda number, targets: targets)
    config = GraphConfig()
    expected, _ = build.build_dataset(source, config, workers=1, progress=False)
    place = {"n_workers": 1, "processes": False, "protocol": "tcp", "dashboard_address": None}
    with distributed.LocalCluster(**place) as cluster, distributed.Client(cluster) as client:
        client.write_scheduler_file(str(tmp_path / "scheduler.json"))
        for address in (cluster.scheduler_address, str(tmp_path / "scheduler.json")):
            cluster_of_ours = Dask(address)
            found, _ = build.build_dataset(source, config, workers=cluster_of_ours, progress=False)
            assert found.content_hash == expected.content_hash
        assert client.ncores()

        def fail(items, config):
            raise ModuleNotFoundError("No module named 'gemmi'")

        monkeypatch.setattr(featurize, "_featurize_packed", fail)
        with pytest.raises(UserError, match="No module named 'gemmi'; it needs the same packages"):
            build.build_dataset(source, config, workers=Dask(address), progress=False)


def test_what_is_no_cluster_is_said_before_the_work(tmp_path, capsys, monkeypatch):
    out: Path = tmp_path / "out"
    for address, message in [
        ("nowhere", "--dask nowhere: give local, the JSON file of a scheduler, or HOST:PORT"),
        ("none.json", "none.json does not exist: start the scheduler with dask scheduler"),
    ]:
        assert main(["x.jsonl", "--out", str(out), "--dask", address]) == 1
        assert message in capsys.readouterr().err
        assert message in error_of(train.main, ["--run-dir", out, "--dask", address], capsys)
        (tmp_path / "a.cif").write_text("")
        files = [tmp_path / "a.cif", "--out", out / "table.csv"]
        arguments = ["bulk_modulus", *files, "--dask", address]
        assert message in error_of(predict.main, arguments, capsys)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setattr(workers, "CONNECT_WITHIN", 1)
    with pytest.raises(UserError, match=f"--dask 127.0.0.1:{port} cannot be reached: "):
        list(featurize.featurize([Record("a", None)], GraphConfig(), Dask(f"127.0.0.1:{port}")))
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'--dask needs Dask: pip install "gatgnn_jax\[dask\]"'):
        Dask("local")
