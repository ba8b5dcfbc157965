"""The symmetry of CIFs: understood in every setting, or refused. spglib finds it again."""

import warnings

import gemmi
import numpy as np
import pytest
import spglib
from pymatgen.core import Structure

from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal
from data_prep.graph import build_graph
from data_prep.reading.cif import structure_from_cif
from tests.cifs import EIGHT_SITES, SITE, TWO_SITES, cif

SILICON = (5.431, 5.431, 5.431, 90, 90, 90)
HEXAGONAL = (4.546, 4.546, 11.862, 90, 90, 120)
RHOMBOHEDRAL = (4.7459, 4.7459, 4.7459, 57.24, 57.24, 57.24)
CELLS = {
    "triclinic": (8.1, 9.2, 10.3, 81, 97, 106),
    "orthorhombic": (9.1, 10.2, 11.3, 90, 90, 90),
    "tetragonal": (10, 10, 12.3, 90, 90, 90),
    "trigonal": (11, 11, 13.2, 90, 90, 120),
    "hexagonal": (12, 12, 14.1, 90, 90, 120),
    "cubic": (15, 15, 15, 90, 90, 90),
}


def number_of(structure: Structure) -> int:
    """The space group that spglib finds."""
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about how it reports errors
        return spglib.get_symmetry_dataset(cell, symprec=1e-3).number


def refusal(text: str) -> str:
    with pytest.raises(BadCrystal) as error:
        structure_from_cif(text)
    return error.value.reason


def assert_same_crystal(one: Structure, other: Structure) -> None:
    """Of one volume for an atom, and with one graph."""
    assert one.volume / len(one) == pytest.approx(other.volume / len(other), rel=2e-3)
    first, second = (build_graph(structure, GraphConfig()) for structure in (one, other))
    np.testing.assert_array_equal(first.atomic_number, second.atomic_number)
    np.testing.assert_allclose(first.distance, second.distance, atol=5e-3)


def cell_of(setting: gemmi.SpaceGroup) -> tuple[float, ...]:
    """A cell that the setting allows, and nothing beyond it."""
    system = setting.crystal_system_str()
    if system == "monoclinic":
        angles = [97.3 if axis == setting.monoclinic_unique_axis() else 90 for axis in "abc"]
        return (8.1, 9.2, 10.3, *angles)
    return (9, 9, 9, 71, 71, 71) if setting.ext == "R" else CELLS[system]


SETTINGS = [setting for setting in gemmi.spacegroup_table() if setting.ccp4 < 5000]


@pytest.mark.parametrize("setting", SETTINGS[::5], ids=lambda setting: setting.xhm())
def test_symbol_hall_symbol_and_operations_say_the_same(setting):
    """Three atoms on general positions, so that the group of all is found again."""
    sites = ["Cs1 Cs 0.137 0.219 0.331", "Cs2 Cs 0.043 0.391 0.147", "Cs3 Cs 0.29 0.06 0.13"]
    cell = cell_of(setting)
    triplets = [operation.triplet() for operation in setting.operations()]
    texts = [
        cif(sites, cell, symmetry=setting.xhm()),
        cif(sites, cell, symmetry=None, space_group_name_Hall=setting.hall),
        cif(sites, cell, symmetry=None, space_group_name_Hall=setting.hall.replace('"', "''")),
        cif(sites, cell, symmetry="?", operations=triplets),
    ]
    by_symbol, *_, listed = structures = [structure_from_cif(text) for text in texts]
    assert number_of(by_symbol) == setting.number
    for structure in structures:
        assert len(structure) == 3 * len(triplets)
        steps = structure.frac_coords[:, None] - listed.frac_coords
        assert (np.abs(steps - np.rint(steps)).max(axis=2).min(axis=1) < 1e-6).all()


@pytest.mark.parametrize(
    "symbol",
    ["F m -3 m", "Fm-3m", "F 4/m -3 2/m", "F m 3 m", "F M -3 M", "-F 4 2 3"],
)
def test_spellings_of_a_symbol(symbol):
    tags = {"symmetry": symbol}
    if symbol.startswith("-"):
        tags = {"symmetry": None, "symmetry_space_group_name_Hall": symbol}
    structure = structure_from_cif(cif(TWO_SITES, **tags))
    assert structure.formula == "Na4 Cl4"
    assert number_of(structure) == 225


