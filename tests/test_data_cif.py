"""Reading CIFs: every atom line accounted for, or the crystal refused with the reason."""

import gzip

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal
from data_prep.graph import build_graph
from data_prep.reading.cif import structure_from_cif
from data_prep.reading.structures import read_structure
from tests.cifs import EIGHT_SITES, ROCK_SALT, SITE, TWO_SITES, cif
from tests.crystals import bundled

MGO = [line.replace("Na", "Mg").replace("Cl", "O") for line in EIGHT_SITES]
SALT = cif(EIGHT_SITES)


def refusal(text: str) -> str:
    """Why a CIF is refused, by its reader or on the way to the graph."""
    with pytest.raises(BadCrystal) as error:
        build_graph(structure_from_cif(text), GraphConfig())
    return error.value.reason


def assert_rock_salt(structure: Structure) -> None:
    """Eight atoms, each with six of the other kind at half the cell's length."""
    assert structure.composition.formula == "Na4 Cl4"
    graph = build_graph(structure, GraphConfig())
    np.testing.assert_array_equal(graph.edge_multiplicity[:, 0], 6)
    np.testing.assert_allclose(graph.distance[:, 0], ROCK_SALT[0] / 2, rtol=1e-6)


# ---- what is there -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        {"chemical_formula_sum": "Na4 Cl4"},
        {"chemical_formula_sum": "Cl Na"},  # a whole number of units
        {"chemical_formula_sum": "Na Cl", "cell_formula_units_Z": 4},
        {"chemical_formula_sum": "Na4 Cl4", "cell_formula_units_Z": 4},  # as pymatgen writes it
        {"chemical_formula_structural": "NaCl"},
        # 8 atoms of 58.44 g/mol a pair in (5.64 Å)³
        {"exptl_crystal_density_diffrn": round(4 * 58.44 / 0.60221 / 5.64**3, 2)},
    ],
)
def test_lost_atoms_are_noticed_by_any_statement(statement):
    assert_rock_salt(structure_from_cif(cif(EIGHT_SITES, **statement)))
    for lost in range(8):
        left = EIGHT_SITES[:lost] + EIGHT_SITES[lost + 1 :]
        assert "lost" in refusal(cif(left, **statement))


def test_without_a_formula_the_weight_tells_of_hydrogen():
    """Of Mg(OH)2, 58.32 g/mol, without it."""
    cell, symmetry = (3.142, 3.142, 4.766, 90, 90, 120), "P -3 m 1"
    lines = ["Mg1 Mg 0 0 0", "O1 O 0.33333 0.66667 0.2203"]
    said = {"chemical_formula_weight": 58.32, "cell_formula_units_Z": 1}
    assert "weigh 56.3" in refusal(cif(lines, cell, symmetry=symmetry, **said))
    whole = [*lines, "H1 H 0.33333 0.66667 0.4303"]
    assert structure_from_cif(cif(whole, cell, symmetry=symmetry, **said)).formula == "Mg1 H2 O2"
    moiety = {"chemical_formula_moiety": "H2 Mg O2"}
    assert "add up to Mg1 O2" in refusal(cif(lines, cell, symmetry=symmetry, **moiety))


@pytest.mark.parametrize(
    "item",
    [
        "_cell_modulation_dimension 1",
        "_cell_subsystems_number 2",
        "loop_\n_cell_wave_vector_seq_id\n_cell_wave_vector_x\n1 0.3",
        "loop_\n_atom_site_displace_Fourier_id\n1",
    ],
)
def test_the_average_of_a_modulated_crystal_is_refused(item):
    assert "modulated or composite" in refusal(f"{SALT}{item}\n")


def test_a_value_for_each_temperature_is_refused():
    loop = "loop_\n_cell_length_a\n_diffrn_ambient_temperature\n5.64 300\n5.70 600\n"
    text = "".join(line for line in SALT.splitlines(True) if not line.startswith("_cell_length_a"))
    assert "_cell_length_a has several values (5.64, 5.70, …)" in refusal(text + loop)


def test_multiplicities_of_1_confirm_a_cell_without_symmetry():
    lines = [f"{line} 1" for line in EIGHT_SITES]
    text = cif(lines, symmetry=None, columns=[*SITE, "symmetry_multiplicity"])
    assert_rock_salt(structure_from_cif(text))


def test_multiplicities_of_shelxl_are_those_of_the_sites_symmetry():
    """It gives 1 for a general position of a group of order 4."""
    operations = ["x,y,z", "-x,-y,-z", "-x+1/2,y+1/2,-z+1/2", "x+1/2,-y+1/2,z+1/2"]
    lines = ["Cs1 Cs 0.1 0.2 0.3 1", "Cl1 Cl 0 0 0 2"]
    text = cif(
        lines,
        (7, 9, 8, 90, 98, 90),
        symmetry="P 1 21/n 1",
        operations=operations,
        columns=[*SITE, "symmetry_multiplicity"],
    )
    assert structure_from_cif(text).formula == "Cs4 Cl2"
    assert "symmetry_multiplicity is 3" in refusal(text.replace("0.3 1", "0.3 3"))


