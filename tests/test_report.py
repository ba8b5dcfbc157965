"""`report.html`: its numbers are those of the run's tables, and it works in a real browser."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from data_prep.build import main as build
from data_prep.errors import Skipped
from data_prep.lookup import find_structures
from gatgnn_jax import report, train
from gatgnn_jax.report import crystal_systems
from gatgnn_jax.report_numbers import compare_settings, skipped_by_reason
from gatgnn_jax.run_directory import RunDirectory
from tests.browser import open_page
from tests.commands import bundled_rows, error_of, untrained_run, write_source
from tests.crystals import rock_salt, without_symmetry

USE_PAGE = """
const all = selector => [...document.querySelectorAll(selector)];
const values = (table, column) => all(`table.${table} td:nth-child(${column})`).map(
    cell => cell.dataset.value);
const texts = selector => all(selector).map(element => element.textContent);
const rows = table => all(`table.${table} tbody tr`).map(
    row => [...row.cells].map(cell => cell.dataset.value));
const send = (canvas, type, x, y) => canvas.dispatchEvent(
    new PointerEvent(type, { clientX: x, clientY: y, bubbles: true }));
await frame();
const result = { title: document.querySelector("h1").textContent, tiles: texts(".tile .value"),
    notes: texts(".tile .note"), points: {}, tips: {}, worst: [] };
for (const panel of all(".panel")) {
    result.points[panel.className] = +(panel.querySelector("canvas")?.dataset.points ?? 0);
}
result.curves = +document.querySelector(".learning canvas").dataset.points;
result.elements = rows("elements");
result.systems = rows("systems");
result.sizes = rows("sizes");
result.skipped = texts("table.skipped td");
result.changed = texts("table.settings tr.changed td:first-child");
result.cells = texts(".cell.known, .cell.few").length;
result.worst = rows("worst").map(row => row[0]);

// The pointer goes all over a panel.
const sweep = (canvas, step, note) => {
    const box = canvas.getBoundingClientRect();
    for (let x = box.left; x < box.right; x += 5)
        for (let y = box.top; y < box.bottom; y += step) {
            send(canvas, "pointermove", x, y);
            note(texts(".tip div"), x, y);
        }
};
const panel = document.querySelector(".panel.test canvas:last-of-type");
let place = null;
sweep(panel, 5, (lines, x, y) => {
    if (!lines.length) return;
    result.tips[lines[0]] = lines.slice(1);
    if (lines[0].endsWith(` ${result.worst[0]}`)) place ??= [x, y];
});
if (place) {
    panel.dispatchEvent(new MouseEvent("click", { clientX: place[0], clientY: place[1] }));
    result.pinned = rows("pinned").map(row => row[0]);
}
result.epochs = {};
sweep(document.querySelector(".learning canvas:last-of-type"), 1000, lines => {
    result.epochs[lines[0]] = lines.slice(1);
});

