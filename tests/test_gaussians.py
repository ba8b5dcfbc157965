"""The Gaussians of a distance are the model's: graphs, and what is kept of them, know none."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.graph import CrystalGraph
from data_prep.packing import pack
from data_prep.storage import load_dataset, save_dataset
from gatgnn_jax import Predictor, train
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.ops import GaussianBasis
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.runs.directory import RunDirectory
from tests.commands import TINY, error_of, train_run, untrained_run
from tests.crystals import diamond, rock_salt
from tests.test_data_dataset import assert_equal, entries


@pytest.mark.parametrize(("preset", "count"), [("paper-cgcnn", 41), ("paper-megnet", 9)])
def test_presets_have_the_published_gaussians(preset, count):
    graph, step = PRESETS[preset].graph, PRESETS[preset].model.gaussian_step
    centers = GaussianBasis(graph.radius, step).centers
    assert len(centers) == len(GaussianBasis(graph.radius, step)) == count
    assert (centers[0], centers[-1]) == (0, pytest.approx(graph.radius))
    np.testing.assert_allclose(np.diff(centers), step)


def test_a_distance_is_expanded_as_written():
    values = GaussianBasis(2.0, 1.0)(np.array([0.0, 1.5], np.float32))
    expected = np.exp([[0, -1, -4], [-2.25, -0.25, -0.25]])
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_steps_out_of_range_are_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match="gaussian_step is 0: it must be above 0"):
        ModelConfig(gaussian_step=0)
    arguments = ["--gaussian-step=9", "--run-dir", tmp_path / "run"]
    message = error_of(train.main, arguments, capsys)
    assert "give a step above 0 and up to the radius (8.0 Å)" in message


@pytest.mark.slow
def test_trainings_with_other_gaussians_share_the_graphs(tmp_path, monkeypatch):
    monkeypatch.setenv("GATGNN_CACHE", str(tmp_path / "cache"))
    small = [*TINY, "--limit=20", "--epochs=1", "--workers=1"]
    runs = [
        train_run(tmp_path / step, *small, "--gaussian-step", step) for step in ("0.2", "0.5", "4")
    ]
    assert len(entries(tmp_path / "cache")) == 1
    configs = [RunDirectory(run).config() for run in runs]
    assert [config.model.gaussian_step for config in configs] == [0.2, 0.5, 4.0]
    assert len({config.data.content_hash for config in configs}) == 1


def test_a_run_of_a_program_that_had_them_among_the_graphs_predicts_the_same(tmp_path):
    run = untrained_run(tmp_path / "run", gaussian_step=0.5)
    crystals = [rock_salt(), diamond()]
    expected = Predictor.load(run).predict(crystals).values
    values = json.loads((run / "config.json").read_text())
    values["graph"]["gaussian_step"] = values["model"].pop("gaussian_step")
    (run / "config.json").write_text(json.dumps(values))
    np.testing.assert_array_equal(Predictor.load(run).predict(crystals).values, expected)
    values["graph"]["gaussian_step"] = "0.5"
    (run / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"model\.gaussian_step is '0\.5': give a number"):
        RunDirectory(run).config()


def test_a_dataset_of_a_program_that_had_them_is_opened_and_checked(tmp_path):
    """Its header as version 0.1.0 wrote it, with the hash that it computed."""
    graph = CrystalGraph(
        atomic_number=np.array([11, 17], np.uint8),
        multiplicity=np.ones(2, np.uint32),
        sender=np.array([[1], [0]], np.int32),
        distance=np.full((2, 1), 2.75, np.float32),
        edge_multiplicity=np.full((2, 1), 6, np.uint8),
        atom_node=np.arange(2, dtype=np.int32),
        cluster=np.zeros(2, np.uint8),
    )
    dataset = pack([graph], ["salt"], {"gap": np.array([5.0])}, GraphConfig(4.0, 16))
    path: Path = tmp_path / "dataset"
    save_dataset(dataset, path)
    header = json.loads((path / "dataset.json").read_text())
    settings = header["graph"]
    own = {"radius": 4.0, "max_neighbors": 16, "gaussian_step": 0.5}
    others = {name: settings[name] for name in ("fake_edges", "reduce", "clusters")}
    header |= {"format_version": 3, "graph": own | others}
    header["content_hash"] = "3:2f015cad4b54b6982702f769dd363421abd01f0ea1e2b2253b20df077e37f201"
    (path / "dataset.json").write_text(json.dumps(header))
    assert_equal(load_dataset(path), dataset)
    header["graph"]["gaussian_step"] = 0.2
    (path / "dataset.json").write_text(json.dumps(header))
    with pytest.raises(UserError, match="is damaged: build it again"):
        load_dataset(path)