def test_a_large_crystal_that_lost_a_few_atoms_is_refused():
    """One oxygen of 48 is 2 % of them."""
    for name, structure in bundled(step=150):
        text = str(CifWriter(structure * (2, 2, 2)))
        lines = text.splitlines(keepends=True)
        assert len(structure_from_cif(text)) == 8 * len(structure), name
        assert "lost" in refusal("".join(lines[:-1])), name
        assert "lost" in refusal("".join(lines[:-4] + lines[-3:])), name


def test_equal_ratios_are_not_equal_numbers():
    """Half of the formula units are gone."""
    half = EIGHT_SITES[:2] + EIGHT_SITES[4:6]
    assert "Z = 4" in refusal(cif(half, chemical_formula_sum="Na Cl", cell_formula_units_Z=4))
    assert "Na4 Cl4" in refusal(cif(half, chemical_formula_sum="Na4 Cl4"))


def test_the_volume_of_the_cell_has_to_be_that_of_its_lengths():
    assert_rock_salt(structure_from_cif(cif(EIGHT_SITES, cell_volume="179.41(3)")))
    assert "volume" in refusal(cif(EIGHT_SITES, cell_volume="185.0"))


def test_a_formula_that_cannot_be_understood_is_no_confirmation():
    assert "cannot be understood" in refusal(cif(EIGHT_SITES, chemical_formula_sum="Na (x) Cl"))
    assert_rock_salt(structure_from_cif(cif(EIGHT_SITES, chemical_formula_sum="?")))


def test_a_file_cut_off_at_any_character_is_refused():
    """Or gives the same crystal, where only the end of the last line is missing."""
    sites = [f"{line.rsplit(' ', 1)[0]} 0.{k}4321" for k, line in enumerate(MGO)]
    whole = cif(sites, chemical_formula_sum="Mg4 O4")
    positions = structure_from_cif(whole).frac_coords
    for end in range(len(whole) - 1):
        try:
            left = structure_from_cif(whole[:end])
        except BadCrystal:
            continue
        np.testing.assert_array_equal(left.frac_coords, positions)


def test_a_number_cut_off_in_a_crystal_of_two_atoms_is_seen():
    whole = cif(["Na1 Na 0.0000 0.0000 0.0000", "Cl1 Cl 0.5000 0.5000 0.5000"])
    for end in (2, 3, 4):
        with pytest.raises(BadCrystal, match="fewer digits"):
            structure_from_cif(whole[:-end])
    short = cif(["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.25 0.5"]).rstrip()
    assert structure_from_cif(short).formula == "Na1 Cl1"


# ---- what stands for no atom ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Cl1 Cl . . .", "Cl1 has no position: its fract_x is '.'"),
        ("Cl1 Cl 0.5 0.5 ?", "Cl1 has no position: its fract_z is '?'"),
        ("Cl1 Cl 0.5 half 0.5", "its fract_y is 'half'"),
        ("Cl1 Cl 28.2 28.2 28.2", "its fract_x is '28.2'"),
        ("T1 T 0.5 0.5 0.5", "T1: its type symbol 'T' names no element"),
        ("O1 OH 0.5 0.5 0.5", "O1: its type symbol 'OH'"),
        ("O1 OH2 0.5 0.5 0.5", "O1: its type symbol 'OH2'"),
        ("D1 2H 0.5 0.5 0.5", "D1: its type symbol '2H'"),
        ("W1 Wat 0.5 0.5 0.5", "W1: its type symbol 'Wat'"),
        ("Co1 CO 0.5 0.5 0.5", "Co1: its type symbol 'CO'"),
        ("OH1 ? 0.5 0.5 0.5", "OH1: its label 'OH1', without a type symbol,"),
        ("Wat1 . 0.5 0.5 0.5", "Wat1: its label 'Wat1'"),
        ("T1 . 0.5 0.5 0.5", "T1: its label 'T1'"),
        ("Na9 Na 0.01 0 0", "atom 0 (Na1) and atom 1 (Na9) are 0.056 Å apart"),
    ],
)
def test_lines_that_give_no_atom_are_named(line, words):
    assert words in refusal(cif([TWO_SITES[0], line]))


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("calc_flag", ["d", "dum"], "Cl1 is a dummy"),
        ("attached_hydrogens", ["0", "2"], "Cl1 has hydrogens without positions"),
        ("occupancy", ["1", "0.5"], "disordered: Cl1 has occupancy 0.5"),
        ("occupancy", ["1", "0"], "disordered: Cl1 has occupancy 0"),
        ("occupancy", ["1", "1.2"], "Cl1 has an occupancy above 1"),
        ("occupancy", ["1", "full"], "occupancy 'full' is no number"),
    ],
)
def test_lines_that_give_no_whole_atom_are_named(column, values, words):
    lines = [f"{line} {value}" for line, value in zip(TWO_SITES, values, strict=True)]
    assert words in refusal(cif(lines, symmetry="F m -3 m", columns=[*SITE, column]))