// The other way round, and another structure.
const picture = () => document.querySelector(".structure canvas")?.toDataURL();
const structure = document.querySelector(".structure canvas");
result.atoms = +(structure?.dataset.atoms ?? 0);
result.bonds = +(structure?.dataset.bonds ?? 0);
document.querySelector("table.worst th:last-child button").click();
result.rising = rows("worst").map(row => row[0]);
const before = picture();
document.querySelector("table.worst tbody tr").click();
await frame();
result.shown = document.querySelector(".structure .title").textContent;
result.changes = picture() !== before;
return result;
"""


@pytest.fixture(scope="module")
def page(run):
    """What training itself wrote."""
    return run / "report.html"


@pytest.fixture(scope="module")
def used(page, tmp_path_factory):
    """The page of a regression after pointing, clicking and sorting."""
    return open_page(page, tmp_path_factory.mktemp("report"), USE_PAGE)


@pytest.fixture(scope="module")
def tested(run):
    """The rows of predictions.csv about test crystals, with formula and absolute error."""
    table = pd.read_csv(run / "predictions.csv")
    cells = {
        row["id"]: Structure.from_dict(row["structure"]).composition for row in bundled_rows(200)
    }
    table["cell"] = table.id.map(cells)
    table["error"] = (table.prediction - table.target).abs()
    return table[table.subset == "test"].set_index("id")


def test_opens_without_errors_or_network(page, used):
    assert used.console == []
    assert not re.search(r"https?:|\ssrc=|@import|url\(|fetch\(|import\(", page.read_text())
    assert page.stat().st_size < 300_000


def test_the_headline_is_that_of_the_summary(run, used):
    summary = json.loads((run / "summary.json").read_text())
    table = pd.read_csv(run / "predictions.csv")
    target = {name: table.target[table.subset == name] for name in ("train", "test")}
    mean = (target["test"] - target["train"].mean()).abs().mean()
    gpa = (table.prediction_gpa - table.target_gpa)[table.subset == "test"].abs().mean()
    assert used.result["title"] == "bulk modulus"
    assert used.result["tiles"][0] == f"{summary['test_mae']:.4f} log10(GPa)"
    assert used.result["tiles"][1].strip() == f"{summary['test_r2']:.4f}"
    assert f"always the training mean: {mean:.4f}" in used.result["notes"][0]
    assert float(used.result["notes"][0].split(" GPa")[0]) == pytest.approx(gpa, rel=5e-3)
    assert f"best epoch {summary['best_epoch']} of 40" in used.result["notes"][2]


def test_every_crystal_and_epoch_is_drawn(run, used):
    assert used.result["points"] == {"panel train": 120, "panel val": 40, "panel test": 40}
    assert used.result["curves"] == 80
    metrics = pd.read_csv(run / "metrics.csv").set_index("epoch")
    shown = {int(k.split()[1]): v for k, v in used.result["epochs"].items()}
    assert sorted(shown) == list(metrics.index)
    for epoch, (own_train, own_val) in shown.items():
        assert float(own_train.split()[1]) == pytest.approx(metrics.train_mae[epoch], rel=1e-3)
        assert float(own_val.split()[1]) == pytest.approx(metrics.val_mae[epoch], rel=1e-3)


def test_pointing_tells_the_crystal(used, tested):
    """Most of the points can be pointed at with steps of 5 pixels; each says what it is."""
    tips = {name.rsplit(" ", 1)[1]: (name, lines) for name, lines in used.result["tips"].items()}
    assert set(tips) <= set(tested.index)
    assert len(tips) > 30
    for name, (title, (true, predicted)) in tips.items():
        own = tested.loc[name]
        assert title.startswith(f"{own.cell.reduced_formula} ·")
        for text, log, gpa in (
            (true, own.target, own.target_gpa),
            (predicted, own.prediction, own.prediction_gpa),
        ):
            shown = [float(n) for n in re.findall(r"[\d.]+", text.replace("log10", ""))]
            np.testing.assert_allclose(shown, [gpa, log], rtol=6e-3)
    assert used.result["pinned"] == used.result["worst"][:1]


def test_the_worst_come_first_and_are_drawn(used, tested):
    expected = tested.error.sort_values(ascending=False).index[:12].tolist()
    assert used.result["worst"] == expected
    assert used.result["rising"] == expected[::-1]
    assert used.result["atoms"] >= tested.cell[expected[0]].num_atoms
    assert used.result["bonds"] > 0
    assert used.result["changes"]
    assert expected[-1] in used.result["shown"]


def test_errors_by_element_system_and_size(used, tested):
    shown = {name: (int(n), float(error)) for name, n, _, error in used.result["elements"]}
    symbols = {element.symbol for cell in tested.cell for element in cell}
    assert set(shown) == symbols
    assert used.result["cells"] == len(symbols)
    for symbol in symbols:
        own = tested.error[[symbol in cell for cell in tested.cell]]
        assert shown[symbol] == (len(own), pytest.approx(own.mean(), rel=1e-4))
    for groups in (used.result["systems"], used.result["sizes"]):
        counts, errors = (np.array([float(row[k]) for row in groups]) for k in (1, 2))
        assert counts.sum() == len(tested)
        mean = tested.error.mean()
        np.testing.assert_allclose(counts @ errors / counts.sum(), mean, rtol=1e-4)


def test_settings_that_differ_from_the_preset(run, used):
    changed = ["batch size", "epochs", "heads", "neurons", "num layers"]
    assert used.result["changed"] == changed
    preset, rows = compare_settings(RunDirectory(run).config())
    assert preset == "paper-cgcnn"
    assert [row[1:] for row in rows if row[1] == "epochs"] == [["epochs", 40, 500]]


def test_crystal_systems():
    structures = {3: rock_salt(), 5: without_symmetry()}
    assert crystal_systems(structures) == {3: "cubic", 5: "triclinic"}


def test_reasons_meet_if_only_numbers_differ():
    skipped = [
        Skipped("a", "no value of gap"),
        Skipped("b", "gap = -2: log10 needs a value above 0"),
        Skipped("c", "gap = -3.5: log10 needs a value above 0"),
    ]
    assert skipped_by_reason(skipped) == [
        ["gap = -2: log10 needs a value above 0", 2, ["b", "c"]],
        ["no value of gap", 1, ["a"]],
    ]


# ---- where structures come from ----------------------------------------------------------------


def test_structures_are_found_by_id(tmp_path):
    rows = bundled_rows(4)
    known = {row["id"]: Structure.from_dict(row["structure"]) for row in rows}
    ids = [row["id"] for row in rows[1:3]]
    lines = write_source(tmp_path / "lines.jsonl", 4, lambda number, old: {"k": 1.0})
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "id_prop.csv").write_text("".join(f"{name},1\n" for name in known))
    for name, structure in known.items():
        (folder / f"{name}.cif").write_text(str(CifWriter(structure)))
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps([{"id": row["id"], "structure": row["structure"]} for row in rows]))
    for source in (None, lines, folder, whole):
        found = find_structures(source, {*ids, "absent"})
        assert sorted(found) == sorted(ids)
        for name in ids:
            assert found[name].composition == known[name].composition
    unnamed = tmp_path / "unnamed.jsonl"
    unnamed.write_text("".join(json.dumps({"structure": row["structure"]}) + "\n" for row in rows))
    assert list(find_structures(unnamed, {"line 2"})) == ["line 2"]

    assert build([str(lines), "--out", str(tmp_path / "graphs"), "--quiet"]) == 0
    assert find_structures(tmp_path / "graphs", ids) == {}


# ---- the command, and what can go wrong --------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run as if finished, on a class and a modulus of 20 crystals, with known predictions."""
    folder = tmp_path_factory.mktemp("two")

    def targets(number, old):
        return {"is_metal": number % 2, "bulk_modulus": old["bulk_modulus"]}

    source = write_source(folder / "data.jsonl", 20, targets)
    run = untrained_run(folder / "run", ("is_metal", "bulk_modulus"), source)
    rows = bundled_rows(20)
    # Crystal 19 is the only one on the wrong side; 10 to 19 are for the test.
    probability = np.where(np.arange(20) % 2, 0.8, 0.3) - 0.6 * (np.arange(20) == 19)
    modulus = np.log10([row["targets"]["bulk_modulus"] for row in rows])
    pd.DataFrame(
        {
            "id": [row["id"] for row in rows],
            "subset": ["train"] * 6 + ["val"] * 4 + ["test"] * 10,
            "target_is_metal": np.arange(20) % 2,
            "prediction_is_metal": (probability > 0.5).astype(int),
            "probability_is_metal": probability,
            "target_bulk_modulus": modulus,
            "prediction_bulk_modulus": modulus + np.where(np.arange(20) == 12, 0.5, 0.1),
        }
    ).to_csv(run / "predictions.csv", index=False)
    epochs = {"epoch": [1, 2], "train_error_is_metal": [0.5, 0.0], "train_mae_bulk_modulus": 1.0}
    epochs |= {"val_accuracy_is_metal": [0.5, 0.75], "val_mae_bulk_modulus": [0.3, 0.2]}
    pd.DataFrame(epochs).to_csv(run / "metrics.csv", index=False)
    (run / "skipped.csv").write_text("id,reason\n<script>,no value of <b>is_metal</b>\n")
    summary = {"best_epoch": 2, "epochs": 2, "seconds": 7200.0, "crystals_per_second": 10.0}
    summary |= {
        "parameters": 1234,
        "device": "1 x cpu",
        "skipped": 1,
        "python": "3",
        "versions": {},
    }
    RunDirectory(run).write_json("summary.json", summary)
    assert report.main([str(run), "--quiet"]) == 0
    return run


