"""Structures are read again from where they came from."""

import json

from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from data_prep.build import main as build
from data_prep.lookup import find_structures
from tests.commands import bundled_rows, write_source


def test_structures_are_found_by_id(tmp_path):
    rows = bundled_rows(4)
    known = {row["id"]: Structure.from_dict(row["structure"]) for row in rows}
    ids = [row["id"] for row in rows[1:3]]
    lines = write_source(tmp_path / "lines.jsonl", 4, lambda number, old: {"k": 1.0})
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "id_prop.csv").write_text("".join(f"{name},1\n" for name in known))
    for name, structure in known.items():
        (folder / f"{name}.cif").write_text(str(CifWriter(structure)))
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps([{"id": row["id"], "structure": row["structure"]} for row in rows]))
    for source in (None, lines, folder, whole):
        found = find_structures(source, {*ids, "absent"})
        assert sorted(found) == sorted(ids)
        for name in ids:
            assert found[name].composition == known[name].composition
    unnamed = tmp_path / "unnamed.jsonl"
    unnamed.write_text("".join(json.dumps({"structure": row["structure"]}) + "\n" for row in rows))
    assert list(find_structures(unnamed, {"line 2"})) == ["line 2"]

    assert build([str(lines), "--out", str(tmp_path / "graphs"), "--quiet"]) == 0
    assert find_structures(tmp_path / "graphs", ids) is None
