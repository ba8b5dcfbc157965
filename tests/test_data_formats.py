"""Tables of CIFs: a row a crystal, however the structure and the file are written."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from data_prep.build import build_dataset
from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.sources import iter_structures, open_source
from tests.commands import bundled_rows

ROWS = bundled_rows(5)
STRUCTURES = [Structure.from_dict(row["structure"]) for row in ROWS]


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
    dataset, skipped = build_dataset(path, GraphConfig(), workers=1, progress=False)
    assert not skipped
    assert dataset.columns["hardness"].tolist() == [0, 0.5, 1, 1.5, 2]


def test_rows_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    rows = table()
    rows.loc[1, "cif"] = "no crystal"
    rows.loc[2, "cif"] = None
    rows.loc[3, "material_id"] = None
    rows.to_csv(tmp_path / "crystals.csv", index=False)
    dataset, skipped = build_dataset(
        tmp_path / "crystals.csv", GraphConfig(), workers=1, progress=False
    )
    assert [entry.id for entry in skipped] == [ROWS[1]["id"], ROWS[2]["id"]]
    assert dataset.ids.tolist() == [ROWS[0]["id"], "row 5", ROWS[4]["id"]]


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
