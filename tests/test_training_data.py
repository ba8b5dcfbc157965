"""What training makes of the data it is given, and says of it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gatgnn_jax import evaluate, train
from gatgnn_jax.runs.directory import RunDirectory
from tests.browser import open_page
from tests.commands import TINY, bundled_rows, error_of, evaluate_to, train_run, write_source

SHORT = ["--epochs", "2", *TINY]
ROWS = bundled_rows(24)
IDS = [row["id"] for row in ROWS]


def write(path: Path, targets: Callable[[int], Mapping[str, Any]]) -> Path:
    return write_source(path, len(ROWS), lambda number, _: targets(number))


@pytest.mark.slow
def test_values_without_a_name_are_plain_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They go by the name of their folder: no unit, no logarithm, whatever their sign."""
    folder = tmp_path / "hardness_data"
    folder.mkdir()
    for row in ROWS:
        path = folder / f"{row['id']}.vasp"
        path.write_text(poscar(row))
    values = {name: float(number - 5) for number, name in enumerate(IDS)}
    (folder / "id_prop.csv").write_text("".join(f"{k},{v}\n" for k, v in values.items()))
    run = tmp_path / "run"
    assert train.main(["--data", str(folder), "--run-dir", str(run), *SHORT]) == 0
    output = capsys.readouterr().out
    assert f"hardness_data: the only column of {folder}" in output
    assert "hardness_data: test MAE" in output
    (p,) = RunDirectory(run).config().properties
    assert (p.name, p.column, p.unit, p.transform) == ("hardness_data", "target", "", "none")
    table = pd.read_csv(run / "predictions.csv")
    assert dict(zip(table.id, table.target, strict=True)) == values
    assert "prediction_gpa" not in table
    # Whoever says what they are is believed.
    modulus = train_run(tmp_path / "gpa", "--data", folder, "--property", "bulk_modulus", *SHORT)
    assert RunDirectory(modulus).config().properties[0].transform == "log10"
    assert len(pd.read_csv(modulus / "skipped.csv")) == 6  # -5 to 0 have no logarithm


def poscar(row: Mapping[str, Any]) -> str:
    from pymatgen.core import Structure

    return Structure.from_dict(row["structure"]).to(fmt="poscar")


def test_several_columns_and_no_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "x.jsonl", lambda number: {"gap": number, "x": 2 * number})
    message = error_of(train.main, ["--data", source, *SHORT], capsys)
    assert "choose with --property what to predict. It has: gap, x." in message


