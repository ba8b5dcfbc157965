"""Attention per atom and neighbour, its table, and the page in a real browser."""

import re
import shutil
from dataclasses import asdict
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from flax import nnx
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax import Predictor, explain
from gatgnn_jax.config import PRESETS, ModelConfig, TrainConfig
from gatgnn_jax.crystal_arrays import crystal_arrays
from gatgnn_jax.explain_page import color_domain
from gatgnn_jax.explanation import explain as explain_structure
from gatgnn_jax.run_directory import DataInfo, ModelState, RunConfig
from tests.browser import open_page
from tests.commands import bundled_rows, error_of, untrained_run
from tests.crystals import bundled, rock_salt, shuffled, without_symmetry
from tests.models import batch_of, dataset_of, outputs, small_model


def explained(structure, graph=None, global_attention="composition", **settings):
    """A small model's explanation, and the model."""
    graph = graph or GraphConfig()
    model = small_model(graph, global_attention, **settings)
    settings = {"num_layers": 2, "neurons": 8, "heads": 2} | settings
    config = RunConfig(
        graph,
        ModelConfig(global_attention=global_attention, **settings),
        TrainConfig(),
        (Property("gap", "gap", "eV"),),
        DataInfo(),
    )
    graphdef, params, stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    return explain_structure(config, graphdef, ModelState(params, stats), structure), model


@pytest.mark.parametrize("global_attention", ["composition", "cluster-random", "none"])
def test_the_full_graph_explains_the_quotient_graph(global_attention):
    """What the model computes on the graph it was trained on, told atom by atom."""
    structure = bundled(300)[2][1] * (2, 1, 1)
    explanation, model = explained(structure, global_attention=global_attention)
    dataset = dataset_of([structure], GraphConfig())
    graph = dataset.crystal(0)
    assert len(graph.atomic_number) < len(structure)
    output = outputs(model, batch_of(crystal_arrays(dataset, np.zeros((1, 1)), dense=False)))
    weights = np.asarray(output.atom_attention[: len(structure)])
    np.testing.assert_allclose(explanation.atom_weights, weights / weights.sum(), atol=1e-6)
    np.testing.assert_allclose(explanation.atom_weights.sum(), 1)
    np.testing.assert_allclose(
        explanation.prediction.transformed[0, 0], output.prediction[0, 0], rtol=1e-5
    )
    # A merged edge has the attention of its neighbours together: those of the class and distance.
    node = graph.atom_node
    for edge, (receiver, slot) in enumerate(np.argwhere(graph.edge_multiplicity)):
        merged = (
            (node[explanation.receivers] == receiver)
            & (node[explanation.senders] == graph.sender[receiver, slot])
            & (abs(explanation.distances - graph.distance[receiver, slot]) < 1e-3)
        )
        count = graph.edge_multiplicity[receiver, slot]
        assert merged.sum() == count * graph.multiplicity[receiver]
        for own, layer in zip(explanation.edge_attention, output.edge_attention, strict=True):
            np.testing.assert_allclose(own[merged], layer[edge].mean() / count, rtol=1e-4)
    assert graph.edge_multiplicity.max() > 1


@pytest.mark.parametrize("structure", [rock_salt(), without_symmetry()])
def test_neighbours_are_where_they_are_said_to_be(structure):
    explanation, _ = explained(structure)
    table = explanation.edge_table()
    assert (table.groupby("atom").size() == 12).all()
    assert not table.duplicated(["atom", "neighbour", "image"]).any()
    positions = structure.frac_coords
    steps = positions[table.neighbour] + np.array(table.image.tolist()) - positions[table.atom]
    lengths = np.linalg.norm(steps @ structure.lattice.matrix, axis=1)
    np.testing.assert_allclose(lengths, table.distance, atol=2e-4)
    sums = table.groupby("atom")[["layer_1", "layer_2"]].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_atoms_in_any_order():
    structure = without_symmetry()
    other, order = shuffled(structure)
    weights = explained(structure)[0].atom_weights
    explanation, _ = explained(other)
    np.testing.assert_allclose(explanation.atom_weights, weights[order], atol=1e-6)
    assert np.ptp(weights) > 1e-4
    assert explanation.elements == [structure[int(k)].specie.symbol for k in order]
    shares = explanation.atom_table().groupby("element").weight.sum()
    assert explanation.element_weights() == pytest.approx(shares.to_dict())


