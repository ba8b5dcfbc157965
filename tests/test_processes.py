"""Two processes on this machine train as one with two devices does, whatever befalls them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gatgnn_jax import train
from tests.commands import TINY, error_of

PROGRAM = """
import os, sys
from gatgnn_jax import train
from gatgnn_jax.devices import processes
from gatgnn_jax.cli import run_command
from gatgnn_jax.training import loop

signal, *arguments = sys.argv[1:]
processes.SILENCE = 15.0
loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0
run_epoch = loop.Trainer.run_epoch

def interrupted(trainer, between_parts):
    if trainer.progress.epoch == 2 and signal != "0":
        os.kill(os.getpid(), int(signal))
    return run_epoch(trainer, between_parts)

loop.Trainer.run_epoch = interrupted
sys.exit(run_command(lambda: train.main(arguments)))
"""
"""Training with a signal to itself, if it is not 0, in the third epoch."""

LONG = 400
"""Seconds after which a process hangs; on a crowded machine they take minutes."""

OPTIONS = ["--limit", "120", "--epochs", "4", "--batch-size", "16", *TINY]


def begin(
    log: Path, arguments: Sequence[str | Path], signal_number: int = 0, devices: int = 1
) -> subprocess.Popen:
    """Start a training; what it says goes to a file, as a pipe would fill."""
    environment = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    with log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(signal_number), *map(str, arguments)],
            cwd=Path(__file__).parent.parent,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def two_processes(
    folder: Path,
    *arguments: str | Path,
    to_second: Sequence[str] = (),
    signal_number: int = 0,
) -> list[tuple[int, str]]:
    """Exit status and output of each of two processes; the second may get more, or a signal."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    logs = [folder / f"{number}.log" for number in range(2)]
    started = []
    for number, log in enumerate(logs):
        own = [*arguments, "--distributed", f"{address}/2/{number}"]
        started.append(begin(log, [*own, *to_second], signal_number) if number else begin(log, own))
    try:
        return [(p.wait(LONG), log.read_text()) for p, log in zip(started, logs, strict=True)]
    finally:
        for process in started:
            process.kill()


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process with two devices."""
    folder = tmp_path_factory.mktemp("one")
    process = begin(folder / "log", ["--run-dir", folder / "run", *OPTIONS], devices=2)
    assert process.wait(LONG) == 0, (folder / "log").read_text()
    return folder / "run"


def assert_same_files(actual: Path, expected: Path) -> None:
    for name in ("metrics.csv", "predictions.csv", "split.json", "config.json"):
        assert (actual / name).read_bytes() == (expected / name).read_bytes(), name


@pytest.mark.slow
def test_a_process_told_to_stop_stops_both_and_one_goes_on(
    tmp_path: Path, one_process: Path
) -> None:
    run = tmp_path / "run"
    ended = two_processes(
        tmp_path / "logs", "--run-dir", run, *OPTIONS, signal_number=signal.SIGTERM
    )
    assert [status for status, _ in ended] == [128 + signal.SIGTERM] * 2, ended
    assert "stopped after epoch 3" in ended[0][1]
    assert "stopped" not in ended[1][1]  # the first one speaks
    process = begin(tmp_path / "log", ["--resume", run], devices=2)
    assert process.wait(LONG) == 0, (tmp_path / "log").read_text()
    assert_same_files(run, one_process)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_two_go_on_streamed(
    tmp_path: Path, one_process: Path
) -> None:
    run = tmp_path / "run"
    ended = two_processes(
        tmp_path / "killed", "--run-dir", run, *OPTIONS, signal_number=signal.SIGKILL
    )
    assert [status for status, _ in ended] == [1, -signal.SIGKILL], ended
    assert "process 1" in ended[0][1]
    assert f"python -m gatgnn_jax.train --resume {run}" in ended[0][1]
    assert not (run / "summary.json").exists()
    resumed = two_processes(tmp_path / "resumed", "--resume", run, "--stream", "always")
    assert [status for status, _ in resumed] == [0, 0], resumed
    assert_same_files(run, one_process)


@pytest.mark.slow
def test_bad_input_of_one_process_ends_both_with_its_message(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = two_processes(
        tmp_path / "logs", "--run-dir", run, *OPTIONS, to_second=["--split", "none.json"]
    )
    for status, said in ended:
        assert status == 1, said
        assert "error: --split none.json: give three ratios" in said
        assert "Traceback" not in said
    assert not run.exists()


@pytest.mark.parametrize("distributed", ["here", "node1/2/0", "node1:5000/2/2", "node1:5000/2"])
def test_an_address_that_is_none_is_refused(
    distributed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(train.main, ["--distributed", distributed], capsys)
    assert distributed in message
    assert "HOST:PORT/COUNT/NUMBER" in message
