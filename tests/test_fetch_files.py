"""Crystals from files: those of JARVIS and Matbench, at hand or downloaded."""

import gzip
import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Structure

from data_prep import fetch
from data_prep.build import build_dataset
from data_prep.config import GraphConfig
from data_prep.fetching import jarvis
from tests.commands import error_of
from tests.crystals import iter_structures
from tests.fetching import ROWS, STRUCTURES, serve


def jarvis_rows() -> list[dict[str, Any]]:
    """Rows as in jarvis-tools' files: silicon carbide, Cartesian and fractional, and others."""
    cell = [[2.0, 2.0, 0.0], [2.0, 0.0, 2.0], [0.0, 2.0, 2.0]]
    rows: list[dict[str, Any]] = []
    for number in range(5):
        cartesian = number % 2 == 1
        atoms = {
            "lattice_mat": cell,
            "coords": [[0.0, 0.0, 0.0], [1.0] * 3 if cartesian else [0.25] * 3],
            "elements": ["Si ", "C"],
            "abc": [8**0.5] * 3,
            "angles": [60.0] * 3,
            "cartesian": cartesian,
            "props": ["", ""],
        }
        rows.append(
            {
                "jid": f"JVASP-{number}",
                "formula": "SiC, [so called]",
                "formation_energy_peratom": -0.5 - number,
                "optb88vdw_bandgap": 0.0 if number == 0 else "na",
                "bulk_modulus_kv": 200.0 + number,
                "efg": [[1, 2], [3, 4]],
                "atoms": atoms,
            }
        )
    rows[3]["formation_energy_peratom"] = rows[3]["bulk_modulus_kv"] = "na"
    rows.append(rows[0] | {"formation_energy_peratom": 7.0})
    return rows


@pytest.fixture
def jarvis_file(tmp_path: Path) -> Path:
    path = tmp_path / "jdft_3d.json.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jdft_3d.json", json.dumps(jarvis_rows(), indent=1))
    return path


@pytest.mark.parametrize("block", [7, 1_000_000])
def test_crystals_of_jarvis(
    block: int, jarvis_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jarvis, "_BLOCK", block)
    out = tmp_path / "crystals.jsonl.gz"
    names = ["formation_energy_peratom,is_metal", "bulk_modulus", "bulk_modulus_kv"]
    command = ["jarvis", str(jarvis_file), "--property", *names, "--out", str(out), "--quiet"]
    assert fetch.main(command) == 0
    dataset, skipped = build_dataset(out, GraphConfig(), workers=1, progress=False)
    assert not skipped
    assert dataset.ids.tolist() == ["JVASP-0", "JVASP-1", "JVASP-2", "JVASP-4"]
    columns = dataset.columns
    assert columns["formation_energy"].tolist() == [-0.5, -1.5, -2.5, -4.5]
    np.testing.assert_equal(columns["band_gap"], [0, np.nan, np.nan, np.nan])
    for name in ("bulk_modulus", "bulk_modulus_kv"):
        assert columns[name].tolist() == [200, 201, 202, 204]
    for _, structure in iter_structures([out]):
        assert isinstance(structure, Structure)
        assert structure.composition.formula == "Si1 C1"
        assert structure.get_distance(0, 1) == pytest.approx(3**0.5)
        assert structure.volume == pytest.approx(16)
    origin = json.loads((tmp_path / "crystals.jsonl.gz.source.json").read_text())
    assert origin["fields"]["formation_energy"] == "formation_energy_peratom"
    assert (origin["crystals"], origin["rows_read"]) == (4, 6)


def test_files_of_jarvis_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "jarvis.json"
    path.write_text(json.dumps(jarvis_rows()))
    dataset, skipped = build_dataset(path, GraphConfig(), workers=1, progress=False)
    assert [entry.id for entry in skipped] == ["JVASP-3", "JVASP-0"]
    assert "no value" in skipped[0].reason and "duplicate" in skipped[1].reason
    assert dataset.columns["formation_energy_peratom"].tolist() == [-0.5, -1.5, -2.5, -4.5]
    broken = {"jid": "JVASP-9", "atoms": {"lattice_mat": np.eye(3).tolist()}, "e": 1}
    path.write_text(json.dumps([*jarvis_rows(), broken]))
    _, skipped = build_dataset(path, GraphConfig(), workers=1, progress=False)
    assert "no 'cartesian'" in skipped[-1].reason


