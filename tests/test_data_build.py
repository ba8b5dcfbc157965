"""From a source to a dataset: what is kept, what is left out and why; the command."""

import csv
import gzip
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from data_prep import featurize, progress
from data_prep.build import build_dataset, main
from data_prep.cache import BUNDLED, open_dataset
from data_prep.config import GRAPH_PRESETS, GraphConfig
from data_prep.errors import BadCrystal, UserError
from data_prep.graph import CrystalGraph, build_graph
from data_prep.reading.sources import open_structures
from data_prep.storage import load_dataset
from tests.crystals import NACL, bundled, iter_structures, rock_salt, write_lines

ISOLATED = str(CifWriter(Structure(Lattice.cubic(30), ["Cs"], [[0, 0, 0]])))
HEAVY = str(CifWriter(Structure(Lattice.cubic(4), ["Lr"], [[0, 0, 0]])))


def build(source: Path, config: GraphConfig | None = None, **options):
    return build_dataset(source, config or GraphConfig(), progress=False, **options)


def head_of_bundled(path: Path, count: int) -> Path:
    with gzip.open(BUNDLED) as lines:
        path.write_bytes(b"".join(itertools.islice(lines, count)))
    return path


@pytest.fixture
def bad_folder(tmp_path):
    """A folder with two good crystals and one of each kind of bad one."""
    folder = tmp_path / "folder"
    folder.mkdir()
    cifs = {
        "good": NACL,
        "unreadable": "no crystal",
        "truncated": NACL[:-30],
        "short": NACL[: NACL.index("  Cl  Cl1")],
        "empty": "",
        "disordered": NACL.replace("0.50000000  1\n", "0.50000000  0.5\n"),
        "heavy": HEAVY,
        "isolated": ISOLATED,
        "missing": NACL,
        "text": NACL,
        "nan": NACL,
        "infinite": NACL,
        "negative": NACL,
    }
    for name, text in cifs.items():
        (folder / f"{name}.cif").write_text(text)
    (folder / "packed.vasp.gz").write_bytes(gzip.compress(rock_salt().to(fmt="poscar").encode()))
    values = {"missing": "", "text": "abc", "nan": "NaN", "infinite": "inf", "negative": "-3.2"}
    rows = [f"{name},{values.get(name, '25.0')}" for name in cifs]
    rows += ["packed,30", "good,26", "absent,25"]
    (folder / "id_prop.csv").write_text("\n".join(rows) + "\n")
    return folder


REASONS = {
    "unreadable": "no CIF of a crystal",
    "truncated": "unreadable CIF",
    "short": "the atoms in the cell add up to Na",
    "empty": "the file is empty",
    "disordered": "disordered: Cl1 has occupancy 0.5 (partial occupancy)",
    "heavy": "element Lr is outside the table",
    "isolated": "no neighbour within 8 Å of atom 0 (Cs0)",
    "missing": "no value of target",
    "text": "target = 'abc' is not a number",
    "nan": "target is NaN",
    "infinite": "target is infinite",
    "good": "duplicate id",
    "absent": "no structure file: absent.cif is not there",
}


def test_bad_crystals_are_reported_and_the_others_kept(bad_folder):
    dataset, skipped = build(bad_folder)
    assert dataset.ids.tolist() == ["good", "negative", "packed"]
    np.testing.assert_array_equal(dataset.columns["target"], [25, -3.2, 30])
    found = dict(skipped)
    assert found.keys() == REASONS.keys()
    for identifier, reason in REASONS.items():
        assert found[identifier].startswith(reason)


def test_command_writes_the_report_and_leaves_out_impossible_targets(bad_folder, tmp_path, capfd):
    out = tmp_path / "dataset"
    assert main([str(bad_folder), "--out", str(out), "--property", "bulk-modulus"]) == 0
    assert load_dataset(out).ids.tolist() == ["good", "packed"]
    with (out / "skipped.csv").open(newline="", encoding="utf-8") as lines:
        report = {row["id"]: row["reason"] for row in csv.DictReader(lines)}
    assert report["negative"] == "bulk_modulus = -3.2: log10 needs a value above 0"
    assert len(report) == len(REASONS) + 1
    message = capfd.readouterr().err
    assert "2 crystals" in message
    assert "14 crystals left out: see" in message