@pytest.mark.parametrize("symbol", ["P 21/c", "P2_1/c", "P 2(1)/c", "P 1 21/c 1", "P21/c"])
def test_spellings_of_a_screw_axis(symbol):
    structure = structure_from_cif(
        cif(["Cs1 Cs 0.1 0.2 0.3"], (7, 9, 8, 90, 98, 90), symmetry=symbol)
    )
    assert (len(structure), number_of(structure)) == (4, 14)


@pytest.mark.parametrize(
    ("symbol", "position"),
    [
        ("F d -3 m :1", 0),
        ("F d -3 m S", 0),
        ("F d -3 m :2", 0.125),
        ("F d -3 m Z", 0.125),
        ("F 41/d -3 2/m :2", 0.125),
    ],
)
def test_both_origins_of_silicon(symbol, position):
    structure = structure_from_cif(
        cif([f"Si1 Si {position} {position} {position}"], SILICON, symmetry=symbol)
    )
    assert (len(structure), number_of(structure)) == (8, 227)
    assert structure.get_distance(0, 1) < 0.5 * 5.431


def test_an_origin_that_is_not_told_is_taken_from_the_content():
    for position in (0, 0.125):
        site = [f"Si1 Si {position} {position} {position}"]
        assert "F d -3 m:1 or F d -3 m:2" in refusal(cif(site, SILICON, symmetry="F d -3 m"))
        for settled in (
            {"chemical_formula_sum": "Si", "cell_formula_units_Z": 8},
            {"chemical_formula_sum": "Si", "exptl_crystal_density_diffrn": 2.33},
        ):
            structure = structure_from_cif(cif(site, SILICON, symmetry="F d -3 m", **settled))
            assert (len(structure), number_of(structure)) == (8, 227)


@pytest.mark.parametrize("symbol", ["R -3 m", "R -3 m :R", "R -3 m R", "R-3mR", "R -3 m :r"])
def test_rhombohedral_axes_are_seen_in_the_cell(symbol):
    hexagonal = structure_from_cif(cif(["Bi1 Bi 0 0 0.234"], HEXAGONAL, symmetry="R -3 m"))
    assert (len(hexagonal), number_of(hexagonal)) == (6, 166)
    rhombohedral = structure_from_cif(cif(["Bi1 Bi .234 .234 .234"], RHOMBOHEDRAL, symmetry=symbol))
    assert (len(rhombohedral), number_of(rhombohedral)) == (2, 166)
    assert_same_crystal(hexagonal, rhombohedral)


def test_axes_that_do_not_fit_the_cell_are_refused():
    for symbol in ("R -3 m :H", "P 63/m m c", "F m -3 m"):
        text = cif(["Bi1 Bi .234 .234 .234"], RHOMBOHEDRAL, symmetry=symbol)
        assert "does not fit the cell" in refusal(text)


# ---- what is listed and what is named ------------------------------------------------------------

ALONE = {"symmetry": "F m -3 m", "operations": ["x,y,z"]}


def test_the_identity_alone_in_a_centred_group_is_settled_by_the_content():
    assert "not those of F m -3 m" in refusal(cif(TWO_SITES, **ALONE))
    assert "not those of F m -3 m" in refusal(cif(TWO_SITES, chemical_formula_sum="Na Cl", **ALONE))
    settled = {"chemical_formula_sum": "Na Cl", "cell_formula_units_Z": 4}
    for sites in (TWO_SITES, EIGHT_SITES):
        assert structure_from_cif(cif(sites, **ALONE, **settled)).formula == "Na4 Cl4"
    lines = [f"{line} 4" for line in TWO_SITES]
    multiplicities = cif(lines, columns=[*SITE, "symmetry_multiplicity"], **ALONE)
    assert structure_from_cif(multiplicities).formula == "Na4 Cl4"


def test_multiplicities_have_to_be_those_of_the_operations():
    lines = [f"{line} 4" for line in TWO_SITES]
    text = cif(lines, operations=["x,y,z"], columns=[*SITE, "symmetry_multiplicity"])
    assert "symmetry_multiplicity is 4" in refusal(text)


