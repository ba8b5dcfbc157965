"""`python -m gatgnn_jax.predict`: structures in, a table out, whatever else is among them."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from data_prep.config import GraphConfig
from data_prep.featurize import featurize
from data_prep.graph import build_graph
from data_prep.reading.sources import open_structures
from gatgnn_jax import predict
from gatgnn_jax.prediction.engines import StreamPredictor
from gatgnn_jax.prediction.result import element_warning
from gatgnn_jax.runs.directory import RunDirectory
from tests.commands import bundled_rows, error_of, predict_to, untrained_run, write_source
from tests.crystals import rock_salt, without_symmetry

CESIUM_CHLORIDE = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CIF = str(CifWriter(CESIUM_CHLORIDE))
BROKEN = {
    "empty": ("", "the file is empty"),
    "prose": ("This is no crystal.", "no CIF of a crystal"),
    "disordered": (CIF.replace("0.50000000  1\n", "0.50000000  0.5\n"), "partial occupancy"),
    "isolated": (str(CifWriter(Structure(Lattice.cubic(30), ["Cs"], [[0, 0, 0]]))), "isolated"),
    "heavy": (str(CifWriter(Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]]))), "element Lr"),
}


def graphs_of(structures):
    return [build_graph(structure, GraphConfig()) for structure in structures]


def predictor_of(path, batch_size):
    return StreamPredictor(*RunDirectory.open(path).load_best(), batch_size)


def test_ten_good_and_five_broken_files(run, tmp_path):
    """Ten rows and five reasons; the good ones are predicted as in training."""
    folder = tmp_path / "structures"
    folder.mkdir()
    rows = {row["id"]: Structure.from_dict(row["structure"]) for row in bundled_rows(10)}
    for number, (name, structure) in enumerate(rows.items()):
        text = structure.to(fmt="poscar") if number % 3 == 1 else str(CifWriter(structure))
        file = folder / (f"{name}.vasp" if number % 3 == 1 else f"{name}.cif")
        if number % 3 == 2:
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            file.write_text(text)
    for name, (text, _) in BROKEN.items():
        (folder / f"{name}.cif").write_text(text)
    (folder / "notes.txt").write_text("of no interest")
    out = tmp_path / "results" / "table.csv"
    assert predict_to(out, run, folder) == 0

    table = pd.read_csv(out, keep_default_na=False)
    assert list(table) == [
        *("id", "prediction", "lower", "upper", "unit"),
        *("prediction_gpa", "lower_gpa", "upper_gpa", "nearest", "distance", "warning"),
    ]
    assert sorted(table.id) == sorted(rows)
    assert set(table.unit) == {"log10(GPa)"}
    np.testing.assert_allclose(table.prediction_gpa, 10**table.prediction, rtol=1e-6)
    trained = pd.read_csv(run / "predictions.csv").set_index("id").prediction
    # Files keep fewer digits of the positions.
    np.testing.assert_allclose(table.prediction, trained[table.id], atol=1e-4)
    skipped = pd.read_csv(tmp_path / "results" / "table.skipped.csv").set_index("id").reason
    assert sorted(skipped.index) == sorted(BROKEN)
    for name, (_, reason) in BROKEN.items():
        assert reason in skipped[name]
    assert sorted(file.name for file in out.parent.iterdir()) == ["table.csv", "table.skipped.csv"]


def test_as_a_command_of_its_own(run, tmp_path):
    """Another process, another directory, no option: the same numbers as at the end of training."""
    lines = write_source(tmp_path / "crystals.jsonl", 5, lambda number, targets: {})
    done = subprocess.run(
        [sys.executable, "-m", "gatgnn_jax.predict", str(run), lines.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("5 crystals predicted")
    # jaxlib 0.10.1 remarks on every program that is taken from its own cache.
    assert [line for line in done.stderr.splitlines() if "cpu_aot_loader" not in line] == []
    table = pd.read_csv(tmp_path / "predictions.csv")
    trained = pd.read_csv(run / "predictions.csv").set_index("id").prediction
    np.testing.assert_allclose(table.prediction, trained[table.id], atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 512])
def test_other_crystals_in_the_batch_change_nothing(run, tmp_path, batch_size):
    """Alone, in small batches with crystals too large for them, and all together."""
    lines = write_source(tmp_path / "crystals.jsonl", 100, lambda number, targets: {})
    results = list(featurize(open_structures([lines]).items(), GraphConfig(), workers=1))
    predictor = predictor_of(run, batch_size)
    batches = list(predictor.stream((record.id, graph) for record, graph in results))
    assert all(len(ids) <= batch_size for ids, _ in batches)
    ids = [name for batch, _ in batches for name in batch]
    assert ids == [record.id for record, _ in results]
    values = np.concatenate([predicted.values for _, predicted in batches])
    trained = pd.read_csv(run / "predictions.csv").set_index("id").prediction
    np.testing.assert_allclose(values[:, 0], trained[ids], atol=1e-6)
    vectors = np.concatenate([predicted.crystal_vector for _, predicted in batches])
    assert vectors.shape == (100, 16)
    # Sizes differ by a factor of 100, and each shape is a compilation.
    assert len(predictor.programs) <= 4


def test_random_clusters_are_the_same_in_any_batch(tmp_path):
    path = untrained_run(tmp_path / "run", global_attention="cluster-random")
    structures = [without_symmetry(size, seed) for seed, size in enumerate([5, 9, 12, 7])]
    graphs = graphs_of(structures)
    predictor = predictor_of(path, 64)
    together = predictor.predict(graphs).values
    alone = [predictor.predict([graph]).values[0] for graph in graphs]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.ptp(together) > 1e-3


def test_memory_does_not_grow_with_the_stream(untrained):
    """The first batch comes out before the second goes in."""
    taken = 0

    def endless():
        nonlocal taken
        graph = graphs_of([rock_salt()])[0]
        while True:
            taken += 1
            yield str(taken), graph

    stream = predictor_of(untrained, 4).stream(endless())
    assert [len(next(stream)[0]) for _ in range(3)] == [4, 4, 4]
    assert taken == 13


def test_a_list_on_standard_input(untrained, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.cif").write_text(CIF)
    lines = io.StringIO(f"{tmp_path / 'c.cif'}\n\n{tmp_path / 'a.cif'}\n")
    monkeypatch.setattr(sys, "stdin", lines)
    assert predict_to(tmp_path / "table.csv", untrained, Path("-"), tmp_path / "b.cif") == 0
    assert pd.read_csv(tmp_path / "table.csv").id.tolist() == ["c", "a", "b"]


def test_warnings(tmp_path, capsys):
    """Elements the model saw never or rarely, and an id that comes twice."""
    counts = {"Na": 9, "Cl": 10}
    path = untrained_run(tmp_path / "run", element_counts=counts)
    salt, chloride = tmp_path / "salt.vasp", tmp_path / "x.jsonl"
    salt.write_text(rock_salt().to(fmt="poscar"))
    chloride.write_text(json.dumps({"id": "salt", "cif": CIF}))
    out = tmp_path / "table.csv"
    assert predict.main([str(path), str(salt), str(chloride), "--out", str(out)]) == 0
    assert "2 crystals predicted, 2 of them with a warning" in capsys.readouterr().out
    assert pd.read_csv(out).warning.tolist() == [
        "in fewer than 10 training crystals: Na",
        "not in the training crystals: Cs; another crystal of this id came before",
    ]
    # What a converted model was trained with is not known.
    assert element_warning(graphs_of([rock_salt()])[0], {}) == ""


def test_columns_of_classes_and_of_several_properties(tmp_path):
    source = write_source(
        tmp_path / "data.jsonl", 3, lambda number, targets: {"is_metal": number % 2, "gap": 1.5}
    )
    path = untrained_run(tmp_path / "run", ["is_metal", "gap"], source)
    assert predict_to(tmp_path / "table.csv", path, source) == 0
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table) == [
        "id",
        "prediction_is_metal",
        "probability_is_metal",
        "unit_is_metal",
        "prediction_gap",
        "unit_gap",
        "warning",
    ]
    assert table.probability_is_metal.between(0, 1).all()
    assert ((table.prediction_is_metal == "metal") == (table.probability_is_metal > 0.5)).all()


def test_nothing_to_predict(untrained, tmp_path, capsys):
    file = tmp_path / "empty.cif"
    file.write_text("")
    out = tmp_path / "out" / "table.csv"
    message = error_of(predict.main, [untrained, file, "--out", out], capsys)
    assert "none of 1 crystal" in message
    assert "empty: the file is empty" in message
    assert [path.name for path in out.parent.iterdir()] == ["table.skipped.csv"]
    # A later prediction takes the report away: it was about the table before.
    file.write_text(CIF)
    assert predict_to(out, untrained, file) == 0
    assert [path.name for path in out.parent.iterdir()] == ["table.csv"]


BAD_INPUT = {
    "no run": (["{tmp}", "{tmp}/good.cif"], "is no run"),
    "unfinished run": (["{tmp}/unfinished", "{tmp}/good.cif"], "no trained model yet"),
    "damaged settings": (["{tmp}/damaged", "{tmp}/good.cif"], "config.json cannot be read"),
    "no files": (["{run}"], "nothing to predict"),
    "no such file": (["{run}", "{tmp}/good.cif", "{tmp}/nowhere.cif"], "does not exist"),
    "empty folder": (["{run}", "{tmp}/none"], "holds no structure files"),
    "out is a folder": (["{run}", "{tmp}/good.cif", "--out", "{tmp}"], "is a directory"),
    "out in a run": (["{run}", "{tmp}/good.cif", "--out", "{run}/predictions.csv"], "is a run"),
    "out in a file": (["{run}", "{tmp}/good.cif", "--out", "{tmp}/good.cif/x.csv"], "--out"),
    "no batch": (["{run}", "{tmp}/good.cif", "--batch-size", "0"], "the batch size is 0"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_explained(untrained, tmp_path, capsys, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    Path("none").mkdir()
    Path("good.cif").write_text(CIF)
    for name, settings in [
        ("unfinished", (untrained / "config.json").read_text()),
        ("damaged", ""),
    ]:
        Path(name).mkdir()
        Path(name, "config.json").write_text(settings)
    arguments, message = BAD_INPUT[case]
    arguments = [argument.format(tmp=tmp_path, run=untrained) for argument in arguments]
    assert message in error_of(predict.main, arguments, capsys)
    assert not Path("predictions.csv").exists()
