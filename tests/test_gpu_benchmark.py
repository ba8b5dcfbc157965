"""`python -m benchmarks.gpu` from end to end, on whatever there is."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jax
import pytest


@pytest.mark.slow
def test_all_parts_run(tmp_path):
    figures_file = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--small", "--json", str(figures_file)]
    command += ["--data-dir", str(tmp_path), "--minutes", "60"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(figures_file.read_text())
    assert figures["device"] == jax.devices()[0].device_kind
    for _, precision, prediction, gradient in figures["golden_errors"]:
        if precision == "float32":
            assert prediction < 2e-5
            assert gradient < 1
    if figures["device"] == "cpu":
        assert all(figures["repeats_to_the_bit"].values())
    assert len(figures["block_sizes"]) == len(figures["ensembles"]) + 1 == 2
    assert min(figures["ways_to_sum"].values()) > 0
    assert (figures["speed"] is not None) == (find_spec("torch_geometric") is not None)
