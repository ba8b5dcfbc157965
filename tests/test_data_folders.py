"""Folders of structure files: what is found in them, and what the crystals are called."""

import csv
import gzip
import os
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from data_prep.build import build_dataset
from data_prep.cache import fingerprint
from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal, UserError
from data_prep.reading.sources import open_structures
from gatgnn_jax import predict
from tests.commands import untrained_run
from tests.crystals import NACL, iter_structures, rock_salt

POSCAR = rock_salt().to(fmt="poscar")


def write(text: str, *paths: str) -> None:
    """A text in several files, with the folders they lie in."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def ids(*paths: str) -> list[str]:
    return [record.id for record, *_ in zip(open_structures(map(Path, paths)).items())]


@pytest.fixture
def calcs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Calculations as VASP leaves them, a folder each; the folder above is the current one."""
    monkeypatch.chdir(tmp_path)
    for name in "abcde":
        write(POSCAR, f"calcs/{name}/POSCAR")
        write("", f"calcs/{name}/OUTCAR")
    return tmp_path / "calcs"


NAMES = [f"calcs/{name}" for name in "abcde"]


def test_calculations_go_by_their_folders(calcs: Path) -> None:
    assert ids("calcs") == NAMES
    assert ids("calcs/") == NAMES
    assert ids(*(f"calcs/{name}/POSCAR" for name in "abcde")) == NAMES
    assert ids("calcs/a/POSCAR", "calcs/b") == NAMES[:2]
    (calcs / "c" / "POSCAR.gz").write_bytes(gzip.compress(POSCAR.encode()))
    (calcs / "c" / "POSCAR").unlink()
    assert ids("calcs") == NAMES
    assert ids(str(calcs)) == [str(calcs / name) for name in "abcde"]


def test_calculations_are_predicted_by_the_command(calcs: Path) -> None:
    run = untrained_run(calcs.parent / "run")
    assert predict.main([str(run), "calcs/", "--quiet"]) == 0
    with Path("predictions.csv").open() as rows:
        assert [row["id"] for row in csv.DictReader(rows)] == NAMES


def test_a_file_in_the_current_folder_keeps_its_name(calcs: Path) -> None:
    os.chdir(calcs / "a")
    assert ids("POSCAR") == ids("./POSCAR") == ["POSCAR"]


def test_the_relaxed_structure_is_taken(calcs: Path) -> None:
    relaxed = Structure(Lattice.cubic(5), ["K"], [[0, 0, 0]]).to(fmt="poscar")
    (calcs / "b" / "CONTCAR").write_text(relaxed)
    (calcs / "c" / "CONTCAR-old").write_text(relaxed)
    found = dict(iter_structures(["calcs"]))
    assert list(found) == [*NAMES[:2], "CONTCAR-old", *NAMES[2:]]
    formulas = [structure.composition.reduced_formula for structure in found.values()]
    assert formulas == ["NaCl", "K", "K", "NaCl", "NaCl", "NaCl"]
    # Both are taken where both are named.
    assert ids("calcs/b/POSCAR", "calcs/b/CONTCAR") == ["calcs/b/POSCAR", "calcs/b/CONTCAR"]


def test_files_of_one_name_are_told_apart_by_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(NACL, "x/1.cif", "x/2.cif", "y/1.cif", "y/3.cif")
    write(POSCAR, "y/1.vasp")
    assert ids("x", "y") == ["x/1", "2", "y/1.cif", "y/1.vasp", "3"]
    assert ids("x/1.cif", "x/1.cif") == ["x/1.cif", "x/1.cif"]  # one crystal, given twice
    write(NACL, "z/deep/deeper/1.cif", "z/0.cif", "z/.hidden.cif", "z/.git/4.cif")
    assert ids("z") == ["0", "1"]


def test_links_in_a_circle_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(NACL, "x/1.cif", "elsewhere/2.cif")
    (tmp_path / "x" / "circle").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    (tmp_path / "x" / "itself").symlink_to("itself")
    assert ids("x") == ["1", "2"]
    assert len(fingerprint("", [Path("x")])) == 64


def test_a_dataset_of_calculations(calcs: Path) -> None:
    names = ["a", "b/POSCAR", "c/", "sub/x", "y.cif", "d/CONTCAR", "z"]
    rows = [f"{name},{number}\n" for number, name in enumerate(names, 1)]
    (calcs / "id_prop.csv").write_text("".join(rows))
    write(NACL, "calcs/sub/x.cif", "calcs/sub/y.cif")
    dataset, skipped = build_dataset(calcs, GraphConfig(), workers=1, progress=False)
    assert dataset.ids.tolist() == ["a", "b", "c", "sub/x", "y", "d"]
    assert dataset.columns["target"].tolist() == [1, 2, 3, 4, 5, 6]
    assert [tuple(entry) for entry in skipped] == [("z", "no structure file: z.cif is not there")]


def test_a_change_deep_in_a_folder_is_seen(calcs: Path) -> None:
    before = fingerprint("", [calcs])
    assert fingerprint("", [calcs]) == before
    (calcs / "a" / "POSCAR").write_text(POSCAR + "\nchanged")
    assert fingerprint("", [calcs]) != before


def test_nothing_in_a_folder_and_the_folders_in_it(calcs: Path) -> None:
    for path in calcs.glob("*/POSCAR"):
        path.unlink()
    with pytest.raises(UserError, match=r"holds no structure files .*nor do the folders in it"):
        open_structures([calcs])


def test_a_folder_that_is_called_like_a_file_is_not_lost(calcs: Path) -> None:
    write(NACL, "calcs/salt.cif/salt.cif")
    (reason,) = [s for name, s in iter_structures([calcs]) if name == "salt"]
    assert isinstance(reason, BadCrystal)
    assert "salt.cif is a folder, not a file" in reason.reason
    assert ids("calcs/salt.cif") == ["salt"]  # where it is given by name