def test_strict_fails_on_any_bad_crystal(bad_folder, tmp_path, capfd):
    out = tmp_path / "dataset"
    assert main([str(bad_folder), "--out", str(out), "--strict", "--quiet"]) == 1
    assert not out.exists()
    error = capfd.readouterr().err
    assert error.startswith("error: --strict: 13 crystals cannot be used, the first is unreadable:")


def test_mistakes_give_one_line_that_names_the_fix(tmp_path, capfd):
    empty = tmp_path / "empty"
    empty.mkdir()
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "a.cif").write_text(NACL)
    good = write_lines(tmp_path / "good.jsonl", [{"id": "a", "cif": NACL, "targets": {"gap": 1}}])
    bad = write_lines(tmp_path / "bad.jsonl", [{"id": "a", "cif": "", "targets": {"gap": 1}}])
    blank = write_lines(tmp_path / "blank.jsonl", ["\n"])
    broken = tmp_path / "broken.json"
    broken.write_text("[{]")
    uneven = tmp_path / "uneven.json"
    uneven.write_text('{"index": [0, 1], "columns": ["structure", "x"], "data": [[{}, 1]]}')
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(BUNDLED.read_bytes()[:20000])
    taken = tmp_path / "taken"
    taken.mkdir()
    cases = [
        ([tmp_path / "nowhere"], "does not exist: check the path"),
        ([empty], "is empty: put structure files and id_prop.csv there"),
        ([bare], "has no id_prop.csv: write one line 'id,value'"),
        ([bare / "a.cif"], "is no source of crystals: give a folder"),
        ([bad], "none of 1 crystal can be used; a: the CIF is empty"),
        ([blank], "holds no crystals"),
        ([broken], "is not valid JSON"),
        ([uneven], "is no list of structures, nor of rows with a structure"),
        ([cut], "is cut off or damaged: copy it again"),
        ([good, "--property", "bulk_modulus"], "has no property 'bulk_modulus'. It has: gap"),
        ([good, "--radius", "-1"], "radius is -1.0: give"),
        ([good, "--out", taken], "exists already: remove it"),
        ([good, "--out", good / "inside"], "cannot write to"),
    ]
    for arguments, message in cases:
        if "--out" not in arguments:
            arguments = [*arguments, "--out", tmp_path / "out"]
        assert main([*map(str, arguments), "--quiet"]) == 1
        error = capfd.readouterr().err
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_structures_for_prediction_need_no_targets(bad_folder, tmp_path):
    (tmp_path / "structures.json").write_text(json.dumps([rock_salt().as_dict()]))
    lines = write_lines(tmp_path / "x.jsonl", [{"id": "line", "cif": NACL}])
    single = tmp_path / "POSCAR-salt"
    single.write_text(rock_salt().to(fmt="poscar"))
    found = dict(iter_structures([tmp_path / "structures.json", lines, single, bad_folder]))
    assert {"0", "line", "POSCAR-salt", "good", "packed"} <= found.keys()
    assert isinstance(found["POSCAR-salt"], Structure)
    assert isinstance(found["empty"], BadCrystal)
    stream = featurize.featurize(open_structures([bad_folder]).items(), GraphConfig())
    graphs = {record.id: graph for record, graph in stream}
    assert sum(isinstance(graph, CrystalGraph) for graph in graphs.values()) == 7
    assert str(graphs["isolated"]).startswith("no neighbour within 8 Å")
    (tmp_path / "none").mkdir()
    for name, message in [("nowhere", "does not exist"), ("none", "structure files")]:
        with pytest.raises(UserError, match=message):
            iter_structures([tmp_path / name])


def test_an_error_nobody_thought_of_costs_one_crystal(tmp_path, monkeypatch):
    def fail_on_salt(structure, config):
        if len(structure) == 8:
            raise RuntimeError("surprise")
        return build_graph(structure, config)

    monkeypatch.setattr(featurize, "build_graph", fail_on_salt)
    rows = [
        {"id": "a", "structure": rock_salt().as_dict(), "targets": {"gap": 1.0}},
        {"id": "b", "cif": NACL, "targets": {"gap": 1.0}},
    ]
    dataset, skipped = build(write_lines(tmp_path / "x.jsonl", rows))
    assert dataset.ids.tolist() == ["b"]
    assert [tuple(row) for row in skipped] == [("a", "no graph: RuntimeError: surprise")]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_count_rate_and_time_left(terminal, monkeypatch, capfd):
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    assert list(progress.track(range(1, 4), 3, "Building")) == [1, 2, 3]
    shown = capfd.readouterr().err
    for part in ("Building", "3/3", "/s"):
        assert part in shown
    assert list(progress.track(range(3), 3, "Building", quiet=True)) == [0, 1, 2]
    assert capfd.readouterr().err == ""


