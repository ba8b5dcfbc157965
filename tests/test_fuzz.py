"""Damaged files (`benchmarks.fuzz`): a few of each kind, and that faults would be seen."""

from pathlib import Path

import pytest

from benchmarks.fuzz import judge as judging
from benchmarks.fuzz.__main__ import MAKERS, main
from benchmarks.fuzz.cases import Case, Expected, Wanted
from benchmarks.fuzz.judge import Fault, judge
from tests.cifs import EIGHT_SITES, cif
from tests.crystals import diamond, rock_salt

GOOD = cif(EIGHT_SITES).encode()


def faults(content: bytes, expected: Expected, path: Path, file: str = "x.cif") -> list[Fault]:
    case = Case("test", file, content, [Wanted(expected, rock_salt())])
    return [fault for fault, _ in judge(case, path).found]


def test_nothing_happens_that_must_not(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--cases", str(2 * len(MAKERS)), "--crystals", "8", "--folders", "0"])
    assert status == 0, capsys.readouterr().out


def test_an_unknown_kind_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kind", "PDB"]) == 1
    assert "no kind begins with 'PDB'" in capsys.readouterr().err


def test_a_good_file_has_no_fault(tmp_path: Path) -> None:
    for expected in (Expected.SAME, Expected.SAME_OR_REFUSED, Expected.ANYTHING):
        assert faults(GOOD, expected, tmp_path) == []


def test_what_should_have_been_refused_or_read_is_seen(tmp_path: Path) -> None:
    assert faults(GOOD, Expected.REFUSED, tmp_path) == [Fault.ACCEPTED]
    assert faults(GOOD[:-20], Expected.SAME, tmp_path) == [Fault.DIFFERS]
    assert faults(diamond().to(fmt="cif").encode(), Expected.SAME, tmp_path) == [Fault.DIFFERS]


@pytest.mark.parametrize("file", ["x.cif", "x.vasp"])
@pytest.mark.slow
def test_a_crystal_that_another_program_reads_otherwise_is_seen(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = rock_salt().to(fmt="cif" if file == "x.cif" else "poscar").encode()
    assert faults(text, Expected.ANYTHING, tmp_path, file) == []
    moved = rock_salt()
    moved.translate_sites([0], [0.05, 0, 0])
    monkeypatch.setattr(judging, "read_item", lambda item: (None, moved))
    assert faults(text, Expected.ANYTHING, tmp_path, file) == [Fault.DIFFERS]


def test_lost_crystals_tracebacks_and_hangs_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(Expected.SAME, rock_salt())
    assert judge(Case("test", "x.cif", GOOD, [wanted] * 2), tmp_path).found[0].fault is Fault.LOST

    def fails(_: object) -> None:
        raise IndexError

    monkeypatch.setattr(judging, "read_item", fails)
    assert faults(GOOD, Expected.ANYTHING, tmp_path) == [Fault.TRACEBACK]

    def hangs(_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(judging, "read_item", hangs)
    monkeypatch.setattr(judging, "HANG", 0.1)
    assert faults(GOOD, Expected.ANYTHING, tmp_path) == [Fault.HANG]


def test_other_cells_are_no_same_crystals() -> None:
    assert judging.same_crystal(rock_salt(), rock_salt())
    assert not judging.same_crystal(rock_salt(), rock_salt() * (2, 1, 1))
    swapped = rock_salt()
    swapped.replace(0, "Cl")
    swapped.replace(4, "Na")
    assert not judging.same_crystal(rock_salt(), swapped)
