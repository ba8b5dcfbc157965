"""Lists and names of the symmetry of a CIF that contradict each other, or leave it open."""

import gemmi
import numpy as np
import pytest

from data_prep.errors import BadCrystal
from data_prep.reading.cif import structure_from_cif
from tests.cifs import EIGHT_SITES, SITE, TWO_SITES, cif
from tests.test_data_cif_symmetry import assert_same_crystal


def refusal(text: str) -> str:
    with pytest.raises(BadCrystal) as error:
        structure_from_cif(text)
    return error.value.reason


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


def listed(symbol: str) -> list[str]:
    """The operations of a space group, as gemmi has them."""
    return [operation.triplet() for operation in gemmi.SpaceGroup(symbol).operations()]


@pytest.mark.parametrize(
    ("symbol", "other"),
    [("P 1 21/c 1", "P 1 2/c 1"), ("P 1 21/c 1", "P 1 21/m 1"), ("P 43 21 2", "P 41 21 2")],
)
def test_operations_of_another_type_are_noticed(symbol, other):
    """Those of the same point group, too: a screw axis that was lost."""
    sites, cell = ["Zr1 Zr 0.275 0.1 0.1"], (9, 9, 9, 90, 90, 90)
    text = cif(sites, cell, symmetry=symbol, operations=listed(other))
    assert f"not those of {symbol}" in refusal(text)


def test_centring_that_the_list_lacks_is_noticed():
    sites = ["Ti1 Ti 0 0 0", "Pd1 Pd 0 0 0.33"]
    said = {"symmetry": "I 4/m m m", "operations": listed("P4/mmm")}
    cell = (3.24, 3.24, 8.48, 90, 90, 90)
    assert "not those of I 4/m m m" in refusal(cif(sites, cell, **said))
    said |= {"chemical_formula_sum": "Ti Pd2", "cell_formula_units_Z": 2}
    assert structure_from_cif(cif(sites, cell, **said)).formula == "Ti2 Pd4"


@pytest.mark.parametrize(
    "beside", [{"symmetry": "F d -3 m"}, {"space_group_IT_number": 227}, {"symmetry": "F d -3 m:1"}]
)
def test_a_hall_symbol_settles_what_the_others_leave_open(beside):
    """The origin of diamond's group; a symbol with another origin contradicts it."""
    said = {"symmetry": None, "space_group_name_Hall": "-F 4vw 2vw 3"} | beside
    text = cif(["Si1 Si 0.125 0.125 0.125"], (5.43, 5.43, 5.43, 90, 90, 90), **said)
    if ":1" in str(beside):
        assert "may be" in refusal(text)
    else:
        assert structure_from_cif(text).formula == "Si8"


@pytest.mark.parametrize(
    "items",
    [
        {"symmetry": "P 1", "symmetry_space_group_name_H-M": "F m -3 m"},
        {"symmetry": None, "space_group_IT_number": 221, "symmetry_Int_Tables_number": 225},
    ],
)
def test_old_and_new_tags_that_contradict_each_other_are_noticed(items):
    cell = (4.21, 4.21, 4.21, 90, 90, 90)
    sites = ["Mg1 Mg 0 0 0", "O1 O 0.5 0.5 0.5"]
    assert "the symmetry may be" in refusal(cif(sites, cell, **items))
    settled = {"chemical_formula_sum": "Mg O", "cell_formula_units_Z": 4}
    assert structure_from_cif(cif(sites, cell, **items, **settled)).formula == "Mg4 O4"


def test_two_lists_that_differ_are_noticed():
    """Those of the older tags whole, of the newer the identity alone."""
    older = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "\n".join(f"'{o}'" for o in listed("Fm-3m"))
    text = cif(TWO_SITES, symmetry=None, operations=["x,y,z"]) + older + "\n"
    assert "2 lists of symmetry operations that differ" in refusal(text)
    stated = "_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 4\n"
    assert structure_from_cif(text + stated).formula == "Na4 Cl4"
    same = cif(TWO_SITES, symmetry=None, operations=listed("Fm-3m")) + older + "\n"
    assert structure_from_cif(same).formula == "Na4 Cl4"


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