def test_a_class_and_a_number(two, tmp_path):
    script = USE_PAGE.replace(
        "return result;",
        """
        result.confusion = rows("confusion").map(row => row.slice(1).map(Number));
        document.querySelector(".top input[value='1']").click();
        await frame();
        result.other = [document.querySelector("h1").textContent, texts(".tile .value")[0],
            rows("worst")[0][0]];
        return result;""",
    )
    opened = open_page(two / "report.html", tmp_path, script)
    assert opened.console == []
    result = opened.result
    assert result["tiles"][0].strip() == "0.9000"
    # One of 5 positives comes after all 5 negatives: 20 of 25 pairs are in order.
    assert result["tiles"][1].strip() == "0.8000"
    assert result["tiles"][2].strip() == "2.00 h"
    assert result["confusion"] == [[5, 0], [1, 4]]
    assert result["worst"][0] == bundled_rows(20)[19]["id"]
    # Nothing, then all at 0.8, at 0.3 and at 0.2.
    assert result["points"]["panel test"] == 4
    assert "probability 0.800 or more" in result["tips"]
    assert result["tips"]["probability 0.800 or more"] == [
        "true positives 0.800",
        "false positives 0.00",
    ]
    assert result["skipped"] == ["no value of <b>is_metal</b>", "1", "<script>"]
    row = bundled_rows(20)[12]["id"]
    assert result["other"] == ["bulk modulus", "0.1400 log10(GPa)", row]


