"""The rooms of the package: which may import which, and how large a file may be.

The contracts stand in `pyproject.toml`; `docs/architecture.py` draws what they say.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def broken_contracts(root: Path) -> str:
    """What import-linter says of the packages in `root`; empty if every contract is kept."""
    # A process of its own: the packages of `root` are not those that this one has imported.
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_arrows_go_down_only() -> None:
    """And data_prep has no JAX, and networks and the pure step no files."""
    assert broken_contracts(ROOT) == ""


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("gatgnn_jax/models/ops.py", "import gatgnn_jax.runs.config"),
        ("gatgnn_jax/training/step.py", "import pathlib"),
        ("data_prep/graph.py", "import jax"),
    ],
    ids=["upwards", "a file in the step", "JAX in data_prep"],
)
def test_a_wrong_import_is_found(file: str, line: str, tmp_path: Path) -> None:
    for package in ("gatgnn_jax", "data_prep"):
        for source in (ROOT / package).rglob("*.py"):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(source.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    changed = tmp_path / file
    changed.write_text(changed.read_text() + f"\n{line}\n")
    assert "BROKEN" in broken_contracts(tmp_path)


def test_files_are_short() -> None:
    folders = ("gatgnn_jax", "data_prep", "benchmarks", "tests", "docs")
    sources = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    long = {
        str(file.relative_to(ROOT)): lines
        for file in sources
        if (lines := len(file.read_text().splitlines())) > 300
    }
    assert len(sources) > 100
    assert long == {}
