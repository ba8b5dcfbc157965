"""POSCARs as VASP and other programs write them, and those that no element can be read from."""

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from data_prep.errors import BadCrystal
from data_prep.reading.poscar import structure_from_poscar
from tests.crystals import bundled, without_symmetry

PLAIN = """MgO
1.0
  4.2 0.0 0.0
  0.0 4.2 0.0
  0.0 0.0 8.4
Mg O
2 2
Direct
  0.0 0.0 0.0
  0.5 0.5 0.0
  0.5 0.5 0.25
  0.0 0.0 0.25
"""
POSITIONS = PLAIN.partition("Direct\n")[2].splitlines()


def with_ends(*ends: str) -> str:
    """The plain file with something behind each position."""
    lines = [f"{line}  {end}" for line, end in zip(POSITIONS, ends, strict=True)]
    return PLAIN.partition("Direct\n")[0] + "Direct\n" + "\n".join(lines) + "\n"


def selective(*ends: str) -> str:
    return with_ends(*ends).replace("Direct", "Selective dynamics\nDirect")


CARTESIAN = "Cartesian\n0 0 0\n2.1 2.1 0\n2.1 2.1 2.1\n0 0 2.1\n"
HALF_CARTESIAN = "Kartesisch\n0 0 0\n1.05 1.05 0\n1.05 1.05 1.05\n0 0 1.05\n"
NO_SPECIES = PLAIN.replace("Mg O\n", "")

SAME = {
    "all moves are free": selective(*["T T T"] * 4),
    "some are not": selective("T F T", "F F F", "T T T", "F T F"),
    "long flags": selective(*[".TRUE. .FALSE. .true."] * 4).replace("Selective dynamics", "s"),
    "lower case": selective(*["t f t"] * 4).lower().replace("mg o", "Mg O"),
    "flags and symbols": selective("T T T Mg", "F F F Mg", "T T T O", "F F F O2"),
    "flags without the word": with_ends(*["F F F"] * 4),
    "symbols": with_ends("Mg", "Mg", "O", "O"),
    "numbered symbols": with_ends("Mg1", "Mg2", "O1", "O2"),
    "remarks": with_ends("! Mg", "! F at x = 0.5", "# O 1 2 3", "oxygen").replace("2 2", "2 2 ! n"),
    "three scales": PLAIN.replace("1.0\n", "2 4 2\n", 1)
    .replace("4.2 0.0 0.0", "2.1 0 0")
    .replace("0.0 4.2 0.0", "0 1.05 0")
    .replace("0.0 0.0 8.4", "0 0 4.2"),
    "a volume": PLAIN.replace("1.0", f"-{4.2 * 4.2 * 8.4}", 1)
    .replace("4.2", "1")
    .replace("8.4", "2"),
    "Cartesian": PLAIN.partition("Direct")[0] + CARTESIAN,
    "Cartesian and scaled": (PLAIN.partition("Direct")[0] + HALF_CARTESIAN)
    .replace("1.0\n", "2.0\n", 1)
    .replace("4.2", "2.1")
    .replace("8.4", "4.2"),
    "Cartesian and a volume": (PLAIN.partition("Direct")[0] + HALF_CARTESIAN)
    .replace("1.0\n", f"-{4.2 * 4.2 * 8.4}\n", 1)
    .replace("4.2", "2.1")
    .replace("8.4", "4.2"),
    "a note": PLAIN + "\nrelaxed with PBE\n",
    "a note close by, with numbers": PLAIN + "energy -12.5 after 3 steps\n0.1 0.2 0.3\n",
    "velocities": PLAIN + "\n" + "  0.1 0.2 0.3\n" * 4,
    "old line ends": PLAIN.replace("\n", "\r"),
    "line ends of DOS": PLAIN.replace("\n", "\r\n"),
    "no line end": PLAIN.rstrip(),
    "names of potentials": PLAIN.replace("Mg O", "Mg_pv/79d9987a O_s"),
    "hashes": PLAIN.replace("Mg O", "Mg/f474ac0d  O/79d9987ad87"),
    "exponents of Fortran": PLAIN.replace("8.4", "0.84D+01").replace("0.25", "2.5d-1"),
    "no comment": PLAIN.replace("MgO\n", "\n", 1),
    "a line each": PLAIN.replace("Mg O", "Mg\nO").replace("2 2", "2\n2"),
    "named by each atom only": with_ends("Mg", "Mg", "O", "O").replace("Mg O\n", ""),
}


@pytest.mark.parametrize("spelling", SAME)
def test_every_spelling_is_the_same_crystal(spelling: str) -> None:
    structure, plain = structure_from_poscar(SAME[spelling]), Poscar.from_str(PLAIN).structure
    assert SAME[spelling] != PLAIN
    assert structure.species == plain.species
    np.testing.assert_allclose(structure.lattice.matrix, plain.lattice.matrix, atol=1e-9)
    np.testing.assert_allclose(structure.frac_coords, plain.frac_coords, atol=1e-9)


