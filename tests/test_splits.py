"""Which crystals train, validate and test: drawn, named by the user, or by the data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.errors import UserError
from gatgnn_jax.batches.splits import Split, make_split

IDS = np.array([f"c{number}" for number in range(20)])
USABLE = np.setdiff1d(np.arange(20), [3])
"""Crystal 3 has no target."""

SPLIT = {"train": ["c0", "c5", "c2"], "val": ["c7"], "test": ["c9", "c8"]}


def split(path: Path, content: Any, **options: Any) -> Split:
    path = path / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8-sig")
    return make_split(IDS, USABLE, str(path), 0, **options)


def named(subsets: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    return {name: IDS[rows].tolist() for name, rows in subsets.items()}


def test_ratios() -> None:
    drawn = make_split(IDS, USABLE, "10:5:4", 0)
    assert [len(rows) for rows in drawn.subsets.values()] == [10, 5, 4]
    assert sorted(np.concatenate([*drawn.subsets.values()])) == USABLE.tolist()
    assert (len(drawn.unassigned), drawn.notes) == (0, ())
    # Without a test.
    untested = make_split(IDS, USABLE, "15:4:0", 0)
    assert [*untested.subsets] == ["train", "val"]
    assert [len(rows) for rows in untested.subsets.values()] == [15, 4]
    for ratios in ("60:40", "0:1:1", "1:0:1", "1:1:-1", "1:1:nan", "1:1:inf", "a:b:c", ""):
        with pytest.raises(UserError, match="give three ratios above 0 as 60:20:20"):
            make_split(IDS, USABLE, ratios or "::", 0)
    with pytest.raises(UserError, match="2 crystals too few to split: val is empty; give more"):
        make_split(IDS, USABLE[:2], "98:1:1", 0)


def test_what_split_and_data_do_not_share_is_said(tmp_path: Path) -> None:
    """Crystals without a target, left out by the data, or in no subset are counted."""
    content = {"train": ["c0", "c5", "bad", "c3"], "val": ["c7"], "test": ["c9"]}
    dealt = split(tmp_path, content, skipped=["bad", "worse"])
    assert named(dealt.subsets) == {"train": ["c0", "c5"], "val": ["c7"], "test": ["c9"]}
    assert dealt.unassigned.tolist() == np.setdiff1d(USABLE, [0, 5, 7, 9]).tolist()
    lost, unassigned = dealt.notes
    assert lost.startswith("left out as they cannot be used: 2 crystals (bad, c3) of ")
    assert unassigned == "in no subset, so left out: 15 crystals (c1, c2, c4, …)"


def test_unknown_ids_are_refused(tmp_path: Path) -> None:
    content = SPLIT | {"val": ["c7", "x1", "x2"], "test": ["x3", "c3", "x4"]}
    with pytest.raises(UserError, match=r"the data do not have 4 crystals \(x1, x2, x3, …\)"):
        split(tmp_path, content)
    # The first crystals of a source need not have them all.
    dealt = split(tmp_path, SPLIT | {"val": ["c7", "x1"]}, limit=20)
    assert dealt.notes[0].startswith("not among the first 20 crystals: 1 crystal (x1) of ")


@pytest.mark.parametrize("test", [[], None])
def test_a_test_is_not_needed(tmp_path: Path, test: list | None) -> None:
    content = {name: ids for name, ids in (SPLIT | {"test": test}).items() if ids is not None}
    assert named(split(tmp_path, content).subsets) == {"train": ["c0", "c2", "c5"], "val": ["c7"]}


def test_the_data_may_bring_a_split() -> None:
    own = {"train": ["c0"], "val": ["c1"], "spare": ["c2"]}
    dealt = make_split(IDS, USABLE, None, 0, own)
    assert named(dealt.subsets) == {"train": ["c0"], "val": ["c1"]}
    assert len(dealt.unassigned) == len(USABLE) - 2
    with pytest.raises(UserError, match="own split has no val crystals: it has train, valid"):
        make_split(IDS, USABLE, None, 0, {"train": ["c0"], "valid": ["c1"]})
    # Ratios go before it.
    assert "test" in make_split(IDS, USABLE, "60:20:20", 0, own).subsets


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SPLIT | {"test": ["c9", "c0"]}, "c0 is in both train and test$"),
        (SPLIT | {"test": ["c5", "c0"]}, "c0 is in both train and test, and 1 more"),
        ({"train": ["c0"], "test": ["c1"]}, "has no val crystals: it has train, test"),
        (SPLIT | {"train": []}, "has no train crystals"),
        (SPLIT | {"test": ["c3"]}, "none of the ids of test has a usable crystal"),
        (SPLIT | {"train": "c0"}, "is no split file: it must be JSON"),
        (["c0"], "is no split file"),
        ("[" * 100_000, "is no split file"),
        ("train: c0", "is no split file"),
    ],
)
def test_splits_that_cannot_be_used(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split(tmp_path, content)
