"""`report.html` of a training: its numbers are those of the tables, and it works in a browser."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure

from data_prep.errors import Skipped
from gatgnn_jax.pages.report import crystal_systems
from gatgnn_jax.pages.report_numbers import compare_settings, skipped_by_reason
from gatgnn_jax.runs.directory import RunDirectory
from tests.browser import open_page
from tests.commands import bundled_rows
from tests.crystals import rock_salt, without_symmetry
from tests.page_scripts import script


@pytest.fixture(scope="module")
def page(run):
    """What training itself wrote."""
    return run / "report.html"


@pytest.fixture(scope="module")
def used(page, tmp_path_factory):
    """The page of a regression after pointing, clicking and sorting."""
    return open_page(page, tmp_path_factory.mktemp("report"), script("report"))


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
    assert not {"Uncertainty", "Spread"} & set(used.result["heads"])  # it has none
    assert "±" not in str(used.result)


def test_the_headline_is_that_of_the_summary(run, used):
    summary = json.loads((run / "summary.json").read_text())
    table = pd.read_csv(run / "predictions.csv")
    target = {name: table.target[table.subset == name] for name in ("train", "test")}
    mean = (target["test"] - target["train"].mean()).abs().mean()
    gpa = (table.prediction_gpa - table.target_gpa)[table.subset == "test"].abs().mean()
    assert used.result["title"] == "bulk modulus"
    assert used.result["tiles"][0] == f"{summary['test_mae']:.4f} log10(GPa)"
    assert used.result["tiles"][1].strip() == f"{summary['test_r2']:.4f}"
    assert f"baseline (mean) {mean:.4f}" in used.result["notes"][0]
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
    preset, rows = compare_settings(RunDirectory(run).config(), 120)
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