def test_as_pymatgen_reads_what_it_writes() -> None:
    for _, structure in bundled(step=60):
        text = structure.to(fmt="poscar")
        assert structure_from_poscar(text) == Poscar.from_str(text).structure


def test_atoms_keep_their_order_and_are_numbered_by_element() -> None:
    structure = without_symmetry(6)
    mixed = Structure.from_sites([structure[i] for i in (0, 1, 3, 2, 4, 5)])  # Mg O Mg Si O Si
    read = structure_from_poscar(mixed.to(fmt="poscar"))
    assert read.labels == ["Mg1", "O1", "Mg2", "Si1", "O2", "Si2"]
    np.testing.assert_allclose(read.frac_coords, mixed.frac_coords, atol=1e-9)


REFUSED = {
    "no elements": (NO_SPECIES, "its elements are not named"),
    "flags for elements": (with_ends(*["T T T"] * 4).replace("Mg O\n", ""), "not named"),
    "flags of fixed atoms": (selective(*["F F F"] * 4).replace("Mg O\n", ""), "not named"),
    "fluorine or a flag": (
        with_ends("F", "F", "F", "F").replace("Mg O\n2 2", "4"),
        "its elements are not named",
    ),
    "elements in the comment only": (NO_SPECIES.replace("MgO", "Mg O"), "not named"),
    "no element": (PLAIN.replace("Mg O", "Mg Xx"), "'Xx' in the line of elements"),
    "a half atom": (PLAIN.replace("Mg O", "Mg H.5"), "'H.5' in the line of elements"),
    "two elements in one count": (
        with_ends("Mg", "O", "O", "O").replace("Mg O\n", ""),
        "the symbols behind the positions of lines 8 to 9 differ",
    ),
    "two flags": (with_ends("T F", "T F", "T F", "T F"), "says T, .* come in threes"),
    "another element behind": (with_ends("Mg", "O", "O", "O"), "line 10 says O"),
    "one number too few": (PLAIN.replace("2 2", "4"), "2 elements and 1 numbers"),
    "one number too many": (PLAIN.replace("2 2", "2 1 1"), "2 elements and 3 numbers"),
    "cut off": ("\n".join(PLAIN.split("\n")[:-2]), "3 positions for 4 atoms"),
    "cut off in a line": (PLAIN.rstrip()[:-5], "line 12 is no position"),
    "too many positions": (PLAIN + "0.1 0.2 0.3\n", "more positions than the 4 atoms"),
    "a column in front": (PLAIN.replace("  0.0 0.0 0.25", "4 0.0 0.0 0.25"), "line 12"),
    "not a number": (PLAIN.replace("0.25", "nan"), "line 11 is no position"),
    "numbers that touch": (PLAIN.replace("0.5 0.5 0.25", "0.5 0.5-0.25"), "line 11"),
    "no mode": (PLAIN.replace("Direct\n", ""), "neither Direct nor Cartesian"),
    "two scales": (PLAIN.replace("1.0\n", "1.0 2.0\n", 1), "line 2 is no scale"),
    "no scale": (PLAIN.replace("1.0\n", "0.0\n", 1), "line 2 is no scale"),
    "a volume of three": (PLAIN.replace("1.0\n", "-1 -1 -1\n", 1), "line 2 is no scale"),
    "a flat cell of some volume": (PLAIN.replace("1.0", "-9").replace("8.4", "0"), "no scale"),
    "endless": (PLAIN.replace("8.4", "1e999"), "not finite"),
    "millions": (PLAIN.replace("2 2", "2 900000000"), "4 positions for 900000002 atoms"),
    "prose": ("This is no crystal.\n", "lines 3 to 5"),
    "nothing": ("", "lines 3 to 5"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_doubtful_is_refused(fault: str) -> None:
    text, reason = REFUSED[fault]
    with pytest.raises(BadCrystal, match=f"unreadable POSCAR.*{reason}"):
        structure_from_poscar(text)


@pytest.mark.parametrize("with_names", [True, False])
def test_a_file_cut_off_at_any_character_is_refused(with_names: bool) -> None:
    """Or gives the same crystal, where only the end of the last line is missing."""
    lines = Poscar(without_symmetry(6).get_sorted_structure()).get_str().splitlines()
    ends = lines[8:] if with_names else [line.rpartition(" ")[0] for line in lines[8:]]
    whole = "\n".join(lines[:8] + ends)
    positions = structure_from_poscar(whole).frac_coords
    for end in range(len(whole)):
        try:
            left = structure_from_poscar(whole[:end])
        except BadCrystal:
            continue
        np.testing.assert_array_equal(left.frac_coords, positions)
