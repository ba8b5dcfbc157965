"""What the README shows works as it stands there."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from data_prep.config import GraphConfig
from gatgnn_jax.batches.layout import with_receivers
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models import gatgnn as model_module
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.models.ops import softplus
from tests.crystals import bundled, rock_salt
from tests.models import arrays_of, batch_of, dataset_of, predictions

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


def test_a_new_layer_in_twenty_lines(monkeypatch: pytest.MonkeyPatch):
    """The layer of "Changing the model" runs, on quotient graphs as on full ones."""
    block = next(block for block in PYTHON if "layers.py" in block)
    source = block.split("# gatgnn_jax/models/gatgnn.py")[0]
    assert len(block.splitlines()) <= 20
    scope = {"nnx": nnx, "jax": jax, "jnp": jnp, "softplus": softplus}
    exec(source, scope)
    monkeypatch.setitem(model_module.LAYERS, "gatgnn", scope["GatedMeanLayer"])

    structures = [structure for _, structure in bundled(150)]
    results = []
    for config in (GraphConfig(reduce=False), GraphConfig()):
        settings = ModelConfig(num_layers=2, neurons=8)
        model = GATGNN(settings, config, 1, rngs=nnx.Rngs(0))
        graph = batch_of(arrays_of(dataset_of(structures, config)))
        results.append(predictions(model, graph, len(structures)))
        if graph.receivers is None:
            results.append(predictions(model, with_receivers(graph), len(structures)))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-4)
    assert np.ptp(results[0]) > 1e-3
