"""`python -m gatgnn_jax.explain`: its table, and the page in a real browser."""

import re
import shutil
from dataclasses import asdict
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from gatgnn_jax import Predictor, explain
from gatgnn_jax.pages.explain_page import color_domain
from gatgnn_jax.presets import PRESETS
from tests.browser import open_page
from tests.commands import bundled_rows, error_of, untrained_run
from tests.page_scripts import script


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three crystals of the bundled ones, and one that is none."""
    folder = tmp_path_factory.mktemp("crystals")
    for row in bundled_rows(3):
        structure = Structure.from_dict(row["structure"])
        (folder / f"{row['id']}.cif").write_text(str(CifWriter(structure)))
    lonely = Structure(Lattice.cubic(30), ["Cs"], [[0, 0, 0]])
    (folder / "lonely.cif").write_text(str(CifWriter(lonely)))
    return [folder / f"{row['id']}.cif" for row in bundled_rows(3)] + [folder / "lonely.cif"]


def explain_to(out, *paths):
    return explain.main([*map(str, paths), "--out", str(out), "--overwrite", "--quiet"])


def test_one_crystal_and_one_run(run, files, tmp_path):
    assert explain_to(tmp_path / "out", run, files[0]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "attention.csv",
        "bonds.csv",
        "explain.html",
    ]
    bonds = pd.read_csv(tmp_path / "out" / "bonds.csv")
    assert bonds.groupby("atom").layer_1.sum().to_numpy() == pytest.approx(1)
    table = pd.read_csv(tmp_path / "out" / "attention.csv")
    assert list(table) == ["atom", "label", "element", "weight"]
    explanation = Predictor.load(run).explain(files[0])
    np.testing.assert_allclose(table.weight, explanation.atom_weights, rtol=1e-6)
    assert table.element.tolist() == explanation.elements
    trained = pd.read_csv(run / "predictions.csv").set_index("id").prediction
    np.testing.assert_allclose(
        explanation.prediction.transformed, trained[[files[0].stem]].to_numpy()[None], atol=1e-4
    )
    assert explanation.prediction.ids == (files[0].stem,)


def test_an_explanation_is_not_lost(run, files, tmp_path, capsys):
    out = tmp_path / "out"
    assert explain_to(out, run, files[0]) == 0
    before = (out / "attention.csv").read_bytes()
    message = error_of(explain.main, [run, files[1], "--out", out], capsys)
    assert "is there already" in message and "--overwrite" in message
    assert (out / "attention.csv").read_bytes() == before
    assert explain.main([str(run), str(files[1]), "--out", str(out), "--overwrite"]) == 0
    assert (out / "attention.csv").read_bytes() != before


@pytest.mark.slow
def test_several_crystals_and_runs(run, files, tmp_path):
    """One table with both in front, each pair as if explained alone; one page, side by side."""
    second = untrained_run(tmp_path / "m4", global_attention="cluster-learnable", num_layers=2)
    assert explain_to(tmp_path, run, second, *files[:2], files[3]) == 0
    table = pd.read_csv(tmp_path / "attention.csv")
    assert list(table) == ["crystal", "run", "atom", "label", "element", "weight"]
    sums = table.groupby(["crystal", "run"], sort=False).weight.sum()
    assert [*sums.index] == [(f.stem, r.name) for f in files[:2] for r in (run, second)]
    np.testing.assert_allclose(sums, 1, atol=1e-6)
    turn = """
        await frame();
        const canvases = [...document.querySelectorAll("canvas")];
        const before = canvases.map(canvas => canvas.toDataURL());
        canvases[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
        await frame();
        return canvases.map((canvas, k) => canvas.toDataURL() !== before[k]);
    """
    opened = open_page(tmp_path / "explain.html", tmp_path, turn)
    assert opened.console == []
    # The pictures of one crystal turn together.
    assert opened.result == [True, True, False, False]
    assert all(
        words in opened.dom for words in ("GI M-1", "GI M-4", "Left out: lonely", "isolated")
    )

    twin = tmp_path / "other" / second.name
    shutil.copytree(second, twin)
    assert explain_to(tmp_path, second, twin, files[0]) == 0
    table = pd.read_csv(tmp_path / "attention.csv")
    assert list(table) == ["run", "atom", "label", "element", "weight"]
    assert [*table.run.unique()] == [str(second), str(twin)]


def test_bad_input_is_explained(run, files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cgcnn = untrained_run(tmp_path / "cgcnn", **asdict(PRESETS["paper-cgcnn"].sizes_for("cgcnn")))
    for arguments, words in [
        ([tmp_path, files[0]], "is no run"),
        ([run], "nothing to explain"),
        ([run, tmp_path / "nowhere.cif"], "does not exist"),
        ([run, files[3]], "lonely: no neighbour"),
        ([run, files[0], "--out", run], "is a run"),
        ([run, *[files[0]] * 101], "101 crystals"),
        ([cgcnn, files[0]], "a cgcnn model has no attention"),
    ]:
        assert words in error_of(explain.main, arguments, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["cgcnn"]


# ---- the page ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def used(run, files, tmp_path_factory):
    """The page of one crystal after turning, zooming, sorting and choosing."""
    out = tmp_path_factory.mktemp("page")
    assert explain_to(out, run, files[0]) == 0
    return out, open_page(out / "explain.html", out, script("explain"))


def test_the_page_opens_without_errors_or_network(run, used):
    out, opened = used
    assert opened.console == []
    page = (out / "explain.html").read_text()
    assert not re.search(r"https?:|\ssrc=|@import|url\(|fetch\(|import\(", page)
    trained = pd.read_csv(run / "predictions.csv").set_index("id")
    gpa = trained.prediction_gpa[bundled_rows(1)[0]["id"]]
    shown = re.search(r'<div class="value">([\d.]+)<small> GPa', opened.dom)
    assert float(shown[1]) == pytest.approx(gpa, rel=1e-3)


def test_colours_are_those_of_the_weights(used):
    """Beside each number of the table, and on the spheres."""
    out, opened = used
    table = pd.read_csv(out / "attention.csv")
    low, high = color_domain(table.weight.to_numpy()[None])
    expected = mpl.colormaps["RdBu_r"]((table.weight - low) / (high - low), bytes=True)[:, :3]
    rows = re.findall(
        r'<tr data-atom="(\d+)".*?data-value="([A-Z][a-z]?\d+)".*?data-value="([\d.]+)".*?'
        r"background: ?rgb\((\d+),? (\d+),? (\d+)\)",
        opened.dom,
    )
    assert len(rows) == len(table)
    for atom, label, weight, *color in rows:
        assert label == table.label[int(atom)]
        assert float(weight) == pytest.approx(table.weight[int(atom)], rel=1e-6)
        # Halfway between two of the 256 colours rounding may go either way.
        np.testing.assert_allclose([*map(int, color)], expected[int(atom)], atol=5)
        assert opened.result["counts"].get(" ".join(color), 0) > 50
    assert opened.result["copies"] >= len(table)


def test_choosing_turning_and_zooming(used):
    """Every step changes the picture; a double click brings the first back."""
    pictures = used[1].result["pictures"]
    assert all(a != b for a, b in pairwise(pictures))
    assert pictures[4] == pictures[0]
    color, *chosen = used[1].result["clicked"]
    assert chosen == [color]
    table = pd.read_csv(used[0] / "attention.csv")
    label, atom, _, _, weight = used[1].result["tip"].split()[:5]
    atom = int(atom.strip("()"))
    assert label == table.label[atom]
    assert float(weight) == pytest.approx(table.weight[atom], abs=1e-4)


def test_tables_sort_and_follow_the_choice(run, files, used):
    result = used[1].result
    table = pd.read_csv(used[0] / "attention.csv")
    falling = sorted(table.weight, reverse=True)
    np.testing.assert_allclose(result["sorted"], [falling, falling[::-1]], rtol=1e-6)
    edges = Predictor.load(run).explain(files[0]).edge_table()
    edges = edges[edges.atom == 1].sort_values("layer_2", ascending=False, kind="stable")
    shown = result["neighbours"]
    assert result["title"] == f"Neighbours of {table.label[1]} (1) layer 2"
    assert result["bonds"] == len(edges)
    np.testing.assert_allclose([float(row[3]) for row in shown], edges.layer_2, atol=1e-6)
    assert {f"{name} {cell}".replace("−", "-") for name, cell, *_ in shown} == {
        f"{edge.neighbour} {' '.join(map(str, edge.image))}" for edge in edges.itertuples()
    }


def test_an_error_of_a_page_is_noticed(tmp_path):
    (tmp_path / "broken.html").write_text("<body><script>undefined.x</script></body>")
    assert len(open_page(tmp_path / "broken.html", tmp_path).console) == 1