@pytest.mark.parametrize("half", ["½", "0,5", "a half"])
def test_an_occupancy_that_is_no_number(half):
    lines = [*EIGHT_SITES]
    lines = [f"{line} {1 if number else half!r}" for number, line in enumerate(lines)]
    assert "Na1: its occupancy" in refusal(cif(lines, columns=[*SITE, "occupancy"]))


@pytest.mark.parametrize("occupancy", ["1", "1.000(3)", ".", "?", "1.0002", "0.9999"])
def test_an_occupancy_of_one_in_any_spelling(occupancy):
    lines = [f"{line} {occupancy}" for line in EIGHT_SITES]
    assert_rock_salt(structure_from_cif(cif(lines, columns=[*SITE, "occupancy"])))


def test_hydrogen_on_a_full_oxygen_is_refused():
    for hydrogen in ("0.5", "1"):
        lines = [f"{line} 1" for line in MGO] + [f"H1 H 0.5 0.5 0.5 {hydrogen}"]
        assert "H1" in refusal(cif(lines, columns=[*SITE, "occupancy"]))


# ---- spelling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + SALT,
        SALT.encode("utf-16"),
        SALT.replace("data_", "DATA_").replace("loop_", "LOOP_"),
        SALT.replace("_cell_length_a", "_Cell_Length_A").replace("_atom_site", "_ATOM_SITE"),
        SALT.replace("_atom_site_", "_atom_site.").replace("_cell_", "_cell."),
        SALT.replace("\n", "\r\n"),
        SALT.replace("\n", "\r"),
        f"# \xe9\n{SALT}".encode("latin-1"),
        SALT.replace("_cell_length_a", "_publ_author_name Müller\n_cell_length_a"),
        SALT.replace("data_x", "data_x\n_publ_text\n;\ndata_y\n_cell_length_a 3\n;"),
        SALT.replace("5.64", "5.64(2)").replace("0.5", "5.0E-01"),
        SALT.replace(" Na ", " Na1+ ").replace(" Cl ", " Cl- "),
        SALT.replace("Na4 Na", "Na4 ?"),
        SALT.replace(" 0.5", " '0.5'"),
        SALT + "\x1a",
        SALT + "loop_\n_geom_bond_distance\n2.8200(1)\n2.8200(1)\n2.82",
        SALT.replace("loop_", "_chemical_formula_sum '(Na Cl)4'\nloop_"),
        SALT + "data_x_vrf\n_vrf_PLAT029_x\n;\nPROBLEM: none\n;\n",
    ],
)
def test_a_crystal_in_any_spelling(text, tmp_path):
    content = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "a.cif").write_bytes(content)
    (tmp_path / "a.cif.gz").write_bytes(gzip.compress(content))
    for name in ("a.cif", "a.cif.gz"):
        assert_rock_salt(read_structure(tmp_path / name))
    if isinstance(text, str):
        assert_rock_salt(structure_from_cif(text))


# ---- units ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (0.1, "Å³ for each atom"),  # nm
        (1.8897, "bohr"),
        (100, "lengths must be in Å"),  # pm
        (0.4, "Å apart"),
    ],
)
def test_cells_in_other_units_are_refused(scale, words):
    assert words in refusal(cif(EIGHT_SITES, [scale * 5.64] * 3 + [90] * 3))


@pytest.mark.parametrize(
    ("symbol", "edge", "seen"), [("C", 6.741, True), ("C", 3.567, False), ("Ne", 4.43, False)]
)
def test_a_cell_in_bohr_is_seen_without_metals(symbol, edge, seen):
    """Diamond; but in neon there are no bonds."""
    text = cif([f"{symbol}1 {symbol} 0 0 0"], [edge] * 3 + [90] * 3, symmetry="F m -3 m")
    if symbol == "C":
        text = cif(["C1 C 0.125 0.125 0.125"], [edge] * 3 + [90] * 3, symmetry="F d -3 m:2")
    if seen:
        assert "Are lengths in bohr?" in refusal(text)
    else:
        build_graph(structure_from_cif(text), GraphConfig())


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (("?", 5, 5, 90, 90, 90), "_cell_length_a is missing"),
        ((5, -5, 5, 90, 90, 90), "_cell_length_b is -5"),
        ((5, 5, 5, 90, 90, 180), "_cell_angle_gamma is 180"),
        ((5, 5, 5, 60, 60, 150), "no cell has the angles 60, 60, 150"),
    ],
)
def test_impossible_cells_are_refused(cell, words):
    assert words in refusal(cif(EIGHT_SITES, cell))
