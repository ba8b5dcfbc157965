"""Every kind of source: its crystals, ids, targets and splits, and what is said of bad rows."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from data_prep.build import build_dataset
from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.errors import Skipped, UserError
from data_prep.reading.sources import open_source
from data_prep.reading.texts import structure_from_text
from tests.commands import bundled_rows
from tests.crystals import NACL, iter_structures, rock_salt, without_symmetry, write_lines

ROWS = bundled_rows(5)
STRUCTURES = [Structure.from_dict(row["structure"]) for row in ROWS]


def build(source: Path) -> tuple[GraphDataset, list[Skipped]]:
    return build_dataset(source, GraphConfig(), workers=1, progress=False)


def table(column: str = "cif") -> pd.DataFrame:
    texts = [str(CifWriter(s)) if column == "cif" else json.dumps(s.as_dict()) for s in STRUCTURES]
    ids = [row["id"] for row in ROWS]
    return pd.DataFrame({"material_id": ids, "hardness": np.arange(5) / 2, column: texts})


@pytest.mark.parametrize("column", ["cif", "structure"])
@pytest.mark.parametrize("name", ["crystals.csv", "crystals.csv.gz"])
def test_structures_and_targets_of_a_table(column: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    table(column).to_csv(path, index=False)
    read = dict(iter_structures([path]))
    assert list(read) == [row["id"] for row in ROWS]
    for found, expected in zip(read.values(), STRUCTURES, strict=True):
        assert isinstance(found, Structure)
        assert found.composition == expected.composition
        np.testing.assert_allclose(found.volume, expected.volume, rtol=1e-5)
    dataset, skipped = build(path)
    assert not skipped
    assert dataset.columns["hardness"].tolist() == [0, 0.5, 1, 1.5, 2]


def test_rows_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    rows = table()
    rows.loc[1, "cif"] = "no crystal"
    rows.loc[2, "cif"] = None
    rows.loc[3, "material_id"] = None
    rows.to_csv(tmp_path / "crystals.csv", index=False)
    dataset, skipped = build(tmp_path / "crystals.csv")
    assert [entry.id for entry in skipped] == [ROWS[1]["id"], ROWS[2]["id"]]
    assert dataset.ids.tolist() == [ROWS[0]["id"], "row 5", ROWS[4]["id"]]


def test_two_columns_of_structures_are_of_one_crystal(tmp_path: Path) -> None:
    """Another cell of it will do, and what is no structure; another crystal is refused."""
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    primitive, wide = salt.get_primitive_structure(), salt.copy()
    wide.scale_lattice(1.1 * salt.volume)
    potassium = salt.copy()
    potassium.replace_species({"Na": "K"})
    cifs = {
        "primitive": str(CifWriter(primitive)), "wide": str(CifWriter(wide)),
        "another": str(CifWriter(potassium)), "named": "NaCl.cif", "empty": "", "missing": None,
    }  # fmt: skip
    whole = salt.as_dict()
    rows = [{"id": name, "structure": whole, "cif": cif} for name, cif in cifs.items()]
    rows.append({"id": "only cif", "structure": None, "cif": cifs["primitive"]})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = dict(iter_structures([path]))
    sites = {name: len(found) for name, found in read.items() if isinstance(found, Structure)}
    assert sites == {"primitive": 8, "named": 8, "empty": 8, "missing": 8, "only cif": 2}
    assert str(read["another"]) == "its columns hold two crystals, NaCl and KCl: keep one"
    assert (
        str(read["wide"]) == "its columns hold two crystals, of 22.0 and 24.1 Å³ an atom: keep one"
    )


def test_a_table_without_structures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("id,value\na,1\n")
    with pytest.raises(UserError, match="no column 'cif' or 'structure'"):
        open_source(tmp_path / "numbers.csv")
    with gzip.open(tmp_path / "cut.csv.gz", "wb") as file:
        file.write(b"id,cif\n" + bytes(range(32, 127)) * 100)
    whole = (tmp_path / "cut.csv.gz").read_bytes()
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut off or damaged"):
        open_source(tmp_path / "cut.csv.gz")


def test_folder_with_header_and_several_columns(tmp_path: Path) -> None:
    for name in ("mp-1.2", "b"):
        (tmp_path / f"{name}.cif").write_text(NACL)
    (tmp_path / "id_prop.csv").write_text("id,gap,formula\nmp-1.2,1.5,NaCl\nb.cif,,NaCl\nb,2,x\n")
    dataset, skipped = build(tmp_path)
    assert {name: values.tolist() for name, values in dataset.columns.items()} == {"gap": [1.5, 2]}
    assert [tuple(row) for row in skipped] == [
        ("b", "no value of gap"),
    ]
    (tmp_path / "id_prop.csv").write_text("mp-1.2,1.5,\nb,2.5,3\n")
    columns = build(tmp_path)[0].columns
    np.testing.assert_array_equal(columns["target_1"], [1.5, 2.5])
    np.testing.assert_array_equal(columns["target_2"], [math.nan, 3])


def test_json_lines_with_split_and_broken_lines(tmp_path: Path) -> None:
    structure = rock_salt().as_dict()
    rows = [
        {"id": "a", "cif": NACL, "targets": {"gap": 1.0}, "split": "train"},
        {"id": "b", "structure": structure, "targets": {"gap": 2.0}, "split": "test"},
        '{"id": "c", "cif"\n',
        "[1, 2]\n",
        {"id": "d", "targets": {"gap": 2.0}},
        {"cif": NACL, "targets": {"gap": math.nan, "other": 3}},
    ]
    for name in ("x.jsonl", "x.jsonl.gz"):
        dataset, skipped = build(write_lines(tmp_path / name, rows))
        assert dataset.ids.tolist() == ["a", "b", "line 6"]
        assert dataset.splits == {"train": ["a"], "test": ["b"]}
        np.testing.assert_array_equal(dataset.columns["gap"], [1, 2, math.nan])
        np.testing.assert_array_equal(dataset.columns["other"], [math.nan, math.nan, 3])
        assert [tuple(row) for row in skipped] == [
            ("line 3", "line 3 is not valid JSON"),
            ("line 4", "line 4 is no JSON object"),
            ("d", "no structure"),
        ]


def test_pymatgen_and_matbench_json(tmp_path: Path) -> None:
    salt, other = rock_salt().as_dict(), without_symmetry().as_dict()
    rows = [
        {"material_id": "mp-1", "structure": salt, "band_gap": 5.0, "symbol": "Fm-3m"},
        {"material_id": "mp-2", "structure": other, "band_gap": 0.0, "symbol": "P1"},
    ]
    matbench = {
        "index": ["mb-1", "mb-2"],
        "columns": ["structure", "gap pbe"],
        "data": [[salt, 5.0], [other, 0.0]],
    }
    by_column = {key: dict(enumerate(row[key] for row in rows)) for key in rows[0]}
    for name, content, ids, column in [
        ("columns.json", by_column, ["mp-1", "mp-2"], "band_gap"),
        ("list.json", rows, ["mp-1", "mp-2"], "band_gap"),
        ("named.json", {"x": rows[0], "y": rows[1]}, ["mp-1", "mp-2"], "band_gap"),
        ("matbench.json.gz", matbench, ["mb-1", "mb-2"], "gap pbe"),
    ]:
        text = json.dumps(content).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        dataset, skipped = build(tmp_path / name)
        assert skipped == []
        assert dataset.ids.tolist() == ids
        assert dataset.n_atom.tolist() == [8, 12]
        assert {key: list(values) for key, values in dataset.columns.items()} == {column: [5, 0]}


def test_line_ends_within_one_line() -> None:
    """Those that Python printed, of a CIF; in JSON they belong to its texts."""
    text = rock_salt().to(fmt="cif").replace("\n", "\\n")
    assert structure_from_text(text).formula == "Na4 Cl4"
    content = rock_salt().as_dict() | {"properties": {"note": "two\nlines"}}
    assert structure_from_text(json.dumps(content)).formula == "Na4 Cl4"
