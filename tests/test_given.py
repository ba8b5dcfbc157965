"""Training on what is in memory: lists, Series and tables of structures, with values and groups."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Species, Structure

from data_prep.errors import UserError
from data_prep.reading.dictionaries import structure_from_dict, structure_to_dict
from data_prep.reading.given import Given, as_list
from gatgnn_jax import Predictor, fit
from gatgnn_jax.batches.splits import deal_groups, subset_names
from gatgnn_jax.runs.ready_made import PRETRAINED
from tests.commands import bundled_rows, resume
from tests.crystals import ordered_alloy, rock_salt, without_symmetry

SETTINGS = {"num_layers": 1, "neurons": 8, "heads": 2, "hidden_layers": 1, "epochs": 1}


def crystals(count: int) -> tuple[list[Structure], list[float]]:
    rows = bundled_rows(count)
    structures = [Structure.from_dict(row["structure"]) for row in rows]
    return structures, [row["targets"]["bulk_modulus"] for row in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cache):
    """Trained on a table of 30 crystals, one of them a molecule, grouped by formula."""
    structures, values = crystals(30)
    table = pd.DataFrame(
        {
            "structure": structures,
            "modulus": values,
            "formula": [structure.composition.reduced_formula for structure in structures],
        },
        index=[f"crystal {n}" for n in range(30)],
    )
    atoms = structures[4].to_ase_atoms()
    atoms.pbc = (True, True, False)
    table["structure"] = [atoms if n == 4 else own for n, own in enumerate(structures)]
    path = tmp_path_factory.mktemp("given") / "run"
    predictor = fit(
        table,
        "modulus",
        "bulk_modulus",
        groups=table.formula,
        run_dir=path,
        quiet=True,
        **SETTINGS,
    )
    return table, path, predictor


@pytest.mark.slow
def test_a_table_is_trained_on(trained):
    """Ids of its index, values with unit and transform, crystals that cannot be used with why."""
    table, path, predictor = trained
    predictions = pd.read_csv(path / "predictions.csv").set_index("id")
    assert {*predictions.index} == {*table.index} - {"crystal 4"}
    own = table.modulus[predictions.index]
    np.testing.assert_allclose(predictions.target_gpa, own, rtol=1e-6)
    skipped = pd.read_csv(path / "skipped.csv")
    assert skipped.id.tolist() == ["crystal 4"]
    assert "not periodic" in skipped.reason[0]
    subset = predictions.subset.groupby(table.formula[predictions.index]).nunique()
    assert (subset == 1).all()
    # The same weights and the same crystals: what is predicted in memory is what was written.
    first = predictor.predict(table.drop(index="crystal 4").iloc[:3])
    stored = predictions.loc[["crystal 0", "crystal 1", "crystal 2"]]
    np.testing.assert_allclose(first.values[:, 0], stored.prediction_gpa, rtol=1e-4)
    assert repr(first).splitlines() == [
        "Predictions of 3 crystals",
        "  bulk_modulus: values in GPa, as prediction_gpa in the table; prediction there and "
        "transformed in log10(GPa)",
    ]


def test_its_run_goes_on_without_what_was_in_memory(trained):
    """The crystals are kept with the run: its report is made again from them."""
    _, path, _ = trained
    (path / "report.html").unlink()
    resume(path)
    assert "crystal 0" in (path / "report.html").read_text()


def test_a_predictor_says_what_it_is(trained):
    _, path, predictor = trained
    text = repr(predictor)
    error = json.loads((path / "summary.json").read_text())["test_mae"]
    assert text == repr(Predictor.load(path))
    assert "bulk_modulus in GPa (trained as log10(GPa))" in text
    assert f"test MAE {error:.4g} log10(GPa)" in text
    assert str(path) in text
    ready = repr(Predictor.load("bulk_modulus"))
    assert "ready-made model bulk_modulus" in ready
    card = (PRETRAINED / "bulk_modulus" / "README.md").read_text()
    [error] = re.findall(r"never seen: mean absolute error ([\d.]+ ± [\d.]+ log10\(GPa\))", card)
    assert f"test MAE {error}" in ready


@pytest.mark.parametrize(
    "structure",
    [
        rock_salt(),
        without_symmetry(),
        ordered_alloy(),
        Structure(Lattice.cubic(4.2), [Species("Mg", 2), Species("O", -2)], [[0] * 3, [0.5] * 3]),
        Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]], labels=["M1"]),
    ],
    ids=["salt", "triclinic", "alloy", "charges", "disordered"],
)
def test_a_structure_comes_back_from_json(structure):
    back = structure_from_dict(json.loads(json.dumps(structure_to_dict(structure))))
    assert back == structure
    np.testing.assert_array_equal(back.frac_coords, structure.frac_coords)
    np.testing.assert_array_equal(back.lattice.matrix, structure.lattice.matrix)
    assert back.labels == structure.labels


def test_values_in_any_form():
    """The same two properties as arrays, tables, mappings, with the names that they bring."""
    cells = [rock_salt()] * 3
    pair = np.array([[1, 2], [3, 4], [5, np.nan]])
    named = {"a": [1, 3, 5], "b": [2, 4, np.nan]}
    for y, names in [
        (pair, ["a", "b"]),
        (pd.DataFrame(named), []),
        (named, []),
        (named, ["a", "b"]),
    ]:
        targets = Given.of(cells, y, names).targets
        assert list(targets) == ["a", "b"]
        np.testing.assert_array_equal(np.array([*targets.values()], float).T, pair)
    assert list(Given.of(cells, pair).targets) == ["target_1", "target_2"]
    assert list(Given.of(cells, [1, 2, 3]).targets) == ["target"]
    assert list(Given.of(cells, pd.Series([1, 2, 3], name="gap")).targets) == ["gap"]
    assert Given.of(pd.Series(cells, index=["x", "y", "z"]), [1, 2, 3]).ids == ("x", "y", "z")
    assert Given.of(pd.Series(cells, index=[0, 0, 1]), [1, 2, 3]).ids == ("0", "1", "2")
    frame = pd.DataFrame({"cell": cells, "gap": [1, 2, 3]})
    assert as_list(frame) == cells


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([rock_salt()], [1, 2]), "1 structures, but 2 values of target"),
        (([rock_salt()], None), "no values to train on"),
        ((pd.DataFrame({"a": [1]}), "a"), "no column of structures"),
        ((pd.DataFrame({"structure": [rock_salt()]}), "gap"), "no column 'gap'"),
        (([rock_salt()], np.zeros((1, 1, 1))), r"shape \[1, 1, 1\]"),
        (([rock_salt()], [1], ["a", "b"]), "2 names"),
        (([rock_salt()], {"a,b": [1]}), "'a,b' is no name"),
        (
            (pd.Series([rock_salt()] * 2, index=[0, 1]), pd.Series([1, 2], index=[1, 0])),
            "different indexes",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        Given.of(*arguments)


def test_weights_stand_beside_the_values():
    given = Given.of([rock_salt()] * 2, [1, 2])
    assert given.beside("weight", [1, 0]).targets == {"target": [1, 2], "weight": [1, 0]}
    for name, values in [("weight", [1]), ("target", [1, 0])]:
        with pytest.raises(UserError, match="give 2 numbers"):
            given.beside(name, values)


def test_a_failed_training_leaves_nothing(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(UserError, match="5 in all 4 crystals"):
        fit([rock_salt()] * 6, [5.0] * 6, run_dir=path, quiet=True)
    assert not path.exists()
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        fit([rock_salt()] * 6, [5.0] * 6, run_dir=path, quiet=True)
    assert [file.name for file in path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="need structures in memory"):
        fit(tmp_path, "gap", groups=[1, 2])


def test_groups_are_dealt_whole_and_in_proportion():
    """Of any sizes: no group in two parts, and no part further off than the largest group."""
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 400)
    for shares in ([1] * 5, [60, 20, 20], [80, 20, 0]):
        part = deal_groups(groups, shares, seed=1)
        table = pd.crosstab(groups, part)
        assert ((table > 0).sum(axis=1) == 1).all()
        wanted = np.array(shares) / sum(shares) * 400
        largest = np.bincount(groups).max()
        assert np.abs(np.bincount(part, minlength=len(shares)) - wanted).max() <= largest
    assert (deal_groups(groups, [1, 1], 1) != deal_groups(groups, [1, 1], 2)).any()
    np.testing.assert_array_equal(deal_groups(groups, [1, 1], 1), deal_groups(groups, [1, 1], 1))


def test_a_split_by_name():
    ids = ["a", "b", "c", "d"]
    by_ids = {"train": ["a", "d"], "val": ["b"]}
    assert subset_names(ids, by_ids, None, 0) == ["train", "val", "", "train"]
    assert subset_names(ids, ["train", None, "val", "test"], None, 0) == [
        "train",
        "",
        "val",
        "test",
    ]
    assert subset_names(ids, "60:20:20", None, 0) is None
    for split, groups, words in [
        ({"train": ["x"]}, None, "do not have 1 crystal"),
        ({"train": ["a", "b"], "test": ["a"]}, None, "a is in both train and test"),
        (["train"], None, "4 structures, but 1 in split"),
        (["train", "val", "rest", "test"], None, "no subset 'rest'"),
        (None, [1], "4 structures, but 1 groups"),
        (["train"] * 4, [1] * 4, "a split and groups"),
    ]:
        with pytest.raises(UserError, match=words):
            subset_names(ids, split, groups, 0)