def test_files_that_are_not_of_jarvis(
    jarvis_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def message(source: str | Path, name: str = "formation_energy") -> str:
        out = tmp_path / "out.jsonl"
        command = ["jarvis", source, "--property", name, "--out", out, "--quiet"]
        found = error_of(fetch.main, command, capsys)
        assert not list(tmp_path.glob("*out.jsonl*"))
        return found

    found = message(jarvis_file, "magnetism")
    assert "formation_energy" in found and "formula" not in found and "efg" not in found
    whole = jarvis_file.read_bytes()
    jarvis_file.write_bytes(whole[: len(whole) // 2])
    assert "is damaged" in message(jarvis_file)
    for text in (json.dumps(jarvis_rows())[:-50], "{}", "[1, 2]", '[{"jid": 1}]', "", "[]"):
        (tmp_path / "other.json").write_text(text)
        assert "other.json" in message(tmp_path / "other.json")
    assert "does not exist" in message(tmp_path / "none.json")
    monkeypatch.setitem(sys.modules, "jarvis", None)
    assert "pip install jarvis-tools" in message("dft_3d")


@pytest.fixture
def file_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, bytes, int]]]:
    """What the server answers, by path; Matbench's address is there."""
    answers: dict[str, tuple[int, bytes, int]] = {}
    server = serve(lambda path, _: answers.get(path, (404, b"", 0)))
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(fetch, "MATBENCH_URL", url + "/{}.json.gz")
    database = {"dft_3d": [f"{url}/files/1", "jdft_3d.json", "", ""]}
    module = SimpleNamespace(get_db_info=lambda: database)
    for name in ("jarvis", "jarvis.db", "jarvis.db.figshare"):
        monkeypatch.setitem(sys.modules, name, module)
    yield answers
    server.shutdown()
    server.server_close()


def test_files_of_matbench(
    file_server: dict[str, tuple[int, bytes, int]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    table = {
        "index": ["mb-1", "mb-2"],
        "columns": ["structure", "log10(K_VRH)"],
        "data": [[STRUCTURES[row["id"]].as_dict(), 1.5] for row in ROWS[:2]],
    }  # fmt: skip
    content = gzip.compress(json.dumps(table).encode())
    task, path = "matbench_log_kvrh", "/matbench_log_kvrh.json.gz"
    monkeypatch.setitem(fetch.MATBENCH, task, hashlib.sha256(content).hexdigest())
    out = tmp_path / "kvrh.json.gz"
    command = ["matbench", task, "--out", str(out), "--quiet"]

    assert "404" in error_of(fetch.main, command, capsys)
    file_server[path] = (200, content[:-1], len(content))
    assert "cannot be downloaded" in error_of(fetch.main, command, capsys)
    file_server[path] = (200, content[:-1], len(content) - 1)
    assert "SHA-256" in error_of(fetch.main, command, capsys)
    assert not list(tmp_path.iterdir())
    file_server[path] = (200, content, len(content))
    assert fetch.main(command) == 0
    dataset, _ = build_dataset(out, GraphConfig(), workers=1, progress=False)
    assert dataset.ids.tolist() == ["mb-1", "mb-2"]
    assert dataset.columns["log10(K_VRH)"].tolist() == [1.5, 1.5]
    command[1] = "matbench_steels"
    assert "matbench_mp_gap" in error_of(fetch.main, command, capsys)


def test_a_dataset_of_jarvis_by_its_name(
    file_server: dict[str, tuple[int, bytes, int]], jarvis_file: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "data"
    folder.mkdir()
    command = ["jarvis", "dft_3d", "--property", "band_gap", "--quiet"]
    command += ["--out", str(folder / "a.jsonl")]
    file_server["/files/1"] = (200, b"<html>", 6)
    assert "something else" in error_of(fetch.main, command, capsys)
    assert not list(folder.iterdir())
    content = jarvis_file.read_bytes()
    file_server["/files/1"] = (200, content, len(content))
    assert fetch.main(command) == 0
    assert json.loads((folder / "a.jsonl").read_text())["targets"] == {"band_gap": 0.0}
    command[1] = "dft_4d"
    command[-1] = str(folder / "b.jsonl")
    assert "neither a file nor" in error_of(fetch.main, command, capsys)
