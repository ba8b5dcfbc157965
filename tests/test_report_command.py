"""`python -m gatgnn_jax.report`: several properties, data that moved, and what can go wrong."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep.build import main as build
from gatgnn_jax import report, train
from gatgnn_jax.pages import report as pages_report
from gatgnn_jax.runs.directory import RunDirectory
from tests.browser import open_page
from tests.commands import bundled_rows, error_of, untrained_run, write_source
from tests.page_scripts import script


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """As if an ensemble was trained on a class and a modulus of 20 crystals: known predictions."""
    folder = tmp_path_factory.mktemp("two")

    def targets(number, old):
        return {"is_metal": number % 2, "bulk_modulus": old["bulk_modulus"]}

    source = write_source(folder / "data.jsonl", 20, targets)
    run = untrained_run(folder / "run", ("is_metal", "bulk_modulus"), source)
    config = RunDirectory(run).config()
    config = replace(config, train=replace(config.train, ensemble=2))
    RunDirectory(run).write_text("config.json", config.to_json())
    rows = bundled_rows(20)
    # Crystal 19 is the only one on the wrong side; 10 to 19 are for the test.
    probability = np.where(np.arange(20) % 2, 0.8, 0.3) - 0.6 * (np.arange(20) == 19)
    names = np.array(["insulator", "metal"])
    modulus = np.log10([row["targets"]["bulk_modulus"] for row in rows])
    pd.DataFrame(
        {
            "id": [row["id"] for row in rows],
            "subset": ["train"] * 6 + ["val"] * 4 + ["test"] * 10,
            "target_is_metal": names[np.arange(20) % 2],
            "prediction_is_metal": names[(probability > 0.5).astype(int)],
            "probability_is_metal": probability,
            "uncertainty_is_metal": 0.1,
            "target_bulk_modulus": modulus,
            "prediction_bulk_modulus": modulus + np.where(np.arange(20) == 12, 0.5, 0.1),
            "uncertainty_bulk_modulus": 0.2,
        }
    ).to_csv(run / "predictions.csv", index=False)
    epochs = {"epoch": [1, 2], "train_error_is_metal": [0.5, 0.0], "train_mae_bulk_modulus": 1.0}
    epochs |= {"val_accuracy_is_metal": [0.5, 0.75], "val_mae_bulk_modulus": [0.3, 0.2]}
    pd.DataFrame(epochs).to_csv(run / "metrics.csv", index=False)
    (run / "skipped.csv").write_text("id,reason\n<script>,no value of <b>is_metal</b>\n")
    summary = {"best_epoch": 2, "epochs": 2, "seconds": 7200.0, "crystals_per_second": 10.0}
    summary |= {"parameters": 1234, "device": "1 x cpu", "skipped": 1, "python": "3"}
    members = {"test_accuracy_is_metal": [0.8, 0.9], "test_mae_bulk_modulus": [0.1, 0.3]}
    summary |= {"versions": {}, "members": members}
    RunDirectory(run).write_json("summary.json", summary)
    assert report.main([str(run), "--quiet"]) == 0
    return run


def test_a_class_and_a_number(two, tmp_path):
    end = """
        const told = () => [texts(".card:has(.spread) .muted")[0],
            ...rows("networks").map(row => +row[1])];
        result.uncertainty = [told()];
        result.confusion = rows("confusion").map(row => row.slice(1).map(Number));
        document.querySelector(".top input[value='1']").click();
        await frame();
        result.other = [document.querySelector("h1").textContent, texts(".tile .value")[0],
            rows("worst")[0][0]];
        result.uncertainty.push(told());
        return result;
    """
    opened = open_page(two / "report.html", tmp_path, script("report", end))
    assert opened.console == []
    result = opened.result
    assert result["tiles"][0].strip() == "0.9000"
    # All insulators and four of five metals are right.
    assert result["tiles"][1].strip() == "0.9000"
    # One of 5 positives comes after all 5 negatives: 20 of 25 pairs are in order.
    assert "AUC 0.8000" in result["notes"][1]
    assert result["tiles"][2].strip() == "2.00 h"
    assert result["confusion"] == [[5, 0], [1, 4]]
    assert result["worst"][0] == bundled_rows(20)[19]["id"]
    # Nothing, then all at 0.8, at 0.3 and at 0.2.
    assert result["points"]["panel test"] == 4
    assert result["tips"]["metal: probability 0.800 or more"] == [
        "true positives 0.800",
        "false positives 0.00",
    ]
    assert result["skipped"] == ["no value of <b>is_metal</b>", "1", "<script>"]
    row = bundled_rows(20)[12]["id"]
    assert result["other"] == ["bulk modulus", "0.1400 log10(GPa)", row]
    # Nine errors of 0.1 and one of 0.5, where 0.2 is expected; then both networks and their mean.
    within = (
        "90 % of the test errors lie within it (68 % expected), 90 % within twice as much (95 %)"
    )
    assert result["uncertainty"] == [
        ["of the test crystals", 0.8, 0.9, 0.9],
        [within, 0.1, 0.3, pytest.approx(0.14)],
    ]


def test_a_class_and_a_number_side_by_side(two, tmp_path):
    """Two runs of both: accuracies of one property, errors of the other."""
    twin = shutil.copytree(two, tmp_path / "twin", ignore=shutil.ignore_patterns("checkpoints"))
    page = tmp_path / "page.html"
    assert report.main([str(two), str(twin), "--out", str(page), "--quiet"]) == 0
    use = """
        await frame();
        const scores = () => [...document.querySelectorAll("table.runs tbody tr")].map(
            row => +row.cells[1].dataset.value);
        const shown = [scores(), document.querySelectorAll(".side-by-side tbody tr").length];
        document.querySelector(".top input[value='1']").click();
        await frame();
        return [...shown, scores(), document.querySelector("h1").textContent];
    """
    opened = open_page(page, tmp_path, use)
    assert opened.console == []
    # One of ten on the wrong side; nine errors of 0.1 and one of 0.5.
    assert opened.result == [[0.9] * 2, 10, [pytest.approx(0.14)] * 2, "bulk modulus"]


def test_makes_the_same_page_again(run, tmp_path):
    """The page that training itself wrote."""
    twin = tmp_path / run.name
    shutil.copytree(run, twin, ignore=shutil.ignore_patterns("checkpoints", "report.html"))
    assert report.main([str(twin), "--quiet"]) == 0
    assert (twin / "report.html").read_bytes() == (run / "report.html").read_bytes()


def test_missing_crystal_systems_are_explained(run, tmp_path, monkeypatch):
    """Cells that are too large to look for their symmetry are counted."""
    twin = tmp_path / "twin"
    shutil.copytree(run, twin, ignore=shutil.ignore_patterns("checkpoints", "report.html"))
    monkeypatch.setattr(pages_report, "MAX_ATOMS", 8)
    assert report.main([str(twin), "--quiet"]) == 0
    table = pd.read_csv(twin / "predictions.csv")
    tested = set(table.id[table.subset == "test"])
    atoms = [len(row["structure"]["sites"]) for row in bundled_rows(200) if row["id"] in tested]
    large = sum(count > 8 for count in atoms)
    assert 0 < large < len(atoms)
    opened = open_page(twin / "report.html", tmp_path)
    note = f"of {len(atoms) - large} of {len(atoms)} test crystals; {large} with more than 8 atoms"
    assert note in opened.dom


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
    damaged = Path(shutil.copytree(two, tmp_path / "damaged"))
    (damaged / "predictions.csv").write_text("id,subset\na,test\n")
    few = write_source(tmp_path / "few.jsonl", 10, lambda number, old: old)
    for arguments, words in [
        ([tmp_path], "is no run"),
        ([unfinished], "has no summary.json"),
        ([twin], "metrics.csv is missing"),
        ([damaged], "is damaged"),
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

    monkeypatch.setattr(pages_report, "write_report", failing)
    assert train.main(["--resume", str(twin)]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "no report.html (ZeroDivisionError: division by zero)" in output
    assert "python -m gatgnn_jax.report" in output
    assert (twin / "summary.json").exists()
