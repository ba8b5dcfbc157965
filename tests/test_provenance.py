"""What stands beside the figures of benchmarks."""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import provenance


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_figure_names_the_commit_of_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that a study writes itself leave it as clean as it was."""
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    files = [tmp_path / name for name in ("code.py", "benchmarks/results/a.json", "docs/a.md")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("first")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    clean = provenance.commit()
    head = (tmp_path / ".git/HEAD").read_text().partition(" ")[2].strip()
    assert clean and (tmp_path / ".git" / head).read_text().startswith(clean)
    (tmp_path / "new.py").touch()
    for file in files[1:]:
        file.write_text("second")
    assert provenance.commit() == clean
    files[0].write_text("second")
    assert provenance.commit() == f"{clean}-dirty"
