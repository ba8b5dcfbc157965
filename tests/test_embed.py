"""`python -m gatgnn_jax.embed`: vectors that carry the prediction, in every format, and maps."""

import io
import sys
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from data_prep.cache import BUNDLED
from gatgnn_jax import embed
from gatgnn_jax.jobs.embed import points
from gatgnn_jax.runs.directory import RunDirectory
from tests.commands import bundled_rows, error_of, write_source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve crystals and one that cannot be read."""
    path = write_source(
        tmp_path_factory.mktemp("source") / "crystals.jsonl", 12, lambda number, old: old
    )
    with path.open("a") as file:
        file.write('{"id": "broken", "cif": "nothing", "targets": {"bulk_modulus": 1}}\n')
    return path


def embed_to(out: Path, source: Path, *options: str, model: str = "bulk_modulus") -> None:
    assert embed.main([model, str(source), "--out", str(out), "--quiet", *options]) == 0


def test_the_last_layers_make_the_prediction_of_a_vector(source: Path, tmp_path: Path) -> None:
    """The vectors are what the readout reads: carried through it by hand, they are predictions."""
    embed_to(tmp_path / "vectors.csv", source, model="formation_energy")
    table = pd.read_csv(tmp_path / "vectors.csv")
    assert table.id.tolist() == [row["id"] for row in bundled_rows(12)]
    assert pd.read_csv(tmp_path / "vectors.skipped.csv").id.tolist() == ["broken"]
    config, _, model = RunDirectory.open(Path("formation_energy")).load_best()
    weights = {
        tuple(str(key.key) for key in path if hasattr(key, "key")): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(model.params)
    }
    x = table.filter(regex=r"^v\d").to_numpy()
    hidden = sorted({path[:2] for path in weights if path[0] == "hidden"})
    assert len(hidden) == 2
    for layer in hidden:
        x = np.logaddexp(x @ weights[(*layer, "kernel")] + weights[(*layer, "bias")], 0)
    y = (x @ weights["out", "kernel"] + weights["out", "bias"])[:, 0]
    (p,) = config.properties
    np.testing.assert_allclose(table.prediction, y * p.scale + p.mean, rtol=1e-4)


def test_formats_agree(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the files are named one by one or in a list on standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{source}\n\n"))
    for name, files in (("a.csv", source), ("a.npz", Path("-"))):
        embed_to(tmp_path / name, files, "--map", "none")
    table = pd.read_csv(tmp_path / "a.csv")
    with np.load(tmp_path / "a.npz") as file:
        assert file["id"].tolist() == table.id.tolist()
        np.testing.assert_allclose(file["vector"], table.filter(regex=r"^v\d"), rtol=1e-6)
        np.testing.assert_allclose(file["prediction"][:, 0], table.prediction, rtol=1e-6)
    assert not list(tmp_path.glob("*.png"))
    if find_spec("pyarrow"):
        embed_to(tmp_path / "a.parquet", source)
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / "a.parquet"), table, check_dtype=False, rtol=1e-6
        )


@pytest.mark.parametrize("kind", ["pca", "tsne"])
def test_a_map_is_drawn(kind: str, source: Path, tmp_path: Path) -> None:
    embed_to(tmp_path / "vectors.csv", source, "--map", kind)
    image = imread(tmp_path / "vectors.png")
    assert min(image.shape[:2]) > 500
    colourful = np.ptp(image[..., :3], axis=-1) > 0.1
    assert colourful.mean() > 0.005  # the colour bar and the points


def test_principal_components_are_those_of_the_covariance() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)) * [5, 3, 1, 1, 1, 1] + 10
    plane, _ = points(vectors, "pca")
    _, directions = np.linalg.eigh(np.cov(vectors.T))
    expected = (vectors - vectors.mean(0)) @ directions[:, :-3:-1]
    np.testing.assert_allclose(np.abs(plane), np.abs(expected), rtol=1e-6, atol=1e-9)


def test_bad_input_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bulk_modulus", BUNDLED, "--out", tmp_path / "vectors.txt"]
    assert ".csv, .npz, .parquet" in error_of(embed.main, arguments, capsys)
    assert "nothing to embed" in error_of(embed.main, ["bulk_modulus"], capsys)
    arguments = ["bulk_modulus", BUNDLED, "--batch-size", "0"]
    assert "--batch-size is 0" in error_of(embed.main, arguments, capsys)
    (tmp_path / "empty.cif").touch()
    arguments = ["bulk_modulus", tmp_path / "empty.cif", "--out", tmp_path / "vectors.csv"]
    assert "could be embedded" in error_of(embed.main, arguments, capsys)
    assert not (tmp_path / "vectors.csv").exists()