@pytest.fixture(scope="module")
def untested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks trained on half of the crystals, without a test."""
    tmp = tmp_path_factory.mktemp("untested")
    source = write(
        tmp / "x.jsonl", lambda number: {"x": number, "is_metal": number % 2} if number else {}
    )
    split = {"train": IDS[:8], "val": IDS[8:12]}
    (tmp / "split.json").write_text(json.dumps(split))
    options = ["--data", source, "--split", tmp / "split.json", "--property", "x,is_metal"]
    return train_run(tmp / "run", *options, *SHORT, "--ensemble", "2")


@pytest.mark.slow
def test_trains_without_a_test(untested: Path, tmp_path: Path) -> None:
    split = json.loads((untested / "split.json").read_text())
    assert split == {"train": sorted(IDS[1:8], key=IDS.index), "val": IDS[8:12], "test": []}
    summary = json.loads((untested / "summary.json").read_text())
    assert summary["crystals"] == {"train": 7, "val": 4, "test": 0}
    assert not [name for name in summary if name.startswith("test_")]
    table = pd.read_csv(untested / "predictions.csv")
    assert table.subset.tolist() == ["train"] * 7 + ["val"] * 4
    error = (table.prediction_x - table.target_x)[table.subset == "val"].abs().mean()
    assert summary["val_mae_x"] == pytest.approx(error, rel=1e-5)
    for name in ("parity.png", "learning_curve.png", "report.html"):
        assert (untested / name).stat().st_size > 1000
    # All that is in no subset, or has no value, is in the report.
    skipped = pd.read_csv(untested / "skipped.csv").set_index("id").reason
    assert skipped[IDS[0]].startswith("no value of x or is_metal")
    assert (skipped[IDS[12:]] == "in no subset of the split").all()
    assert len(skipped) == 13
    assert evaluate_to(tmp_path / "all", untested, "--subset", "all") == 0
    again = (tmp_path / "all" / "predictions.csv").read_bytes()
    assert again == (untested / "predictions.csv").read_bytes()


def test_evaluation_says_that_there_is_no_test(
    untested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "has no test crystals" in error_of(evaluate.main, [untested], capsys)


def test_the_report_shows_validation_where_there_is_no_test(untested: Path, tmp_path: Path) -> None:
    look = """
        const texts = selector => [...document.querySelectorAll(selector)].map(e => e.textContent);
        const result = { names: texts(".tile .name"), panels: texts(".panel .name") };
        document.querySelector(".top input[value='1']").click();
        await frame();
        return { ...result, others: texts(".panel .name") };
    """
    opened = open_page(untested / "report.html", tmp_path, look)
    assert opened.console == []
    assert opened.result["names"][0] == "Validation error (MAE)"
    parity, confusion = (opened.result[name] for name in ("panels", "others"))
    assert [name.split()[0] for name in parity] == ["Training", "Validation"]
    assert [name.split()[0] for name in confusion] == ["Validation", "Confusion"]


def test_what_was_not_used_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "x.jsonl", lambda number: {"x": number, "y": number or "abc"})
    split = {"train": IDS[:4], "val": IDS[4:6], "test": IDS[6:8]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    options = ["--data", source, "--split", tmp_path / "split.json", "--property", "x,y"]
    arguments = [*options, "--run-dir", tmp_path / "run", *SHORT]
    assert train.main([*map(str, arguments)]) == 0
    output = capsys.readouterr().out
    assert f"in no subset, so left out: 16 crystals ({IDS[8]}, {IDS[9]}, {IDS[10]}, …)" in output
    assert f"1 value of y left out; {IDS[0]}: y = 'abc' is not a number" in output
    (tmp_path / "split.json").write_text(json.dumps(split | {"val": ["nobody", IDS[4]]}))
    assert "the data do not have 1 crystal (nobody)" in error_of(train.main, options, capsys)


def test_a_constant_property_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also beside others, and where it varies in the other subsets only."""
    source = write(tmp_path / "x.jsonl", lambda number: {"x": number, "y": number // 6 or 1})
    split = {"train": IDS[:12], "val": IDS[12:18], "test": IDS[18:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    options = ["--data", source, "--split", tmp_path / "split.json", *SHORT]
    for names in ("x,y", "y"):
        message = error_of(train.main, [*options, "--property", names], capsys)
        assert "y is 1 in all 12 crystals of train: there is nothing to learn" in message
    (tmp_path / "split.json").write_text(json.dumps(split | {"train": IDS[:1]}))
    message = error_of(train.main, [*options, "--property", "x"], capsys)
    assert "a single crystal of train has a value of x: give more" in message


def test_validation_has_a_class_that_is_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else no epoch is better than another, and untrained weights would be the best."""
    source = write(tmp_path / "x.jsonl", lambda number: {"phase": "abc"[min(number // 6, 2)]})
    split = {"train": IDS[:12], "val": IDS[12:18], "test": IDS[18:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    options = ["--data", source, "--split", tmp_path / "split.json", *SHORT]
    message = error_of(train.main, options, capsys)
    assert "no crystal of val has a class of phase that train has" in message


@pytest.mark.slow
def test_far_from_zero_is_as_good_as_near(tmp_path: Path) -> None:
    """Values that differ by thousandths, from -535,000 on: the same training, shifted."""
    source = write(
        tmp_path / "x.jsonl",
        lambda number: {"near": 0.001 * number, "far": 0.001 * number - 535_000},
    )
    tables = {
        name: pd.read_csv(
            train_run(tmp_path / name, "--data", source, "--property", name, *SHORT)
            / "predictions.csv",
            index_col="id",
        )
        for name in ("near", "far")
    }
    near, far = tables["near"], tables["far"]
    assert near.prediction.std() > 1e-5
    for column in ("target", "prediction"):
        np.testing.assert_allclose(far[column] + 535_000, near[column], rtol=0, atol=1e-7)
