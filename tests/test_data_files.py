"""Files and texts that cannot be read, or should not be: why, and that no more is read of them."""

import csv
import errno
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from pymatgen.core import Structure

from data_prep.errors import BadCrystal, UserError
from data_prep.reading import formats, opening, structures
from data_prep.reading.sources import open_source
from tests.crystals import NACL, iter_structures, rock_salt, write_lines


def reason_of(path: Path) -> str:
    """Why the one crystal at a path is left out."""
    ((_, structure),) = iter_structures([path])
    assert isinstance(structure, BadCrystal)
    return structure.reason


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be allowed to read everything, so that the refusal is made up."""
    (tmp_path / "secret.cif").write_text(NACL)

    def refuse(path: Path, mode: str = "r") -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert reason_of(tmp_path / "secret.cif").endswith("cannot be read: Permission denied")


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "secret").mkdir(parents=True)
    (tmp_path / "in" / "good.cif").write_text(NACL)
    within = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path.name == "secret":
            raise PermissionError(errno.EACCES, "Permission denied")
        return within(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = dict(iter_structures([tmp_path / "in"]))
    assert list(found) == ["good", "secret"]
    assert "secret is a folder that cannot be opened" in str(found["secret"])


def test_structures_too_large_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain or packed: no more is read than the limit."""
    monkeypatch.setattr(structures, "MAX_BYTES", 3_000_000)
    (tmp_path / "large.cif").write_text(NACL + " " * 3_000_000)
    (tmp_path / "packed.cif.gz").write_bytes(gzip.compress((NACL + " " * 3_000_000).encode()))
    for name in ("large.cif", "packed.cif.gz"):
        assert "larger than 3 MB" in reason_of(tmp_path / name)
    (tmp_path / "large.cif").write_text(NACL + " " * 2_000_000)
    ((_, structure),) = iter_structures([tmp_path / "large.cif"])
    assert isinstance(structure, Structure)


def test_a_line_too_long_to_be_a_crystal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_BYTES", 1_000_000)
    rows: list = [{"id": name, "cif": NACL} for name in "abc"]
    rows[1]["more"] = "x" * 2_500_000
    found = dict(iter_structures([write_lines(tmp_path / "x.jsonl", rows)]))
    assert list(found) == ["a", "line 2", "c"]
    assert str(found["line 2"]) == "line 2 is longer than 1 MB"
    assert isinstance(found["c"], Structure)


@pytest.mark.parametrize("name", ["x.json.gz", "x.csv.gz"])
def test_archives_that_unpack_to_far_more_than_they_should(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MAX_UNPACKED", 1_000_000)
    contents = {"x.json.gz": b"[]", "x.csv.gz": b"id,cif\na,b\n"}
    (tmp_path / name).write_bytes(gzip.compress(contents[name] + b" " * 4_000_000))
    with pytest.raises(UserError, match="unpacks to more than 100 times its size: unpack it first"):
        open_source(tmp_path / name)


def test_json_lines_may_unpack_to_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read one by one; crystals that are all alike pack to less than a hundredth."""
    monkeypatch.setattr(opening, "MAX_UNPACKED", 0)
    rows: list = [{"id": f"{number}", "cif": NACL} for number in range(3000)]
    path = write_lines(tmp_path / "x.jsonl.gz", rows)
    assert path.stat().st_size * opening.MAX_RATIO < len(json.dumps(rows))
    assert open_source(path).count == 3000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mp-1.cif", "'mp-1.cif' is the name of a file, not a structure: give a folder"),
        ("calcs/1/POSCAR", "is the name of a file"),
        (repr(rock_salt().as_dict()), "a Python dictionary as text, not JSON: write json.dumps"),
        (str(rock_salt()), "the structure as Python prints it, which is no format"),
        ('{"lattice": ', "the structure is not valid JSON"),
        ("NaCl", "the text is no CIF, no POSCAR"),
    ],
)
def test_texts_that_are_no_structure(text: str, reason: str, tmp_path: Path) -> None:
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "structure"], ["a", text], ["b", NACL]])
    found = dict(iter_structures([tmp_path / "x.csv"]))
    assert reason in str(found["a"])
    assert isinstance(found["b"], Structure)


def test_poscars_as_texts(tmp_path: Path) -> None:
    poscar = rock_salt().to(fmt="poscar")
    texts = [poscar, poscar.partition("\n")[2], "\n" + poscar.partition("\n")[2]]
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "structure"], *enumerate(texts)])
    rows = [{"id": f"line {number}", "structure": text} for number, text in enumerate(texts)]
    found = dict(iter_structures([tmp_path / "x.csv", write_lines(tmp_path / "x.jsonl", rows)]))
    assert list(found) == ["0", "1", "2", "line 0", "line 1", "line 2"]
    assert all(structure == rock_salt() for structure in found.values())


def test_a_structure_nobody_thought_of_costs_one_crystal() -> None:
    class Strange:
        """Looks like an Atoms, and fails in a way of its own."""

        info: ClassVar[dict] = {}

        def get_pbc(self) -> list[bool]:
            raise RuntimeError("surprise\n\x1b")

        get_cell = get_atomic_numbers = get_positions = get_pbc

    (_, bad), (_, good) = iter_structures([Strange(), rock_salt()])
    assert str(bad) == r"unreadable: RuntimeError: surprise \x1b"
    assert good == rock_salt()
