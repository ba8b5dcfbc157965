"""The package from Python: anything that is a crystal in, typed results out, no files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

import gatgnn_jax
from data_prep.errors import BadCrystal, UserError
from data_prep.properties import Property
from gatgnn_jax import Predictions, Predictor, fit, pipeline, train
from gatgnn_jax.training.prepare import prepare
from tests.commands import bundled_rows
from tests.crystals import rock_salt

SETTINGS = {"num_layers": 1, "neurons": 8, "heads": 2, "hidden_layers": 1}


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor.load(run)


def as_atoms(structure):
    return Atoms(
        numbers=structure.atomic_numbers,
        cell=structure.lattice.matrix,
        positions=structure.cart_coords,
        pbc=True,
    )


def test_importing_it_starts_nothing():
    """Device and precision can be chosen until something of it is used."""
    program = (
        "import sys, gatgnn_jax; assert not {'jax', 'pymatgen'} & sys.modules.keys();"
        "from gatgnn_jax import Predictor; assert 'jax' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    for name in gatgnn_jax.__all__:
        assert getattr(gatgnn_jax, name).__name__ == name
    with pytest.raises(AttributeError, match="predicted"):
        gatgnn_jax.predicted  # noqa: B018


@pytest.mark.slow
def test_a_mix_of_structures(run, predictor, tmp_path, monkeypatch):
    """Rows in the order of the input, whatever each is; the same numbers as after training."""
    rows = bundled_rows(6)
    structures = [Structure.from_dict(row["structure"]) for row in rows]
    (tmp_path / "folder").mkdir()
    for name, structure in zip("ab", structures[2:4], strict=True):
        (tmp_path / "folder" / f"{name}.cif").write_text(str(CifWriter(structure)))
    poscar = tmp_path / "crystal.vasp"
    poscar.write_text(structures[4].to(fmt="poscar"))
    (tmp_path / "empty.cif").write_text("")
    monkeypatch.chdir(tmp_path)
    files = sorted(tmp_path.rglob("*"))

    lonely = Structure(Lattice.cubic(30), ["Cs"], [[0, 0, 0]])
    result = predictor.predict(
        [
            structures[0],
            "empty.cif",
            as_atoms(structures[1]),
            Path("folder"),
            lonely,
            str(poscar),
            rows[5]["structure"],
            None,
        ]
    )
    assert sorted(tmp_path.rglob("*")) == files
    assert result.ids == ("0", "empty", "2", "a", "b", "4", "crystal", "6", "7")
    assert len(result) == 9
    trained = pd.read_csv(run / "predictions.csv").set_index("id").prediction
    predicted = [0, 2, 3, 4, 6, 7]
    np.testing.assert_allclose(
        result.transformed[predicted, 0], trained[[row["id"] for row in rows]], atol=1e-4
    )
    np.testing.assert_allclose(result.values, 10**result.transformed)
    assert result.units == ("GPa",)
    assert result.transformed_units == ("log10(GPa)",)
    assert result.uncertainty is None

    assert np.isnan(result.transformed[[1, 5, 8]]).all()
    assert [entry.id for entry in result.skipped] == ["empty", "4", "7"]
    for entry, reason in zip(result.skipped, ["empty", "isolated", "no structure"], strict=True):
        assert reason in entry.reason

    table = result.to_dataframe()
    columns = ["id", "prediction", "lower", "upper", "unit", "prediction_gpa", "lower_gpa"]
    columns += ["upper_gpa", "nearest", "distance", "warning", "skipped"]
    assert list(table) == columns
    assert table.id.tolist() == list(result.ids)
    np.testing.assert_array_equal(table.prediction, result.transformed[:, 0])
    assert (table.skipped != "").tolist() == table.prediction.isna().tolist()


def test_a_single_structure(predictor, tmp_path):
    """A structure and an Atoms are sequences themselves, and a path is a text."""
    salt = rock_salt()
    (tmp_path / "salt.cif").write_text(str(CifWriter(salt)))
    values = [
        predictor.predict(one).values
        for one in (salt, as_atoms(salt), str(tmp_path / "salt.cif"), salt.as_dict())
    ]
    assert values[0].shape == (1, 1)
    np.testing.assert_allclose(values, np.broadcast_to(values[0], (4, 1, 1)), rtol=1e-5)
    assert len(predictor.predict([])) == 0


def test_an_id_that_came_before_is_told_of_as_in_the_table(predictor, tmp_path):
    lines = [{"id": name, "structure": rock_salt().as_dict()} for name in ("a", "a", "b")]
    lines[1:1] = [{"id": "bad", "cif": "nothing"}]
    path = tmp_path / "crystals.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = predictor.predict(path)
    assert result.ids == ("a", "bad", "a", "b")
    assert [bool(reason) for reason in result.reasons] == [False, True, False, False]
    known = result.warnings[0]
    again = "another crystal of this id came before"
    assert result.warnings == (known, "", "; ".join(filter(None, [known, again])), known)


def test_atoms_that_are_no_crystal(predictor):
    molecule = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]])
    disordered = as_atoms(rock_salt())
    disordered.info["occupancy"] = {"0": {"Na": 0.5, "K": 0.5}, "1": {"Cl": 1.0}}
    ordered = as_atoms(rock_salt())
    ordered.info["occupancy"] = {"0": {"Na": 1.0}, "1": {"Cl": 1.0}}
    dummy = Atoms("X", cell=[3, 3, 3], pbc=True)
    result = predictor.predict([molecule, disordered, ordered, dummy])
    expected = ["not periodic", "partial occupancies", "", "an atom of no element"]
    for reason, words in zip(result.reasons, expected, strict=True):
        assert bool(reason) == bool(words)
        assert words in reason


def test_a_crystal_without_prediction_has_no_class():
    """A probability of none is not below one half."""
    properties = (Property("is_metal", "is_metal", task="classification"), Property("gap", "gap"))
    values = np.array([[0.9, 1.5], [np.nan, np.nan], [0.2, 0.5]])
    result = Predictions(("a", "b", "c"), properties, values, ("", "", "rare"), ("", "bad", ""))
    table = result.to_dataframe()
    assert table.prediction_is_metal.tolist()[::2] == [1, 0]
    assert pd.isna(table.prediction_is_metal[1])
    assert table.warning.tolist() == ["", "", "rare"]
    np.testing.assert_array_equal(result.values, values)


def test_errors(run, predictor, tmp_path):
    with pytest.raises(UserError, match="is no run"):
        Predictor.load(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        predictor.predict([rock_salt(), tmp_path / "nowhere.cif"])
    for name in ("a.cif", "b.cif"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="holds 2 structures"):
        predictor.explain(tmp_path)
    with pytest.raises(BadCrystal, match="empty"):
        predictor.explain(tmp_path / "a.cif")
    with pytest.raises(TypeError, match="'epoch'; did you mean 'epochs'"):
        fit(epoch=3)


def test_fit_trains_as_the_command_does(tmp_path, monkeypatch):
    """The settings of the command, its files, and the best model in hand."""
    path = tmp_path / "run"
    predictor = fit(limit=40, run_dir=path, quiet=True, epochs=2, radius=7.0, **SETTINGS)
    arguments = "--limit 40 --epochs 2 --radius 7 --num-layers 1 --neurons 8 --heads 2"
    options = train.parse([*arguments.split(), "--hidden-layers", "1"])
    expected = prepare(train.asked_for(options)).config
    assert predictor.config == expected
    table = pd.read_csv(path / "predictions.csv").set_index("id").prediction
    row = bundled_rows(1)[0]
    np.testing.assert_allclose(
        predictor.predict(row["structure"]).transformed, table[[row["id"]]].to_numpy()[None], 1e-4
    )
    monkeypatch.setattr(pipeline, "start", lambda *arguments: (None, 130))
    with pytest.raises(KeyboardInterrupt):
        fit()


def test_a_preset_and_a_device_that_are_none():
    with pytest.raises(UserError, match="preset is 'bset': choose one of"):
        fit(preset="bset")
    with pytest.raises(UserError, match="device is 'tpuu': choose auto, cpu or gpu"):
        Predictor.load("bulk_modulus", device="tpuu")


def test_a_batch_without_crystals_is_refused():
    with pytest.raises(UserError, match="the batch size is 0: give 1 or more"):
        Predictor.load("bulk_modulus", batch_size=0)