def test_operations_count_more_than_the_setting_of_the_symbol():
    """The symbol of the type, P 21/c, with the operations of P 21/n."""
    operations = ["x,y,z", "-x,-y,-z", "-x+1/2,y+1/2,-z+1/2", "x+1/2,-y+1/2,z+1/2"]
    site, cell = ["Cs1 Cs 0.1 0.2 0.3"], (7, 9, 8, 90, 98, 90)
    structure = structure_from_cif(cif(site, cell, symmetry="P 21/c", operations=operations))
    np.testing.assert_allclose(structure.frac_coords[2], [0.4, 0.7, 0.2])


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ({"symmetry": "F q m m"}, "'F q m m', which is not known, and lists no operations"),
        ({"symmetry": "F q m m", "operations": ["x,y,z"]}, "'F q m m', which is not known"),
        ({"symmetry": None}, "says nothing of symmetry"),
        ({"symmetry": None, "space_group_IT_number": 62}, "may be P n m a or"),
        ({"symmetry": "F m -3 m", "space_group_IT_number": 1}, "F m -3 m or P 1"),
        ({"operations": ["x,y,z", "-x,-y,-z", "-x,y,-z"]}, "are no group"),
        ({"operations": ["x,y,z", "x+y"]}, "'x+y' cannot be understood"),
    ],
)
def test_symmetry_in_doubt_is_refused(items, words):
    assert words in refusal(cif(["Fe1 Fe 0.1 0.2 0.3"], **items))


def test_a_cell_without_symmetry_lines_needs_its_content_stated():
    for settled in (
        {"chemical_formula_sum": "Na Cl", "cell_formula_units_Z": 4},
        {"exptl_crystal_density_diffrn": 2.16},
    ):
        structure = structure_from_cif(cif(EIGHT_SITES, symmetry=None, **settled))
        assert structure.formula == "Na4 Cl4"


def test_a_magnetic_cif_is_read_as_the_plain_structure():
    loops = """loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
1 x,y,z,+1
2 -x,-y,-z,-1
loop_
_space_group_symop_magn_centering.id
_space_group_symop_magn_centering.xyz
1 x,y,z,+1
2 x,y+1/2,z+1/2,-1
3 x+1/2,y,z+1/2,-1
4 x+1/2,y+1/2,z,+1
loop_
_atom_site_moment.label
_atom_site_moment.crystalaxis_x
Na1 1.0
"""
    plain = structure_from_cif(cif(EIGHT_SITES))
    assert_same_crystal(structure_from_cif(cif(TWO_SITES, symmetry=None) + loops), plain)


def test_operations_beyond_number_are_refused():
    """Whose products with as many centrings would take hours."""
    loop = "loop_\n_space_group_symop_magn_{}.xyz\n" + "x,y,z,+1\n" * 1000
    text = cif(TWO_SITES, symmetry=None) + loop.format("operation") + loop.format("centering")
    with pytest.raises(BadCrystal, match="1,000,000 symmetry operations are too many"):
        structure_from_cif(text)


# ---- rounded positions ---------------------------------------------------------------------------


@pytest.mark.parametrize("third", [".33 .67", ".333 .667", "0.3333 0.6667", "0.333333 0.666667"])
def test_rounded_thirds_are_thirds(third):
    sites = [f"Mo1 Mo {third} 0.25", f"S1 S {third} 0.621"]
    cell = (3.16, 3.16, 12.29, 90, 90, 120)
    structure = structure_from_cif(cif(sites, cell, symmetry="P 63/m m c"))
    assert structure.formula == "Mo2 S4"
    thirds = np.sort(structure.frac_coords[:, :2], axis=1)
    np.testing.assert_allclose(thirds, np.tile([1 / 3, 2 / 3], (6, 1)), atol=1e-4)


def test_an_atom_beside_a_special_position_is_refused():
    text = cif(["Fe1 Fe 0.03 0 0"], (5, 5, 5, 90, 90, 90), symmetry="P -1")
    with pytest.raises(BadCrystal, match="Å apart"):
        build_graph(structure_from_cif(text), GraphConfig())