def test_what_is_no_neighbour_is_left_out():
    """GAT's share of the atom itself, and fake edges to the first atom."""
    sums = explained(rock_salt(), model="gat")[0].edge_table().groupby("atom").layer_1.sum()
    assert ((sums > 0.1) & (sums < 0.99)).all()
    config = GraphConfig(radius=3.0, fake_edges=True)  # six neighbours at 2.82 Å
    table = explained(rock_salt(), config)[0].edge_table()
    assert (table.groupby("atom").size() == 6).all()
    assert (table.groupby("atom").layer_1.sum() < 0.99).all()


def test_weights_that_hardly_differ_get_hardly_different_colours():
    assert color_domain(np.array([[0.1, 0.9]])) == (0.1, 0.9)
    low, high = color_domain(np.array([[0.5 - 1e-7, 0.5 + 1e-7]]))
    np.testing.assert_allclose([low, high], [0.4875, 0.5125])


# ---- the command -------------------------------------------------------------------------------


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
    return explain.main([*map(str, paths), "--out", str(out), "--quiet"])


def test_one_crystal_and_one_run(run, files, tmp_path):
    assert explain_to(tmp_path / "out", run, files[0]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "attention.csv",
        "explain.html",
    ]
    table = pd.read_csv(tmp_path / "out" / "attention.csv")
    assert list(table) == ["atom", "element", "weight"]
    explanation = Predictor.load(run).explain(files[0])
    np.testing.assert_allclose(table.weight, explanation.atom_weights, rtol=1e-6)
    assert table.element.tolist() == explanation.elements
    trained = pd.read_csv(run / "predictions.csv").set_index("id").prediction
    np.testing.assert_allclose(
        explanation.prediction.transformed, trained[[files[0].stem]].to_numpy()[None], atol=1e-4
    )
    assert explanation.prediction.ids == (files[0].stem,)


def test_several_crystals_and_runs(run, files, tmp_path):
    """One table with both in front, each pair as if explained alone."""
    second = untrained_run(tmp_path / "m4", global_attention="cluster-learnable", num_layers=2)
    assert explain_to(tmp_path, run, second, *files[:2], files[3]) == 0
    table = pd.read_csv(tmp_path / "attention.csv")
    assert list(table) == ["crystal", "run", "atom", "element", "weight"]
    sums = table.groupby(["crystal", "run"], sort=False).weight.sum()
    assert [*sums.index] == [(f.stem, r.name) for f in files[:2] for r in (run, second)]
    np.testing.assert_allclose(sums, 1, atol=1e-6)
    page = (tmp_path / "explain.html").read_text()
    assert "GI M-1" in page
    assert "GI M-4" in page
    assert "isolated" in page

    twin = tmp_path / "other" / second.name
    shutil.copytree(second, twin)
    assert explain_to(tmp_path, second, twin, files[0]) == 0
    table = pd.read_csv(tmp_path / "attention.csv")
    assert list(table) == ["run", "atom", "element", "weight"]
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

USE_PAGE = """
const canvas = document.querySelector("canvas");
const pixels = () => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const picture = () => canvas.toDataURL();
const box = canvas.getBoundingClientRect();
const at = (x, y) => ({ clientX: box.left + x * box.width, clientY: box.top + y * box.height });
const send = (type, x, y) => canvas.dispatchEvent(
    new PointerEvent(type, { ...at(x, y), bubbles: true }));
const values = column => [...document.querySelectorAll(`.bonds td:nth-child(${column})`)].map(
    cell => cell.dataset.value);
const weights = () => [...document.querySelectorAll(".atoms td:nth-child(3)")].map(
    cell => +cell.dataset.value);
const result = { pictures: [], sorted: [] };
const note = async () => { await frame(); result.pictures.push(picture()); };

await note();
result.counts = {};
const data = pixels();
for (let k = 0; k < data.length; k += 4) {
    const color = `${data[k]} ${data[k + 1]} ${data[k + 2]}`;
    result.counts[color] = (result.counts[color] ?? 0) + 1;
}
result.copies = +canvas.dataset.atoms;

// Click on a pixel of the first atom's colour.
const colorOfRow = row => getComputedStyle(row.querySelector(".swatch")).backgroundColor;
const color = colorOfRow(document.querySelector("tr[data-atom='0']"));
const rgbOf = k => `rgb(${data[k]}, ${data[k + 1]}, ${data[k + 2]})`;
let pixel = 0;
while (rgbOf(4 * pixel) !== color || rgbOf(4 * pixel + 12) !== color) pixel += 1;
const row = Math.floor(pixel / canvas.width);
const spot = [(pixel % canvas.width) / canvas.width, row / canvas.height];
canvas.setPointerCapture = () => {};  // only real pointers can be captured
send("pointermove", ...spot);
result.tip = document.querySelector(".tip").textContent;
send("pointerdown", ...spot); send("pointerup", ...spot);
await note();
result.clicked = [color, ...[...document.querySelectorAll("tr.chosen")].map(colorOfRow)];
send("pointerdown", 0.5, 0.5); send("pointermove", 0.6, 0.4); send("pointerup", 0.6, 0.4);
await note();
canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -200, cancelable: true }));
await note();
canvas.dispatchEvent(new MouseEvent("dblclick"));
await note();
for (const click of [0, 1]) {
    document.querySelector(".atoms th:nth-child(3) button").click();
    result.sorted.push(weights());
}
document.querySelector("tr[data-atom='1']").click();
document.querySelector("input[value='2']").click();
await note();
result.neighbours = { names: values(1), cells: values(2), distances: values(3), shares: values(4) };
result.title = document.querySelector(".bonds caption").textContent;
result.bonds = +canvas.dataset.bonds;
return result;
"""


