"""Raw values as columns of numbers: what is missing, what is faulty, and what that costs."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.build import build_dataset
from data_prep.columns import number_columns
from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.errors import UserError
from data_prep.properties import resolve_property
from data_prep.storage import load_dataset, save_dataset
from data_prep.targets import select_targets
from tests.crystals import NACL, write_lines


def test_columns_of_numbers_are_told_from_text() -> None:
    columns = number_columns(
        [
            {"formula": "NaCl", "gap": "5.0", "metal": False},
            {"formula": "Cu", "gap": 0, "metal": "True"},
            {"formula": "Fe", "gap": None},
        ]
    )
    assert list(columns.values) == ["gap", "metal"]
    np.testing.assert_array_equal(columns.values["gap"], [5, 0, np.nan])
    np.testing.assert_array_equal(columns.values["metal"], [0, 1, np.nan])
    assert columns.reasons == {2: "no value of gap or metal"}
    assert columns.faults == {"formula": {0: "formula = 'NaCl' is not a number"}}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value of gap"),
        ("", "no value of gap"),
        ("abc", "gap = 'abc' is not a number"),
        ("1+2j", "gap = '1+2j' is not a number"),
        ("1_000", "gap = '1_000' is not a number"),
        ("3,14", "gap = '3,14' is not a number (write decimals with a point)"),
        (math.nan, "gap is NaN"),
        ("nan", "gap is NaN"),
        (-math.inf, "gap is infinite"),
        ("1e999", "gap is infinite"),
        (10**400, "gap is infinite"),
        (-(10**400), "gap is infinite"),
        ([1.0], "gap = '[1.0]' is not a number"),
    ],
)
def test_each_kind_of_bad_value_has_its_own_reason(value: Any, reason: str) -> None:
    """Alone it costs the crystal; beside a good value it is missing, and the reason is kept."""
    assert number_columns([{"gap": 1.0}, {"gap": value}]).reasons == {1: reason}
    columns = number_columns([{"gap": 1.0, "x": 1}, {"gap": value, "x": 2}])
    assert columns.reasons == {}
    np.testing.assert_array_equal(columns.values["gap"], [1, np.nan])
    np.testing.assert_array_equal(columns.values["x"], [1, 2])
    assert columns.faults == ({} if reason.startswith("no value") else {"gap": {1: reason}})


def test_two_spellings_are_one_column_where_they_agree() -> None:
    columns = number_columns(
        [
            {"gap pbe": 1.0, "band_gap": "1.0"},
            {"gap pbe": 2.0},
            {"band_gap": 3.0},
            {"gap pbe": "x", "band_gap": 4.0},
            {"gap pbe": 5.0, "band_gap": 5000.0},
            {"gap pbe": 0.0, "band_gap": 0.0},
        ]
    )
    assert list(columns.values) == ["gap pbe"]
    np.testing.assert_array_equal(columns.values["gap pbe"], [1, 2, 3, 4, np.nan, 0])
    assert columns.reasons == {4: "gap pbe = 5 but band_gap = 5000, two spellings of one"}
    # A property of the user's own has no other spellings.
    assert list(number_columns([{"hv": 1, "HV": 2}]).values) == ["hv", "HV"]


def test_too_many_columns_are_refused() -> None:
    """One row with a million targets is left out; rows that each name their own are no table."""
    many = {f"t{number}": 1.0 for number in range(1_000_000)}
    columns = number_columns([{"gap": 1.0}, many])
    assert list(columns.values) == ["gap"]
    assert columns.reasons == {1: "1,000,000 targets, 1,000 are taken"}
    with pytest.raises(
        UserError, match=r"1,001 different targets \(t0, t1, t2, …\), 1,000 at most"
    ):
        number_columns([{f"t{number}": 1.0} for number in range(1001)])


def test_only_what_is_asked_for_costs_a_crystal(tmp_path: Path) -> None:
    """Faults of other columns are missing values; those of the asked one are told, also later."""
    rows = [
        {"id": "a", "cif": NACL, "targets": {"gap": "abc", "hardness": 1.0}},
        {"id": "b", "cif": NACL, "targets": {"gap": 2.0, "hardness": "Infinity"}},
        {"id": "c", "cif": NACL, "targets": {"gap": 3.0, "hardness": 10**400}},
        {"id": "d", "cif": NACL, "targets": {"gap": "n/a", "hardness": 4.0, "note": "soft"}},
    ]
    source = write_lines(tmp_path / "x.jsonl", rows)
    dataset, skipped = build_dataset(source, GraphConfig(), progress=False)
    assert skipped == []
    save_dataset(dataset, tmp_path / "saved")
    saved, some = load_dataset(tmp_path / "saved"), dataset.take([1, 2, 3])
    assert told(saved, "gap") == {"a": "gap = 'abc' is not a number", "d": "no value of gap"}
    assert told(some, "gap") == {"d": "no value of gap"}
    for own in (saved, some):
        assert told(own, "hardness") == dict.fromkeys("bc", "hardness is infinite")
        with pytest.raises(UserError, match="'note' is no column of numbers: note = 'soft'"):
            told(own, "note")


def told(dataset: GraphDataset, name: str) -> dict[str, str]:
    """Why crystals have no value of a property."""
    properties = [resolve_property(name, dataset.columns, dataset.faults)]
    _, reasons = select_targets(dataset.columns, properties, dataset.faults)
    return {str(dataset.ids[row]): reason for row, reason in reasons.items()}


def test_the_first_good_crystal_of_an_id_is_kept(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "cif": "", "targets": {"gap": 1.0}},
        {"id": "a", "cif": NACL, "targets": {"gap": "abc"}},
        {"id": "a", "cif": NACL, "targets": {"gap": 2.0}, "split": "train"},
        {"id": "a", "cif": NACL, "targets": {"gap": 3.0}},
        {"id": "a", "cif": NACL, "targets": {"gap": 2.0}},
        {"id": "b", "cif": NACL, "targets": {"gap": 4.0}, "split": "val"},
    ]
    source = write_lines(tmp_path / "x.jsonl", rows)
    dataset, skipped = build_dataset(source, GraphConfig(), progress=False)
    assert dataset.ids.tolist() == ["a", "b"]
    assert dataset.columns["gap"].tolist() == [2, 4]
    assert dataset.splits == {"train": ["a"], "val": ["b"]}
    assert [tuple(entry) for entry in skipped] == [
        ("a", "the CIF is empty"),
        ("a", "gap = 'abc' is not a number"),
        ("a", "duplicate id, with other values: the first crystal of that id is kept"),
        ("a", "duplicate id: the first crystal of that id is kept"),
    ]
