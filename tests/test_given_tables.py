"""What is given in memory: how crystals are called, and what is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep.errors import UserError
from data_prep.reading.given import Given, as_list
from gatgnn_jax import Predictor, fit
from tests.commands import untrained_run
from tests.crystals import diamond, rock_salt


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory, cache: None) -> Predictor:
    return Predictor.load(untrained_run(tmp_path_factory.mktemp("run") / "run"))


def test_the_index_names_crystals(predictor: Predictor) -> None:
    """A part of a table keeps the names of its rows, in predictions too."""
    table = pd.DataFrame({"structure": [rock_salt(), diamond()]}, index=["mp-2", "mp-7"])
    for given, ids in [
        (table, ("mp-2", "mp-7")),
        (table[1:], ("mp-7",)),
        (table.structure, ("mp-2", "mp-7")),
        (table.reset_index(drop=True)[1:], ("1",)),
        (list(table.structure), ("0", "1")),
        (pd.concat([table.reset_index(drop=True)] * 2), ("0", "1", "2", "3")),
    ]:
        assert predictor.predict(given).ids == ids
    twice = pd.concat([table, table[:1]])
    assert predictor.predict(twice).ids == ("mp-2", "mp-7", "mp-2")
    with pytest.raises(UserError, match="the index has mp-2 twice"):
        Given.of(twice, [1, 2, 3])


def test_texts_of_crystals_are_no_names_of_files(predictor: Predictor) -> None:
    text = rock_salt().to(fmt="cif")
    table = pd.DataFrame({"cif": [text, text]}, index=["a", "b"])
    values = predictor.predict(table).values
    expected = predictor.predict([rock_salt()] * 2).values
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert predictor.predict(text).ids == ("0",)


def test_columns_in_a_list() -> None:
    table = pd.DataFrame({"structure": [rock_salt()] * 2, "a": [1, 2], "b": [3, 4]})
    assert Given.of(table, ["a", "b"]).targets == {"a": [1, 2], "b": [3, 4]}
    assert Given.of(table, ["b", "a"]).targets == Given.of(table, "b,a").targets


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], []), "^no crystals were given"),
        ((5, [1]), "no crystals, but a int"),
        (([3, None], [1, 2]), "none of 2 crystals can be read; the first is 0: no structure, but"),
    ],
)
def test_what_is_no_crystal(tmp_path: Path, arguments: tuple, words: str) -> None:
    with pytest.raises(UserError, match=words):
        fit(*arguments, run_dir=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_which_column_is_meant() -> None:
    """The one that holds structures; of two nobody knows which, and paths are none."""
    before, after = rock_salt(), diamond()
    text = before.to(fmt="cif")
    paths = pd.DataFrame({"final_structure": [None, after], "file": ["a.cif", "b.cif"]})
    assert as_list(paths)[1] is after
    assert as_list(paths[["file"]]) == ["a.cif", "b.cif"]
    for beside in ({"final_structure": [after]}, {"relaxed": [after]}, {"cif": [text]}):
        table = pd.DataFrame({"structure": [before]} | beside)
        (other,) = beside
        with pytest.raises(UserError, match=f"2 columns of structures, structure, {other}: give"):
            as_list(table)
        assert as_list(table.drop(columns=other)) == [before]