def test_limit_takes_the_first_crystals(tmp_path):
    source = head_of_bundled(tmp_path / "x.jsonl", 6)
    with pytest.raises(UserError, match="the limit is 0: give 1 or more"):
        build(source, limit=0)
    assert build(source, limit=4)[0].ids.tolist() == build(source)[0].ids.tolist()[:4]


def test_any_number_of_processes_gives_the_same_bytes(tmp_path, monkeypatch):
    source = head_of_bundled(tmp_path / "x.jsonl", 150)
    monkeypatch.setattr(featurize, "HEAD_START", 0.0)
    for workers, again in [(1, ""), (2, ""), (1, "-again")]:
        arguments = [str(source), "--out", str(tmp_path / f"{workers}{again}"), "--quiet"]
        assert main([*arguments, "--workers", str(workers)]) == 0
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert {"dataset.json", "skipped.csv", "edge_distance.npy"} <= set(files)
    for other in ("2", "1-again"):
        assert sorted(path.name for path in (tmp_path / other).iterdir()) == files
        for name in files:
            assert (tmp_path / "1" / name).read_bytes() == (tmp_path / other / name).read_bytes()


def test_bundled_crystals_are_all_usable():
    dataset, skipped = open_dataset(BUNDLED, GraphConfig(), quiet=True)
    assert (len(dataset), skipped) == (1181, [])
    assert list(dataset.columns) == ["bulk_modulus", "shear_modulus", "poisson_ratio"]
    # The table's own means.
    np.testing.assert_allclose(dataset.columns["bulk_modulus"].mean(), 136.259661, atol=1e-6)
    np.testing.assert_allclose(dataset.columns["shear_modulus"].mean(), 67.543145, atol=1e-6)
    np.testing.assert_allclose(dataset.columns["poisson_ratio"].mean(), 0.287401, atol=1e-6)
    salts = dict(bundled(step=100))
    row = dataset.ids.tolist().index("mp-10003")
    assert salts["mp-10003"].composition.reduced_formula == "Nb4CoSi"
    assert dataset.columns["bulk_modulus"][row] == 194.268884


def test_data_preparation_never_imports_jax():
    program = (
        "import sys, data_prep.cache, data_prep.build, data_prep.featurize\n"
        "assert not {'jax', 'flax', 'gatgnn_jax'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_graphs_are_those_of_the_published_program(tmp_path):
    """The golden files' distances, against crystals of the same elements in the elastic set."""
    shared = Path(__file__).parents[2] / "shared"
    crystals = shared / "data" / "mp_elastic.jsonl.gz"
    if not crystals.exists():
        pytest.skip("the reference crystals are not here")
    names = ["mp-8640", "mp-704645", "mp-2643", "mp-18848", "mp-30784", "mp-2698", "mp-10850"]
    names += ["mp-22875", "mp-17177", "mp-568711", "mp-31438", "mp-553243"]
    with gzip.open(crystals, "rt") as lines:
        rows = [line for line in lines if any(f'"id":"{name}"' in line for name in names)]
    structures = dict(iter_structures([write_lines(tmp_path / "x.jsonl", rows)]))
    for file, preset in [("composition", "cgcnn"), ("megnet_graph", "megnet")]:
        golden = np.load(shared / "reference" / f"{file}.npz")
        settings = {**GRAPH_PRESETS[preset].to_dict(), "fake_edges": True, "reduce": False}
        first = 0
        for name, n_node in zip(names, golden["n_node"], strict=True):
            graph = build_graph(structures[name], GraphConfig.from_dict(settings))
            atoms = slice(first, first + n_node)
            np.testing.assert_array_equal(graph.atomic_number, golden["atomic_number"][atoms])
            distance = golden["distance"].reshape(-1, graph.distance.shape[1])[atoms]
            np.testing.assert_allclose(graph.distance, distance, atol=1e-6)
            first += n_node
