"""Fetching data at the source: what is written, after breaks too, and what is said if it fails."""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from pymatgen.core import Structure

from data_prep import fetch
from data_prep.build import build_dataset
from data_prep.config import GraphConfig
from data_prep.fetching import materials_project
from tests.commands import error_of
from tests.crystals import iter_structures
from tests.fetching import ROWS, STRUCTURES, serve

KEY = "k" * 32
SETUP = ["--quiet", "--property", "bulk_modulus", "formation_energy_per_atom"]


class MaterialsProject:
    """The crystals, as the server has them, and the faults it is to have."""

    def __init__(self) -> None:
        self.version = "2026.1.1"
        self.asked: list[str] = []
        self.break_after: int | None = None
        self.documents = {
            row["id"]: {
                "material_id": row["id"],
                "structure": STRUCTURES[row["id"]].as_dict(),
                "bulk_modulus": {"voigt": 1.0, "reuss": 2.0, "vrh": row["targets"]["bulk_modulus"]},
                "formation_energy_per_atom": -0.1 * number,
                "is_metal": number % 2 == 0,
                "has_props": {"elasticity": number != 5, "thermo": True},
            }
            for number, row in enumerate(ROWS)
        }
        del self.documents[ROWS[5]["id"]]["bulk_modulus"]
        self.documents[ROWS[6]["id"]]["bulk_modulus"] = None
        self.documents[ROWS[6]["id"]]["formation_energy_per_atom"] = None

    def find(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """What the server answers; ConnectionError where the network breaks."""
        wanted = query["material_ids"].split(",") if "material_ids" in query else self.documents
        if "material_ids" in query:
            if self.break_after is not None and len(self.asked) >= self.break_after:
                raise ConnectionError("the network is gone")
            self.asked += wanted
        found = [self.documents[name] for name in sorted(wanted) if name in self.documents]
        if "has_props" in query:
            found = [document for document in found if document["has_props"][query["has_props"]]]
        if "elements" in query:
            elements = set(query["elements"].split(","))
            found = [d for d in found if elements <= chemical_symbols(d["material_id"])]
        fields = query["_fields"].split(",")
        # Not in the order of the ids asked for.
        return [{k: v for k, v in d.items() if k in fields} for d in reversed(found)]


def chemical_symbols(name: str) -> set[str]:
    return {element.symbol for element in STRUCTURES[name].elements}


@pytest.fixture(params=["stand-in", "mp-api"])
def project(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MaterialsProject]:
    """The Materials Project, through a stand-in for mp-api and through mp-api itself."""
    project = MaterialsProject()
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setattr(materials_project, "CHUNK", 3)
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "mp_api", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "mp_api.client", stand_in(project))
        yield project
        return
    pytest.importorskip("mp_api.client")
    from mp_api.client.core import client
    from mp_api.client.core.settings import MAPI_CLIENT_SETTINGS

    def answer(path: str, headers: dict[str, str]) -> tuple[int, bytes, int]:
        parts = urlsplit(path)
        if parts.path == "/heartbeat":
            content: Any = {
                "db_version": project.version,
                "access_controlled_batch_ids": [],
                "version": "0.87.0",
            }
        elif headers["x-api-key"] != KEY:
            return 401, b'{"detail": "Unauthorized"}', 26
        else:
            query = dict(parse_qsl(parts.query))
            assert query["batch_id_not_eq"] == "gnome_r2scan_statics"
            assert query["deprecated"] == "False"
            try:
                found = project.find(query)
            except ConnectionError:
                return 500, b"{}", 2
            begin, count = int(query.get("_skip", 0)), int(query["_limit"])
            content = {
                "data": found[begin : begin + count],
                "meta": {"total_doc": len(found)},
            }
        body = json.dumps(content).encode()
        return 200, body, len(body)

    server = serve(answer)
    client._Rester._get_heartbeat_info.cache_clear()
    monkeypatch.setattr(MAPI_CLIENT_SETTINGS, "ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    yield project
    server.shutdown()
    server.server_close()


def stand_in(project: MaterialsProject) -> SimpleNamespace:
    """What we use of `mp_api.client`, with its signatures."""

    class MPRestError(Exception):
        pass

    def search(
        *,
        fields: list[str],
        deprecated: bool,
        include_gnome: bool,
        material_ids: list[str] | None = None,
        has_props: list[str] | None = None,
        elements: list[str] | None = None,
        chemsys: list[str] | None = None,
        num_chunks: int | None = None,
        chunk_size: int = 1000,
        _sort_fields: str | None = None,
    ) -> list[dict[str, Any]]:
        assert not deprecated and not include_gnome and chemsys is None
        query = {"_fields": fields, "material_ids": material_ids, "has_props": has_props}
        query["elements"] = elements
        try:
            found = project.find({k: ",".join(v) for k, v in query.items() if v})
        except ConnectionError as error:
            raise MPRestError(str(error)) from None
        return found if num_chunks is None else found[: num_chunks * chunk_size]

    def rester(key: str, *, use_document_model: bool, mute_progress_bars: bool) -> SimpleNamespace:
        assert not use_document_model
        if key != KEY:
            raise MPRestError("REST query returned with error status code 401 on URL …")
        materials = SimpleNamespace(summary=SimpleNamespace(search=search))
        return SimpleNamespace(db_version=project.version, materials=materials)

    return SimpleNamespace(MPRester=rester, MPRestError=MPRestError)


def fetch_to(out: Path, *arguments: str | Path) -> dict[str, Any]:
    """Fetch from the Materials Project; what was written beside."""
    assert fetch.main(["materials-project", "--out", str(out), *SETUP, *map(str, arguments)]) == 0
    return json.loads(out.with_name(f"{out.name}.source.json").read_text())


def test_crystals_of_the_materials_project(project: MaterialsProject, tmp_path: Path) -> None:
    out = tmp_path / "crystals.jsonl.gz"
    origin = fetch_to(out)
    with gzip.open(out, "rt") as lines:
        assert [json.loads(line)["id"] for line in lines] == sorted(
            set(STRUCTURES) - {ROWS[6]["id"]}
        )
    for name, structure in iter_structures([out]):
        assert isinstance(structure, Structure)
        assert structure.composition == STRUCTURES[name].composition
        np.testing.assert_allclose(structure.distance_matrix, STRUCTURES[name].distance_matrix)
    dataset, skipped = build_dataset(out, GraphConfig(), workers=1, progress=False)
    assert not skipped
    for number, row in enumerate(ROWS):
        if number != 6:
            [position] = np.flatnonzero(dataset.ids == row["id"])
            expected = np.nan if number == 5 else row["targets"]["bulk_modulus"]
            np.testing.assert_equal(dataset.columns["bulk_modulus"][position], expected)
            energy = dataset.columns["formation_energy"][position]
            assert energy == pytest.approx(-0.1 * number)
    assert origin["database_version"] == "2026.1.1"
    assert origin["licence"].startswith("CC BY 4.0")
    assert origin["fields"]["bulk_modulus"] == "bulk_modulus.vrh"
    assert (origin["crystals"], origin["missing"]) == (10, [ROWS[6]["id"]])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "crystals.jsonl.gz", "crystals.jsonl.gz.source.json",
    ]  # fmt: skip
    assert not any(KEY in path.read_text(errors="replace") for path in tmp_path.iterdir())


