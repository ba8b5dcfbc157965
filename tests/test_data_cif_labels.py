"""Which element an atom line of a CIF names, by its symbol or by its label."""

import pytest
from pymatgen.core import Lattice, Species, Structure
from pymatgen.io.cif import CifWriter

from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal
from data_prep.graph import build_graph
from data_prep.reading.cif import structure_from_cif
from tests.cifs import EIGHT_SITES, SITE, cif

LABELS = ("label", "fract_x", "fract_y", "fract_z")
BRUCITE = (3.142, 3.142, 4.766, 90, 90, 120)
DIOPSIDE = [
    "CaM2 0 0.3015 0.25",
    "MgM1 0 0.9082 0.25",
    "SiT 0.2862 0.0933 0.2293",
    "OA1 0.1156 0.0873 0.1422",
    "O2 0.3611 0.2500 0.3180",
    "O3 0.3505 0.0176 0.9953",
]
"""As in files of minerals (Cameron et al. 1973); C 2/c."""


@pytest.mark.parametrize(
    "label",
    ["O-H1", "O-h", "O(H)", "O_H1", "O1H", "O1(OH)", "O(W1)", "O_w1", "O1W", "O*", "OH1", "Ow1"],
)
def test_a_label_may_be_that_of_a_group(label: str) -> None:
    """A hydroxyl or water, whose hydrogen has no line: Mg(OH)2 would be read as MgO2."""
    lines = ["Mg1 0 0 0", f"{label} 0.33333 0.66667 0.2203"]
    text = cif(lines, BRUCITE, symmetry="P -3 m 1", columns=LABELS)
    with pytest.raises(BadCrystal, match="names no element"):
        structure_from_cif(text)
    if label.startswith("O") and label[1:2] not in "Hw":
        # A formula tells.
        with pytest.raises(BadCrystal, match="add up to Mg1 O2"):
            structure_from_cif(text.replace("loop_", "_chemical_formula_sum 'H2 Mg O2'\nloop_", 1))


def test_hydrogen_with_another_element_is_a_group() -> None:
    with pytest.raises(BadCrystal, match="'H2O1', without a type symbol, names no element"):
        structure_from_cif(cif(["Mg1 0 0 0", "H2O1 0.5 0.5 0.5"], columns=LABELS))
    text = cif(["O1 0 0 0", "H1A 0.17 0 0", "H2 0 0.17 0"], columns=LABELS)
    assert structure_from_cif(text).formula == "H2 O1"


def test_sites_of_minerals_are_understood_where_a_formula_confirms_them() -> None:
    cell = (9.746, 8.899, 5.251, 90, 105.63, 90)
    said = {"symmetry": "C 1 2/c 1", "columns": LABELS}
    structure = structure_from_cif(
        cif(DIOPSIDE, cell, chemical_formula_sum="Ca Mg Si2 O6", **said)  # type: ignore[arg-type]
    )
    assert structure.formula == "Ca4 Mg4 Si8 O24"
    with pytest.raises(BadCrystal, match=r"CaM2.*names no element"):
        structure_from_cif(cif(DIOPSIDE, cell, **said))  # type: ignore[arg-type]


@pytest.mark.parametrize("symbol", ["Na+", "Na1+", "Na+1", "Na0+", "Na0.50+", "Na2.5+", "Na1.0+"])
def test_charges_in_any_spelling(symbol: str) -> None:
    lines = [line.replace(" Na ", f" {symbol} ") for line in EIGHT_SITES]
    assert structure_from_cif(cif(lines)).formula == "Na4 Cl4"


@pytest.mark.parametrize("symbol", ["OH-", "NH4+", "Na-Cl", "Na2.5"])
def test_what_is_no_charge(symbol: str) -> None:
    lines = [line.replace(" Na ", f" {symbol} ") for line in EIGHT_SITES]
    with pytest.raises(BadCrystal, match="names no element"):
        structure_from_cif(cif(lines))


def test_what_pymatgen_writes_of_mixed_valence_and_spin() -> None:
    species = [Species("Fe", 2.5, spin=5), Species("O", -2)]
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), species, [[0] * 3, [0.5] * 3])
    text = str(CifWriter(salt))
    assert "Fe2.50+" in text and "spin=" in text
    assert structure_from_cif(text).formula == "Fe4 O4"


def test_alternatives_are_disorder() -> None:
    """Two places of one atom, each said to be full."""
    columns = [*SITE, "disorder_assembly", "disorder_group"]
    lines = [f"{line} . ." for line in EIGHT_SITES]
    assert structure_from_cif(cif(lines, columns=columns)).formula == "Na4 Cl4"
    lines[-2:] = [f"{line} A {group}" for group, line in enumerate(EIGHT_SITES[-2:], 1)]
    with pytest.raises(BadCrystal, match=r"groups 1 and 2 .*are alternatives"):
        structure_from_cif(cif(lines, columns=columns))
    lines[-1] = f"{EIGHT_SITES[-1]} B 2"
    assert structure_from_cif(cif(lines, columns=columns)).formula == "Na4 Cl4"


def test_atoms_without_labels_or_without_symbols() -> None:
    fields = [line.split() for line in EIGHT_SITES]
    unlabelled = cif([" ".join(field[1:]) for field in fields], columns=SITE[1:])
    assert structure_from_cif(unlabelled).formula == "Na4 Cl4"
    assert structure_from_cif(unlabelled).labels == [line.split()[0] for line in EIGHT_SITES]
    by_label = cif(
        [" ".join(field[:1] + field[2:]) for field in fields], columns=SITE[:1] + SITE[2:]
    )
    assert structure_from_cif(by_label).formula == "Na4 Cl4"


def test_symbols_in_capitals_need_a_formula() -> None:
    """CO may be cobalt, or carbon monoxide."""
    capitals = [line.replace(" Na ", " NA ").replace(" Cl ", " CL ") for line in EIGHT_SITES]
    with pytest.raises(BadCrystal, match="'NA' names no element"):
        structure_from_cif(cif(capitals))
    told = cif(capitals, chemical_formula_sum="Na4 Cl4")
    assert structure_from_cif(told).formula == "Na4 Cl4"


def test_deuterium_is_hydrogen() -> None:
    lines = ["Li1 Li 0 0 0", "D1 D 0.5 0.5 0.5"]
    cell = (4.08, 4.08, 4.08, 90, 90, 90)
    text = cif(lines, cell, symmetry="F m -3 m", chemical_formula_sum="Li H")
    assert sorted(build_graph(structure_from_cif(text), GraphConfig()).atomic_number) == [1, 3]