@pytest.fixture(scope="module")
def used(run, files, tmp_path_factory):
    """The page of one crystal after turning, zooming, sorting and choosing."""
    out = tmp_path_factory.mktemp("page")
    assert explain_to(out, run, files[0]) == 0
    return out, open_page(out / "explain.html", out, USE_PAGE)


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
    expected = mpl.colormaps["viridis"]((table.weight - low) / (high - low), bytes=True)[:, :3]
    rows = re.findall(
        r'<tr data-atom="(\d+)".*?data-value="([A-Z][a-z]?)".*?data-value="([\d.]+)".*?'
        r"background: ?rgb\((\d+),? (\d+),? (\d+)\)",
        opened.dom,
    )
    assert len(rows) == len(table)
    for atom, element, weight, *color in rows:
        assert element == table.element[int(atom)]
        assert float(weight) == pytest.approx(table.weight[int(atom)], rel=1e-6)
        # Halfway between two of the 256 colours rounding may go either way.
        np.testing.assert_allclose([*map(int, color)], expected[int(atom)], atol=3)
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
    element, atom, _, _, weight = used[1].result["tip"].split()[:5]
    assert element == table.element[int(atom)]
    assert float(weight) == pytest.approx(table.weight[int(atom)], abs=1e-4)


def test_tables_sort_and_follow_the_choice(run, files, used):
    result = used[1].result
    table = pd.read_csv(used[0] / "attention.csv")
    falling = sorted(table.weight, reverse=True)
    np.testing.assert_allclose(result["sorted"], [falling, falling[::-1]], rtol=1e-6)
    edges = Predictor.load(run).explain(files[0]).edge_table()
    edges = edges[edges.atom == 1].sort_values("layer_2", ascending=False, kind="stable")
    shown = result["neighbours"]
    assert result["title"] == f"Neighbours of {table.element[1]} 1 layer 2"
    assert result["bonds"] == len(edges)
    np.testing.assert_allclose([*map(float, shown["shares"])], edges.layer_2, atol=1e-6)
    place = zip(shown["names"], shown["cells"], strict=True)
    assert {f"{name} {cell}".replace("−", "-") for name, cell in place} == {
        f"{edge.neighbour} {' '.join(map(str, edge.image))}" for edge in edges.itertuples()
    }


def test_several_runs_side_by_side(run, files, tmp_path):
    second = untrained_run(tmp_path / "none", global_attention="none")
    assert explain_to(tmp_path, run, second, *files[:2]) == 0
    script = """
        await frame();
        const canvases = [...document.querySelectorAll("canvas")];
        const before = canvases.map(canvas => canvas.toDataURL());
        canvases[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
        await frame();
        return canvases.map((canvas, k) => canvas.toDataURL() !== before[k]);
    """
    opened = open_page(tmp_path / "explain.html", tmp_path, script)
    assert opened.console == []
    # The pictures of one crystal turn together.
    assert opened.result == [True, True, False, False]


def test_an_error_of_a_page_is_noticed(tmp_path):
    (tmp_path / "broken.html").write_text("<body><script>undefined.x</script></body>")
    assert len(open_page(tmp_path / "broken.html", tmp_path).console) == 1