def test_makes_the_same_page_again(run, page, tmp_path):
    twin = tmp_path / run.name
    shutil.copytree(run, twin, ignore=shutil.ignore_patterns("checkpoints", "report.html"))
    assert report.main([str(twin), "--quiet"]) == 0
    assert (twin / "report.html").read_bytes() == page.read_bytes()


def test_a_graph_dataset_has_no_structures(run, tmp_path):
    """The page says so, and is otherwise complete."""
    source = write_source(tmp_path / "lines.jsonl", 200, lambda number, old: old)
    assert build([str(source), "--out", str(tmp_path / "graphs"), "--quiet"]) == 0
    twin = tmp_path / "twin"
    shutil.copytree(run, twin, ignore=shutil.ignore_patterns("checkpoints", "report.html"))
    config = RunDirectory(twin).config()
    data = replace(config.data, source=str(tmp_path / "gone"), limit=None)
    RunDirectory(twin).write_text("config.json", replace(config, data=data).to_json())
    assert report.main([str(twin), "--data", str(tmp_path / "graphs"), "--quiet"]) == 0
    opened = open_page(twin / "report.html", tmp_path)
    assert opened.console == []
    assert "<h2>Error by size" in opened.dom
    assert "<h2>Error by crystal system" not in opened.dom
    assert "no structure can be shown" in opened.dom


def test_bad_input_is_explained(run, two, tmp_path, capsys):
    unfinished = untrained_run(tmp_path / "unfinished")
    twin = tmp_path / "twin"
    shutil.copytree(two, twin)
    (twin / "metrics.csv").unlink()
    few = write_source(tmp_path / "few.jsonl", 10, lambda number, old: old)
    for arguments, words in [
        ([tmp_path], "is no run"),
        ([unfinished], "has no summary.json"),
        ([twin], "metrics.csv is missing"),
        ([run, "--data", tmp_path / "gone"], "is gone: if it was moved, name --data"),
        ([run, "--data", few], "has no mp-"),
    ]:
        assert words in error_of(report.main, [*arguments, "--quiet"], capsys)


def test_a_report_that_fails_spoils_no_training(run, tmp_path, capsys, monkeypatch):
    twin = Path(shutil.copytree(run, tmp_path / "twin"))
    for name in ("summary.json", "report.html"):
        (twin / name).unlink()

    def failing(*arguments):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(train, "write_report", failing)
    assert train.main(["--resume", str(twin)]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "no report.html (ZeroDivisionError: division by zero)" in output
    assert "python -m gatgnn_jax.report" in output
    assert (twin / "summary.json").exists()