def test_a_broken_fetch_goes_on(
    project: MaterialsProject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    fetch_to(whole)
    project.asked.clear()
    project.break_after = 6
    message = error_of(fetch.main, ["materials-project", *SETUP, "--out", out], capsys)
    assert "the same command goes on" in message
    assert not out.exists()
    part = tmp_path / "broken.jsonl.part"
    assert len(part.read_text().splitlines()) == 6 - (ROWS[6]["id"] in project.asked)
    # A kill in the middle of a line.
    last = part.read_text().splitlines()[-1]
    part.write_bytes(part.read_bytes()[:-100])

    before = len(project.asked)
    project.break_after = None
    fetch_to(out)
    assert out.read_bytes() == whole.read_bytes()
    again = set(project.asked[:before]) & set(project.asked[before:])
    assert again == {json.loads(last)["id"]} | (again & {ROWS[6]["id"]})
    assert not part.exists()


def test_another_query_or_version_begins_anew(
    project: MaterialsProject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "crystals.jsonl"
    command = ["materials-project", *SETUP, "--out", out]
    project.break_after = 3
    error_of(fetch.main, command, capsys)
    assert project.asked
    project.break_after = None
    project.version = "2026.2.2"
    if "mp_api.client.core.client" in sys.modules:  # it asks once a process
        sys.modules["mp_api.client.core.client"]._Rester._get_heartbeat_info.cache_clear()
    project.asked.clear()
    element = min(chemical_symbols(ROWS[0]["id"]))
    origin = fetch_to(out, "--elements", element)
    wanted = sorted(name for name in STRUCTURES if element in chemical_symbols(name))
    assert 0 < len(wanted) < len(STRUCTURES)
    assert project.asked == wanted
    assert origin["database_version"] == "2026.2.2"


def test_ids_and_limits(project: MaterialsProject, tmp_path: Path) -> None:
    wanted = [ROWS[4]["id"], ROWS[1]["id"], "mp-999999", ROWS[4]["id"]]
    (tmp_path / "ids.txt").write_text("\n".join(wanted))
    origin = fetch_to(tmp_path / "a.jsonl", "--ids", tmp_path / "ids.txt")
    assert (origin["crystals"], origin["missing"]) == (2, ["mp-999999"])
    assert project.asked == wanted[:3]
    assert fetch_to(tmp_path / "b.jsonl", "--limit", "2")["crystals"] == 2


def test_a_wrong_key_is_said(
    project: MaterialsProject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["materials-project", *SETUP, "--out", tmp_path / "a.jsonl", "--api-key", "x" * 32]
    assert "does not accept the key" in error_of(fetch.main, command, capsys)


def test_what_is_wrong_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def message(*arguments: str | Path) -> str:
        return error_of(fetch.main, ["materials-project", *arguments], capsys)

    out = ["--out", tmp_path / "a.jsonl"]
    monkeypatch.delenv("MP_API_KEY", raising=False)
    assert "set MP_API_KEY" in message(*SETUP, *out)
    assert "materialsproject.org/api" in message(*SETUP, *out)
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setitem(sys.modules, "mp_api", None)
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    assert 'pip install -e ".[fetch]"' in message(*SETUP, *out)
    assert "no 'hardness': formation_energy, " in message("--property", "hardness", *out)
    assert "end in .jsonl" in message(*SETUP, "--out", tmp_path / "a.csv")
    assert "limit is 0" in message(*SETUP, *out, "--limit", "0")
    assert "cannot be read" in message(*SETUP, *out, "--ids", tmp_path / "none.txt")
    (tmp_path / "a.jsonl").touch()
    assert "exists already" in message(*SETUP, *out)

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host")

    module = SimpleNamespace(MPRester=offline, MPRestError=RuntimeError)
    monkeypatch.setitem(sys.modules, "mp_api", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mp_api.client", module)
    assert "no route to host" in message(*SETUP, "--out", tmp_path / "b.jsonl")
