"""`python -m gatgnn_jax.embed`: vectors that carry the prediction, in every format, and maps."""

import io
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from pymatgen.core import Structure

from data_prep.cache import BUNDLED
from data_prep.properties import Property, resolve_property
from gatgnn_jax import embed
from gatgnn_jax.jobs.embed import known_values, points
from gatgnn_jax.pages.crystal_map import map_columns, spread_out
from gatgnn_jax.runs.directory import RunDirectory
from tests.browser import open_page
from tests.commands import bundled_rows, error_of, untrained_run, write_source


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
    run = untrained_run(tmp_path / "run", ["poisson_ratio"], source, hidden_layers=2)
    embed_to(tmp_path / "vectors.csv", source, model=str(run))
    table = pd.read_csv(tmp_path / "vectors.csv")
    assert table.id.tolist() == [row["id"] for row in bundled_rows(12)]
    assert pd.read_csv(tmp_path / "vectors.skipped.csv").id.tolist() == ["broken"]
    config, _, model = RunDirectory.open(run).load_best()
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
    np.testing.assert_allclose(table.prediction, y * p.scale + p.mean, rtol=1e-4, atol=1e-5)


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
@pytest.mark.slow
def test_a_map_is_drawn(kind: str, source: Path, tmp_path: Path) -> None:
    embed_to(tmp_path / "vectors.csv", source, "--map", kind)
    image = imread(tmp_path / "vectors.png")
    assert min(image.shape[:2]) > 500
    colourful = np.ptp(image[..., :3], axis=-1) > 0.1
    assert colourful.mean() > 0.005  # the colour bar and the points


def page_data(page: Path) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def test_the_page_tells_values_errors_and_neighbours(source: Path, tmp_path: Path) -> None:
    """Compared with the table, the source's own values, and distances between all vectors."""
    embed_to(tmp_path / "vectors.csv", source)
    data = page_data(tmp_path / "vectors.html")
    table = pd.read_csv(tmp_path / "vectors.csv")
    rows = bundled_rows(12)
    assert data["ids"] == table.id.tolist()
    cells = [Structure.from_dict(row["structure"]).composition for row in rows]
    assert data["formulas"] == [cell.reduced_formula for cell in cells]
    columns = {column["name"]: column["values"] for column in data["columns"]}
    assert [*columns][:3] == [f"{k}, log10(GPa)" for k in ("prediction", "target", "error")]
    own = np.array([row["targets"]["bulk_modulus"] for row in rows])
    np.testing.assert_allclose(columns["prediction, GPa"], table.prediction_gpa, rtol=1e-4)
    np.testing.assert_allclose(columns["target, GPa"], own, rtol=1e-4)
    error = np.abs(np.log10(own) - table.prediction)
    np.testing.assert_allclose(columns["error, log10(GPa)"], error, rtol=1e-3, atol=1e-5)
    assert columns["atoms in the cell"] == [cell.num_atoms for cell in cells]
    shear = [row["targets"]["shear_modulus"] for row in rows]
    np.testing.assert_allclose(columns["shear_modulus"], shear, rtol=1e-4)

    vectors = table.filter(regex=r"^v\d").to_numpy()
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(data["near"], np.argsort(distances, axis=1)[:, :6])
    np.testing.assert_allclose(data["distances"], np.sort(distances, axis=1)[:, :6], rtol=1e-2)


@pytest.mark.slow
def test_the_page_is_used(source: Path, tmp_path: Path) -> None:
    """A crystal is found by its formula, its nearest chosen, and another column coloured by."""
    embed_to(tmp_path / "vectors.csv", source)
    data = page_data(tmp_path / "vectors.html")
    use = """
        const canvas = document.querySelector(".chart canvas");
        const change = (selector, name, value) => {
            const own = document.querySelector(selector);
            own[name] = value;
            own.dispatchEvent(new Event("change"));
        };
        await frame();
        const before = canvas.toDataURL();
        change(".controls input", "value", DATA.formulas[3].toLowerCase());
        const found = document.querySelector(".facts .note").textContent;
        document.querySelector("table.near .pick").click();
        const next = document.querySelector(".facts .note").textContent;
        change(".controls select", "selectedIndex", 2);
        await frame();
        return [found, next, canvas.dataset.points, canvas.toDataURL() !== before,
            document.querySelector("table.near th:nth-child(3)").textContent];
    """
    opened = open_page(tmp_path / "vectors.html", tmp_path, use)
    assert opened.console == []
    nearest = data["ids"][data["near"][3][0]]
    assert opened.result == [data["ids"][3], nearest, "12", True, "error, log10(GPa)"]


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
@pytest.mark.slow
def test_pictures_for_papers(kind: str, start: bytes, source: Path, tmp_path: Path) -> None:
    """Twice the same picture is the same file; the names of crystals are letters in it."""
    for name in ("a", "b"):
        embed_to(tmp_path / f"{name}.csv", source, "--format", kind)
    first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("a", "b"))
    assert first.startswith(start)
    assert first == second
    formulas = page_data(tmp_path / "a.html")["formulas"]
    assert kind == "pdf" or all(f">{own}<" in first.decode() for own in formulas)


def test_labels_are_far_from_each_other() -> None:
    """The corners of a square before what lies close to one of them, and no point twice."""
    points = np.array([[0, 0], [0.1, 0], [0, 1], [1, 0], [1, 1.2], [1, 1.2]])
    assert set(spread_out(points, 4)) == {0, 2, 3, 4}
    assert len(spread_out(points, 9)) == 5


def test_values_of_the_source_are_known_by_any_spelling() -> None:
    p = resolve_property("bulk_modulus", ["bulk_modulus"])
    targets = [{"K_VRH": "100", "band": 1}, {"K_VRH": None, "band": 2}, {}]
    values, others = known_values([p], targets)
    np.testing.assert_allclose(values[:, 0], [2, np.nan, np.nan])
    np.testing.assert_allclose(others["band"], [1, 2, np.nan])


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
    assert "the batch size is 0" in error_of(embed.main, arguments, capsys)
    (tmp_path / "empty.cif").touch()
    arguments = ["bulk_modulus", tmp_path / "empty.cif", "--out", tmp_path / "vectors.csv"]
    assert "could be embedded" in error_of(embed.main, arguments, capsys)
    assert not (tmp_path / "vectors.csv").exists()


def test_classes_have_names_on_the_map() -> None:
    """Of three the predicted one is drawn; its error is what the true one's probability lacks."""
    p = Property("phase", "phase", task="classification", classes=("fcc", "bcc", "hcp"))
    predicted = np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]])
    columns, names = map_columns([p], predicted, np.array([[1.0], [2.0]]), None, None)
    assert list(columns)[:3] == ["prediction", "target", "error"]
    assert [names["prediction"][k] for k in columns.prediction] == ["bcc", "fcc"]
    np.testing.assert_allclose(columns.error, [0.3, 0.8])
    np.testing.assert_allclose(columns.probability_hcp, [0.1, 0.2])
