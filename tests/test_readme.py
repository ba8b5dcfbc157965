"""What the README shows works as it stands there."""

import re
from pathlib import Path

from gatgnn_jax.__main__ import available
from tests.crystals import rock_salt

README = (Path(__file__).parent.parent / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_two_commands_set_everything_up():
    commands = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    assert commands[0] == "pip install -e . && python -m gatgnn_jax.train\n"
    assert commands[1] == 'pip install -e ".[test]" && pytest\n'


def test_every_command_and_file_it_names_exists():
    root = Path(__file__).parent.parent
    for name in re.findall(r"`?python -m ([\w.]+)", README):
        path = root / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name
    for name in re.findall(r"gatgnn-jax (\w+)", README):
        assert name in available(), name
    for name in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (root / name).exists(), name


def test_the_package_from_python(run, tmp_path, monkeypatch):
    """The example predicts and explains as its comments say."""
    monkeypatch.chdir(tmp_path)
    structure = rock_salt()
    structure.to(filename="a.cif")
    Path("runs").mkdir()
    Path("runs/bulk_modulus-001").symlink_to(run)
    scope = {"structure": structure, "atoms": structure.to_ase_atoms()}
    exec(next(block for block in PYTHON if "Predictor.load" in block), scope)
    assert scope["result"].values.shape == (3, 1)
    assert scope["result"].units == ("GPa",)
    assert scope["result"].skipped == []
