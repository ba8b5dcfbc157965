"""All commands under one name: what is listed, what is suggested, what help costs."""

import subprocess
import sys
from pathlib import Path

import pytest

from gatgnn_jax import __version__, train
from gatgnn_jax.__main__ import COMMANDS, available, main

HEAVY = ("jax", "flax", "orbax", "optax", "scipy", "sklearn", "pandas", "matplotlib", "pymatgen")
"""Each takes a good part of a second."""

PROBE = f"""
import contextlib, io, sys
from gatgnn_jax.__main__ import available, main
for name in available():
    for arguments in (["--help"], ["--no-such-option"]):
        try:
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                main([name, *arguments])
        except SystemExit as end:
            assert end.code == (0 if arguments == ["--help"] else 2), (name, end.code)
        else:
            raise AssertionError(name)
        print(name, *[heavy for heavy in {HEAVY!r} if heavy in sys.modules])
"""


def test_help_and_usage_errors_import_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == [name for name in available() for _ in range(2)]


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[4:-2]]
    assert listed == available()
    asked = ["train", "predict", "evaluate", "explain", "embed", "convert", "report"]
    assert {*asked, "build", "fetch"} <= set(listed) <= set(COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split()[-1] == __version__


@pytest.mark.parametrize(("name", "says"), [("pridect", "mean predict?"), ("x", "there are train")])
def test_a_command_that_there_is_not(
    name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {name} is no command")
    assert says in message


def test_a_command_is_run_with_its_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 1
    assert "is no run" in capsys.readouterr().err


def test_completion_knows_all_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--tyro-print-completion", "bash"])
    assert not end.value.code
    script = capsys.readouterr().out
    for word in [*available(), "--learning-rate", "--run-dir", "--batch-size", "--to-torch"]:
        assert word in script, word


def test_data_without_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.parse(["my_folder", "--epochs", "3"]) == train.parse(
        ["--data", "my_folder", "--epochs", "3"]
    )
    assert main(["train", "one", "--data", "another"]) == 1
    assert "two data" in capsys.readouterr().err
    assert main(["train", "one", "--data=another"]) == 1
    assert "two data" in capsys.readouterr().err


def test_help_names_no_default_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """And settings stand in groups."""
    for name in available():
        with pytest.raises(SystemExit):
            main([name, "--help"])
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "(default: None)" not in text, name
        assert "(default: )" not in text, name
        if name == "train":
            assert all(f"{group} options" in text for group in ("graph", "model", "train"))
