"""Tables of crystals that are not as they should be: the fault is named, the rest is kept."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.build import build_dataset
from data_prep.build import main as build
from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.errors import UserError
from data_prep.reading.sources import open_source
from tests.crystals import NACL, rock_salt, write_lines


def as_csv(rows: Sequence[Sequence[Any]], **dialect: Any) -> str:
    text = io.StringIO()
    csv.writer(text, **dialect).writerows(rows)
    return text.getvalue()


ROWS = [["id", "cif", "hardness"], ["a", NACL, 1.5], ["b", NACL, 2.5]]
TABLE = as_csv(ROWS)


def read(path: Path, content: str | bytes) -> tuple[GraphDataset, dict[str, str]]:
    """The dataset of a table, and the reasons of the rows that were left out."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    dataset, skipped = build_dataset(path, GraphConfig(), progress=False)
    return dataset, dict(skipped)


def assert_whole(dataset: GraphDataset) -> None:
    assert dataset.ids.tolist() == ["a", "b"]
    assert dataset.columns["hardness"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le").join([b"\xff\xfe", b""]),
        TABLE.replace("\r\n", "\n").encode(),
        as_csv(ROWS, quoting=csv.QUOTE_ALL).encode(),
        as_csv([[" id ", "cif ", " hardness"], *ROWS[1:], ["", "", ""]]).encode(),
    ],
    ids=["plain", "mark", "utf-16", "little", "newlines", "quoted", "spaces"],
)
def test_good_tables(tmp_path: Path, content: bytes) -> None:
    dataset, skipped = read(tmp_path / "x.csv", content)
    assert skipped == {}
    assert_whole(dataset)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (as_csv(ROWS, delimiter=";"), "x.csv is separated by semicolons: save it with commas"),
        ("sep=;\n" + as_csv(ROWS, delimiter=";"), "separated by semicolons"),
        (as_csv(ROWS, delimiter="\t"), "is separated by tabs"),
        (TABLE.encode("utf-16-le"), "is no text in UTF-8: save it as 'CSV UTF-8'"),
        (TABLE.encode("utf-16")[:-3], "is no text in UTF-8"),
        (TABLE.replace("hardness", "Härte").encode("cp1252"), "is no text in UTF-8"),
        ("", "x.csv is empty"),
        ("\n\n", "x.csv is empty"),
        ("id,cif,hardness\n", "has a header line and no crystals"),
        ("id,value\na,1\n", "has no column 'cif' or 'structure' with the text of one; it has: id"),
        ("id,cif,gap,gap\na,x,1,2\n", "has two columns 'gap': rename or remove one"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        open_source(path)


@pytest.mark.parametrize("quote", [TABLE.index('"'), TABLE.rindex('"')])
def test_a_quote_without_its_partner_is_found(
    tmp_path: Path, quote: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would swallow rows without a word; the message says where the row begins."""
    path = tmp_path / "x.csv"
    path.write_text(TABLE[:quote] + TABLE[quote + 1 :] + TABLE[TABLE.index("a,") :])
    assert build([str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    error = capfd.readouterr().err
    assert "is no comma-separated table: the quotes of the row at line" in error
    assert error.count("\n") == 1


def test_cells_that_hold_something_else(tmp_path: Path) -> None:
    """What a cell holds instead of a structure is said, row by row."""
    salt = rock_salt()
    rows = [
        ["id", "structure", "x"],
        ["json", json.dumps(salt.as_dict()), 1],
        ["cif", NACL, 2],
        ["python", str(salt.as_dict()), 3],
        ["poscar", salt.to(fmt="poscar"), 4],
        ["name", "salt.cif", 5],
        ["packed", "folder/salt.vasp.gz", 6],
        ["words", "no crystal", 7],
        ["nothing", "", 8],
    ]
    dataset, skipped = read(tmp_path / "x.csv", as_csv(rows))
    assert dataset.ids.tolist() == ["json", "cif", "poscar"]
    for name, reason in {
        "python": "a Python dictionary as text, not JSON: write json.dumps",
        "name": "'salt.cif' is the name of a file, not a structure",
        "packed": "'folder/salt.vasp.gz' is the name of a file",
        "words": "the text is no CIF",
        "nothing": "no structure",
    }.items():
        assert skipped[name].startswith(reason)


def test_decimal_commas(tmp_path: Path) -> None:
    """In quotes they are no number, and without them a cell too many: never another value."""
    quoted, skipped = read(tmp_path / "x.csv", as_csv([*ROWS, ["c", NACL, "3,5"]]))
    assert_whole(quoted)
    assert skipped == {"c": "hardness = '3,5' is not a number (write decimals with a point)"}
    _, _, row = as_csv([*ROWS[:2], ["c", NACL, "x"]]).partition("1.5\r\n")
    plain, skipped = read(tmp_path / "y.csv", TABLE + row.replace("x\r\n", "3,5\r\n"))
    assert_whole(plain)
    assert skipped["c"].startswith("its row has 4 cells for 3 columns (decimals are written")


def test_the_table_of_a_folder(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.cif").write_text(NACL)
    table = tmp_path / "id_prop.csv"
    for content, message in [
        ("a;1,5\nb;2,5\n", "is separated by semicolons"),
        ("id;hardness\na;1,5\n", "is separated by semicolons"),
        ("a\t1.5\nb\t2.5\n", "is separated by tabs"),
        ('a,1.5\nb,"2.5\n', "the quotes of the row at line 2 do not end"),
        ("id,hardness\n", "has a header line and no crystals"),
        ("id,gap,gap\na,1,2\n", "has two columns 'gap'"),
        ("", "is empty"),
    ]:
        table.write_text(content)
        with pytest.raises(UserError, match=message):
            open_source(tmp_path)
    table.write_text("id,hardness\na,1.5\nb,2.5\n", "utf-16")
    dataset, _ = build_dataset(tmp_path, GraphConfig(), progress=False)
    assert_whole(dataset)
    table.write_text("id,hardness\na,1,5\nb,2.5\n")
    dataset, skipped = build_dataset(tmp_path, GraphConfig(), progress=False)
    assert dataset.ids.tolist() == ["b"]
    assert skipped[0].reason.startswith("its row has 3 cells for 2 columns")


def test_json_of_any_shape(tmp_path: Path) -> None:
    """Deep, odd or damaged JSON costs its line or is refused: it is never a traceback."""
    good = {"id": "a", "cif": NACL, "targets": {"x": 1.0}}
    rows = [
        good,
        "[" * 100_000 + "\n",
        '{"id": "big", "cif": "", "targets": {"x": ' + "9" * 5000 + "}}\n",
        {"id": ["odd"], "cif": {"lattice": 1}, "targets": [1.0]},
        {"id": "b", "cif": NACL, "targets": {"x": {"y": 1}, "z": True}},
        {"id": "c", "cif": NACL, "targets": {"x": int("9" * 400), "z": "1+2j"}},
    ]
    source = write_lines(tmp_path / "x.jsonl", rows)
    dataset, skipped = build_dataset(source, GraphConfig(), progress=False)
    assert dataset.ids.tolist() == ["a", "b"]
    np.testing.assert_array_equal(dataset.columns["z"], [np.nan, 1])
    assert [entry.id for entry in skipped] == ["line 2", "line 3", "['odd']", "c"]
    assert skipped[-1].reason == "x is infinite"
    for columns, data, index in [
        ([["structure"]], [[{}]], 1),
        (["structure"], [1], ["a"]),
        (["structure", "x"], [[{}]], ["a"]),
        ("structure", [[{}]], ["a"]),
    ]:
        table = {"columns": columns, "data": data, "index": index}
        (tmp_path / "x.json").write_text(json.dumps(table))
        with pytest.raises(UserError, match="is no list of structures, nor of rows"):
            open_source(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is nested too deeply"):
        open_source(tmp_path / "x.json")
