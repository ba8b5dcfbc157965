"""What a training shows: in a real terminal of 80 columns, and where there is none."""

import fcntl
import math
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from data_prep.properties import Property
from gatgnn_jax import train
from gatgnn_jax.training import loop, terminal
from gatgnn_jax.training.terminal import TrainingReporter, closing_lines, fitting
from tests.commands import TINY, assert_same_run, resume, train_run

ROW = {"epoch": 123, "train_loss": 0.0123, "val_mae": 0.0432, "learning_rate": 5e-4}

TWO_PARTS = ["--limit", "60", "--batch-size", "1", "--epochs", "4", *TINY]
"""An epoch of 36 steps, which are run in two parts of 18."""


def in_terminal(columns: int, command: list[str]) -> tuple[str, int]:
    """What a program writes to a terminal of so many columns, and its exit status."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm"}
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        written += block
    os.close(ours)
    return written.decode(), process.wait()


@pytest.mark.slow
def test_a_terminal_of_80_columns_shows_what_matters(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gatgnn_jax", "train", "--limit", "60", "--epochs", "300"]
    text, status = in_terminal(80, [*command, *TINY, "--run-dir", str(tmp_path / "run")])
    assert status == 0, text
    lines = [line.strip() for line in re.split(r"[\r\n]+|\x1b\[[0-9;?]*[A-Za-z]", text)]
    assert any("compiling …" in line for line in lines)
    shown = [line for line in lines if re.match(r"epoch \d+/300 .*val_mae", line)]
    assert shown
    assert all(len(line) <= 80 for line in shown)
    # After the first epoch, in which JAX compiles, nobody knows.
    later = [line for line in shown if not line.startswith("epoch 1/300 ")]
    assert later
    for line in later:
        assert re.search(r"val_mae \d\.\d{4} \(best \d\.\d{4}\) .*\d:\d\d:\d\d left$", line), line


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_line_takes_as_much_as_fits(width: int) -> None:
    console = Console(width=width, force_terminal=True)
    # It goes on with a run whose best epoch is behind it.
    before = [{"val_mae": 0.05 - 1e-4 * (epoch == 100)} for epoch in range(121)]
    reporter = TrainingReporter(console, 500, before, "val_mae")
    for epoch in (122, 123):
        reporter.epoch(ROW | {"epoch": epoch, "val_mae": 0.06}, 1.0, 12345.0)
    line = reporter._line().plain
    assert len(line) <= width
    assert line.startswith("epoch 123/500  val_mae 0.0600 (best 0.0499)")
    assert line.endswith(" left")
    assert ("loss 0.0123" in line) is (width >= 80)
    assert ("12,345 crystals/s" in line) is (width >= 105)


def test_fields_are_dropped_from_the_end() -> None:
    assert fitting(["ab"], ["cd", "ef"], "gh", 14) == "ab  cd  ef  gh"
    assert fitting(["ab"], ["cd", "ef"], "gh", 13) == "ab  cd  gh"
    assert fitting(["ab"], ["cd"], "", 2) == "ab"
    assert fitting(["abc"], ["cd"], "gh", 2) == "abc  gh"


def test_steps_show_in_an_epoch_that_lasts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After five seconds, and not before."""
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    reporter = TrainingReporter(Console(), 3, [], "val_mae")
    with reporter:
        assert capsys.readouterr().out == "compiling …\n"
        for seconds, shown in ((4.0, ""), (2.0, "epoch 1/3  step 2/9\n"), (1.0, "")):
            clock[0] += seconds
            reporter.step(2, 9)
            assert capsys.readouterr().out == shown
        clock[0] += 13.0
        reporter.epoch(ROW | {"epoch": 1}, 20.0, 5.0)
        # In these 20 seconds JAX was compiling: nothing is made of them.
        assert re.fullmatch(r"epoch 1/3 .* lr 5.0e-04 *\n", capsys.readouterr().out)
        clock[0] += 6.0
        reporter.epoch(ROW | {"epoch": 2}, 6.0, 5.0)
        clock[0] += 2.0
        assert reporter._line().plain.endswith("  0:00:04 left")


def test_a_long_first_epoch_tells_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    reporter = TrainingReporter(Console(width=120), 3, [], "val_mae")
    clock[0] += 3600
    reporter.epoch(ROW | {"epoch": 1}, 3600.0, 5.0)
    assert reporter._line().plain.endswith("5 crystals/s  2:00:00 left")


@pytest.mark.slow
def test_a_signal_acts_within_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The epoch is left at once, and the run that goes on is the same to the bit."""
    expected = train_run(tmp_path / "expected", *TWO_PARTS)
    calls = []

    def stop_in_third(self: TrainingReporter, done: int, steps: int) -> None:
        calls.append((done, steps))
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    path = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(TrainingReporter, "step", stop_in_third)
        assert train.main(["--run-dir", str(path), *TWO_PARTS]) == 128 + signal.SIGINT
    assert calls == [(18, 36)] * 3
    assert "stopped after epoch 2" in capsys.readouterr().out
    assert len(pd.read_csv(path / "metrics.csv")) == 2
    resume(path)
    assert_same_run(path, expected)


def test_closing_lines_leave_out_what_is_not_known() -> None:
    summary = {"crystals": {"test": 1}, "test_mae": 0.5, "test_r2": math.nan, "test_rmse": 1.0}
    summary |= {"best_epoch": 3, "epochs": 4, "seconds": 2.0}
    first, last = closing_lines(summary, [Property("x", "x")], Path("run")).splitlines()
    assert first == "x: test MAE 0.5000"
    assert last == "best epoch 3 of 4, 2 s; see run"
    first, _ = closing_lines(summary | {"test_r2": 0.25}, [Property("x", "x")], Path()).splitlines()
    assert first == "x: test MAE 0.5000, R² 0.2500"


def test_slow_steps_are_run_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(loop, "SLOW_WORK", 0)
    monkeypatch.setattr(TrainingReporter, "step", lambda self, done, steps: calls.append(done))
    settings = ["--limit", "60", "--batch-size", "12", "--epochs", "1", *TINY]
    run = train_run(tmp_path / "run", *settings)
    assert calls == [1, 2]
    assert len(pd.read_csv(run / "metrics.csv")) == 1
