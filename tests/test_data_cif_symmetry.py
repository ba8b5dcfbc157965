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
from tests.cifs import TWO_SITES, cif

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
