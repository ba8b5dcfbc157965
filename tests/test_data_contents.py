"""Crystals in what has no path: as those of a file with that content, or refused."""

import gzip
import json
from pathlib import Path

import pytest
from pymatgen.core import Structure

from data_prep.errors import BadCrystal
from data_prep.reading.contents import items_in
from data_prep.reading.sources import read_item
from tests.crystals import NACL, diamond, iter_structures, ordered_alloy, rock_salt

MOST = 1_000_000


def crystals(name: str, content: bytes) -> list[tuple[str, Structure | BadCrystal]]:
    read = map(read_item, items_in(name, content, MOST))
    return [(record.id, structure) for record, structure in read]


POSCAR = rock_salt().to(fmt="poscar")
TWO_BLOCKS = NACL.replace("data_NaCl", "data_a") + NACL.replace("data_NaCl", "data_b")
DICTIONARIES = [own.as_dict() for own in (rock_salt(), diamond(), ordered_alloy())]
ROWS = [{"id": f"row-{k}", "structure": own} for k, own in enumerate(DICTIONARIES)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("salt.cif", NACL),
        ("two.cif", TWO_BLOCKS),
        ("salt.vasp", POSCAR),
        ("one.json", json.dumps(DICTIONARIES[0])),
        ("list.json", json.dumps(DICTIONARIES)),
        ("rows.json", json.dumps(ROWS)),
        ("row.json", json.dumps(ROWS[1])),
        ("rows.jsonl", LINES),
    ],
)
def test_as_from_a_file(name: str, text: str, tmp_path: Path) -> None:
    """Ids and structures, packed or not, with Windows' line ends, and called otherwise."""
    (tmp_path / name).write_text(text)
    expected = list(iter_structures([tmp_path / name]))
    assert all(isinstance(structure, Structure) for _, structure in expected)
    assert crystals(name, text.encode()) == expected
    assert crystals(f"{name}.gz", gzip.compress(text.encode())) == expected
    assert crystals(name, text.replace("\n", "\r\n").encode()) == expected
    pasted = crystals("pasted", text.encode("utf-16"))
    assert [own for _, own in pasted] == [own for _, own in expected]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b" \n", "empty"),
        (b"[]", "no structure as JSON"),
        (b"[1, 2]", "no structure as JSON"),
        (b'{"lattice": ', "not valid JSON"),
        (b"{" * 100_000, "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"x" * (MOST + 1), "larger than 1 MB"),
        (gzip.compress(bytes(50 * MOST), mtime=0), "larger than 1 MB"),
        (gzip.compress(NACL.encode(), mtime=0)[:100], "cut off or damaged"),
        (b"\x1f\x8bno archive", "cut off or damaged"),
    ],
)
def test_refused(content: bytes, reason: str) -> None:
    with pytest.raises(BadCrystal, match=reason):
        items_in("x", content, MOST)


def test_a_bad_crystal_leaves_the_others(tmp_path: Path) -> None:
    rows = [ROWS[0], {"id": "bad", "structure": {"lattice": 1, "sites": []}}, ROWS[2]]
    text = "".join(json.dumps(row) + "\n" for row in rows) + "{}{\n"
    found = crystals("x.jsonl", text.encode())
    assert [name for name, _ in found] == ["row-0", "bad", "row-2", "line 4"]
    assert [isinstance(own, BadCrystal) for _, own in found] == [False, True, False, True]
