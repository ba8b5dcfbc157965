"""The paper's studies as commands: what they train, record, skip and write down."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.paper import __main__ as paper
from benchmarks.paper import results
from benchmarks.paper.networks import compare, models_markdown
from benchmarks.paper.paired import above, compare_methods
from benchmarks.paper.studies import STUDIES, in_full
from benchmarks.paper.trainings import Place, Sample, Training, sample
from data_prep.cache import BUNDLED
from data_prep.errors import UserError
from tests.commands import TINY, untrained_run

TRAINING = Training(
    "bulk_modulus", "GATGNN", "crystals.jsonl.gz", Sample(24, 8, 8), "paper-cgcnn", 1,
    tuple(TINY), 0.047, 2041,
)  # fmt: skip


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The first 60 of the bundled crystals as a file of a study."""
    folder = tmp_path / "data"
    folder.mkdir()
    with gzip.open(BUNDLED, "rt") as lines:
        rows = [json.loads(next(lines)) for _ in range(60)]
    for i, row in enumerate(rows):
        row["lists"] = ["even"] if i % 2 == 0 else []
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "crystals.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


@pytest.mark.slow
def test_a_study_is_recorded_and_goes_on_where_it_was(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(paper.STUDIES, "table2", lambda: [TRAINING])
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- table2 -->\nold\n<!-- end table2 -->\nafter\n")
    monkeypatch.setattr(paper, "DOCUMENTS", (document,))

    def run(*seeds: int) -> dict[str, object]:
        paper.main(
            paper.Options(
                "table2", data_dir, seeds, jobs=2, out=tmp_path / "results", runs=tmp_path / "runs"
            )
        )
        [row] = json.loads((tmp_path / "results" / "table2.json").read_text())
        return row

    first = run(1)
    assert (first["seeds"], first["training_size"], first["paper_mae"]) == ([1], 24, 0.047)
    assert first["test_mae_std"] is None
    assert first["settings"]["train"]["epochs"] == 1 and len(first["machine"]) == 1
    # A row of a version that did not keep the commit.
    path = tmp_path / "results" / "table2.json"
    path.write_text(json.dumps([{k: v for k, v in first.items() if k != "commit"}]))
    both = run(0, 1)
    assert both["seeds"] == [0, 1]
    assert len(both["commit"]) == 2 and both["commit"][1] is None
    errors = []
    for seed in (0, 1):
        summary = Place(data_dir, tmp_path / "runs").run(TRAINING, seed) / "summary.json"
        errors.append(json.loads(summary.read_text())["test_mae"])
    assert both["test_mae"] == errors
    assert both["test_mae_mean"] == pytest.approx(np.mean(errors))
    assert both["test_mae_std"] == pytest.approx(np.std(errors, ddof=1))
    text = document.read_text()
    assert text.startswith("before\n<!-- table2 -->\n| property |")
    assert text.endswith("<!-- end table2 -->\nafter\n")
    assert f"{np.mean(errors):.4f} ± " in text and "old" not in text

    # What is recorded is not trained again, even if its runs are gone.
    monkeypatch.setattr(paper, "train_all", lambda place, wanted, jobs: iter(wanted))
    monkeypatch.setattr(results, "record", lambda *_: pytest.fail("trained again"))
    assert run(0, 1) == both


def test_a_sample_is_of_the_list_and_its_subsets_are_apart(data_dir: Path) -> None:
    data = data_dir / "crystals.jsonl.gz"
    drawn = sample(data, Sample(10, 4, 4, of="even"))
    with gzip.open(data, "rt") as lines:
        even = {row["id"] for row in map(json.loads, lines) if row["lists"]}
    everything = [i for ids in drawn.values() for i in ids]
    assert [len(drawn[name]) for name in ("train", "val", "test")] == [10, 4, 4]
    assert len(set(everything)) == 18 and set(everything) <= even
    # A smaller sample's test crystals never train in a larger one.
    larger = sample(data, Sample(18, 6, 6, of="even"))
    assert not set(larger["train"]) & set(drawn["test"])


def test_several_files_of_crystals_are_one(data_dir: Path, tmp_path: Path) -> None:
    with gzip.open(data_dir / "more.jsonl.gz", "wt") as more:
        more.write('{"id": "another"}\n')
    training = Training("bulk_modulus", "A", "crystals.jsonl.gz+more.jsonl.gz", None, "best", 1)
    [data, *_] = Place(data_dir, tmp_path / "runs").command(training, 0)
    with gzip.open(data.partition("=")[2], "rt") as lines:
        ids = [json.loads(line)["id"] for line in lines]
    assert len(ids) == 61 and ids[-1] == "another"


def test_every_study_names_its_trainings_apart() -> None:
    for study in (*STUDIES.values(), *paper.NETWORKS.values()):
        trainings = study()
        assert len({t.name for t in trainings}) == len(trainings)
        assert all(in_full(t).epochs == 500 for t in trainings)


def test_the_held_out_crystal_of_table_5_is_in_no_training(data_dir: Path, tmp_path: Path) -> None:
    with gzip.open(data_dir / "crystals.jsonl.gz", "rt") as lines:
        ids = [json.loads(line)["id"] for line in lines]
    split = {"train": ids[:30], "val": ids[30:45], "test": ids[45:]}
    (data_dir / "split.json").write_text(json.dumps(split))
    training = Training(
        "bulk_modulus", "AGAT", "crystals.jsonl.gz", "split.json", "paper-cgcnn", 1,
        held_out=(ids[3], ids[31]), train_size=26,
    )  # fmt: skip
    arguments = Place(data_dir, tmp_path / "runs").command(training, 0)
    [path] = [a.partition("=")[2] for a in arguments if a.startswith("--split=")]
    used = json.loads(Path(path).read_text())
    assert set(used["train"]) <= set(split["train"]) - {ids[3]} and len(used["train"]) == 26
    assert used["val"] == [i for i in split["val"] if i != ids[31]]
    assert used["test"] == split["test"]


def test_a_training_of_several_properties_has_a_row_of_each(tmp_path: Path) -> None:
    training = Training("bulk_modulus,poisson_ratio", "A", "crystals.jsonl.gz", None, "best", 3)
    place = Place(tmp_path, tmp_path / "runs")
    rows: list[results.Row] = []
    for seed in (1, 0):
        path = place.run(training, seed)
        path.parent.mkdir(exist_ok=True)
        untrained_run(path, ("bulk_modulus", "poisson_ratio"))
        summary = {
            "best_epoch": 2, "epochs": 3, "seconds": 5.0, "crystals_per_second": 100.0,
            "crystals": {"train": 8, "test": 2}, "parameters": 7, "versions": {}, "python": "3",
        }  # fmt: skip
        # Absolute errors of 1 and 3: one standard deviation is √2, over √2 crystals.
        table = "id,subset,target_bulk_modulus,prediction_bulk_modulus"
        table += ",target_poisson_ratio,prediction_poisson_ratio\na,train,0,9,0,9\n"
        (path / "predictions.csv").write_text(
            table + "b,test,2,1,2,2\nc,test,2,5,2,2\nd,test,,5,2,2\n"
        )
        for number, name in enumerate(("bulk_modulus", "poisson_ratio")):
            summary |= {f"test_mae_{name}": seed + number / 10, f"val_mae_{name}": 0.5}
        (path / "summary.json").write_text(json.dumps(summary))
        results.record(rows, training, seed, place)
    assert rows[0]["test_standard_error"] == pytest.approx([1.0, 1.0])
    assert rows[1]["test_standard_error"] == [0.0, 0.0]
    found = [(row["property"], row["unit"], row["seeds"], row["test_mae"]) for row in rows]
    assert found == [
        ("bulk_modulus", "log10(GPa)", [0, 1], [0.0, 1.0]),
        ("poisson_ratio", "", [0, 1], [0.1, 1.1]),
    ]


def test_methods_are_compared_crystal_by_crystal(tmp_path: Path) -> None:
    """By hand: errors of A 1, 1, 1 and of B 2, 3, 4 with seed 0, of B 2, 1, 3 with seed 1."""
    place = Place(tmp_path, tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    errors = {"A": ([1, 1, 1], [1, 1, 1]), "B": ([2, 3, 4], [2, 1, 3]), "C": ([5, 5, 5], [])}
    rows = []
    for method, of_seeds in errors.items():
        for seed, own in enumerate(of_seeds):
            if not own:  # its run is gone
                continue
            path = place.run_named(method, seed)
            untrained_run(path, ("bulk_modulus",))
            lines = [f"{i},test,0,{e}" for i, e in zip("xyz", own, strict=True)]
            if seed == 1:  # the order of the rows is nobody's promise
                lines.reverse()
            table = "\n".join(["id,subset,target,prediction", "w,val,0,9", *lines])
            (path / "predictions.csv").write_text(table + "\n")
            (path / "summary.json").write_text("{}")
        rows.append({
            "name": method, "method": method, "property": "bulk_modulus", "epochs": 5,
            "seeds": [0, 1],
        })  # fmt: skip
    compare_methods(rows, place, "A")
    a, b, c = rows
    assert a["above_first"] == a["its_standard_error"] == 0 and results.difference(a) == "–"
    # Means over seeds 2, 2, 3.5, so that differences are 1, 1, 2.5; by seed 2 and 1.
    assert b["above_first"] == pytest.approx(1.5) and b["compared_crystals"] == 3
    of_crystals, of_seeds = np.std([1, 1, 2.5], ddof=1) / 3**0.5, 0.5
    assert b["its_standard_error"] == pytest.approx(np.hypot(of_crystals, of_seeds))
    assert results.difference(b) == "+1.5000 ± 0.7071"
    assert "above_first" not in c and results.difference(c) == "–"
    assert results.difference({"above_first": 0.1, "its_standard_error": 0.06}) == "level"


def test_methods_are_compared_on_the_crystals_that_both_have() -> None:
    """One network's graphs may leave out crystals that another's have."""
    own, first = pd.Series({"w": 7.0, "b": 3.0, "a": 1.0}), pd.Series({"a": 0.5, "b": 1.0})
    compared = above(own, first)
    assert compared == {
        "above_first": 1.25,
        "its_standard_error": pytest.approx(0.75),
        "compared_crystals": 2,
    }


def test_missing_data_and_failed_trainings_are_told(data_dir: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "nowhere", tmp_path / "runs")
    with pytest.raises(UserError, match=r"crystals\.jsonl\.gz is not there: .*--data-dir"):
        place.command(TRAINING, 0)
    broken = Training("hardness", "GATGNN", "crystals.jsonl.gz", "60:20:20", "paper-cgcnn", 1)
    with pytest.raises(UserError, match="hardness"):
        list(paper.train_all(Place(data_dir, tmp_path / "runs"), [(broken, 0)], 1))


@pytest.mark.slow
def test_networks_are_compared_out_of_fold(data_dir: Path, tmp_path: Path) -> None:
    """By the tables of their folds, crystal by crystal."""
    folds = ("--folds=3", *TINY)
    first = Training(
        "bulk_modulus,poisson_ratio",
        "A",
        "crystals.jsonl.gz",
        None,
        "paper-cgcnn",
        1,
        folds,
        note="one",
    )
    other = replace(first, method="B", options=(*folds, "--seed=3"))
    place = Place(data_dir, tmp_path / "runs")

    def trained() -> list[results.Row]:
        assert len(list(paper.train_all(place, [(first, 0), (other, 0)], 2))) == 2
        return compare(place, [first, other])

    rows = trained()
    tables = [
        pd.read_csv(place.run(t, 0) / "predictions.csv").set_index("id").sort_index()
        for t in (first, other)
    ]
    assert len(rows) == 4 and len(tables[0]) == 60
    for name in ("bulk_modulus", "poisson_ratio"):
        errors = [(own[f"prediction_{name}"] - own[f"target_{name}"]).abs() for own in tables]
        a, b = (row for row in rows if row["property"] == name)
        assert a["above_first"] == a["its_standard_error"] == 0
        assert (a["mae"], b["mae"]) == pytest.approx([own.mean() for own in errors])
        assert b["standard_error"] == pytest.approx(errors[1].std() / 60**0.5)
        assert b["above_first"] == pytest.approx(b["mae"] - a["mae"])
        assert b["its_standard_error"] == pytest.approx((errors[1] - errors[0]).std() / 60**0.5)
    assert trained() == rows  # nothing is trained again


def test_networks_stand_side_by_side() -> None:
    def row(method: str, target: str, *numbers: float) -> results.Row:
        names = ("mae", "standard_error", "above_first", "its_standard_error")
        return {
            "method": method, "recipe": "one recipe", "epochs": 50, "property": target,
            "unit": "", "parameters": 1200, **dict(zip(names, numbers, strict=True)),
        }  # fmt: skip

    rows = [
        row("A", "hardness", 0.05, 0.002, 0, 0),
        row("A", "strength", 0.5, 0.02, 0, 0),
        row("B", "hardness", 0.04, 0.002, -0.01, 0.001),
        row("B", "strength", 0.501, 0.02, 0.001, 0.0008),
        row("A", "hardness", 0.06, 0.002, 0, 0) | {"recipe": "its own"},
    ]
    speeds = [{"name": "A", "trained_per_second": 1234.5, "predicted_per_second": 9876.0}]
    titles, _, *lines = models_markdown(rows, speeds).splitlines()
    assert titles.endswith("| hardness | strength |")
    assert lines == [
        "| A | one recipe, 50 epochs | 1,200 | 1,234 | 9,876 | 0.0500 ± 0.0020 | 0.5000 ± 0.0200 |",
        "| B | one recipe, 50 epochs | 1,200 | – | – | 0.0400 ± 0.0020 (-0.0100 ± 0.0010) | "
        "0.5010 ± 0.0200 (level) |",
        "| A | its own, 50 epochs | 1,200 | – | – | 0.0600 ± 0.0020 | – |",
    ]
