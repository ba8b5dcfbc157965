"""A fast reader for the commonest CIF: the one pymatgen writes for a cell without symmetry.

Reading CIFs is about half of the work of preparing a dataset, and nearly all CIFs of the
Materials Project have one exact form. Whatever departs from it is left to pymatgen's CifParser.
"""

import re
from functools import cache

import numpy as np
from pymatgen.core import Element, Lattice, Structure

_NUMBER = r"(\d+\.\d+)"
_FORM = re.compile(
    r"# generated using pymatgen\n"
    r"data_[A-Za-z0-9().]+\n"
    r"_symmetry_space_group_name_H-M   'P 1'\n"
    rf"_cell_length_a   {_NUMBER}\n"
    rf"_cell_length_b   {_NUMBER}\n"
    rf"_cell_length_c   {_NUMBER}\n"
    rf"_cell_angle_alpha   {_NUMBER}\n"
    rf"_cell_angle_beta   {_NUMBER}\n"
    rf"_cell_angle_gamma   {_NUMBER}\n"
    r"_symmetry_Int_Tables_number   1\n"
    r"_chemical_formula_structural   [A-Za-z0-9().]+\n"
    r"_chemical_formula_sum   (?:'([A-Za-z0-9 ]+)'|([A-Za-z0-9]+))\n"
    r"_cell_volume   [0-9.]+\n"
    r"_cell_formula_units_Z   \d+\n"
    r"loop_\n"
    r" _symmetry_equiv_pos_site_id\n"
    r" _symmetry_equiv_pos_as_xyz\n"
    r"  1  'x, y, z'\n"
    r"loop_\n"
    r" _atom_site_type_symbol\n"
    r" _atom_site_label\n"
    r" _atom_site_symmetry_multiplicity\n"
    r" _atom_site_fract_x\n"
    r" _atom_site_fract_y\n"
    r" _atom_site_fract_z\n"
    r" _atom_site_occupancy\n"
    r"((?:  [A-Z][a-z]?  [A-Z][a-z]?[0-9_]+  1(?:  -?[01]\.\d+){3}  1\n)+)"
)

# CifParser's tolerances: coordinates this close (relatively) to 1/3 or 2/3 are meant to be it,
# and sites this close (fractionally) are one; the margin leaves the doubtful cases to it.
_IDEAL_TOLERANCE = 1e-4
_SAME_SITE = 1e-3

# All pairs of sites are compared at once, which takes memory.
_MOST_SITES = 1000


def parse_p1_cif(text: str) -> Structure | None:
    """The structure CifParser reads from ``text``, to the last bit; None if it has another form.

    Sites come sorted by electronegativity, as CifParser returns them.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    *cell, quoted_formula, plain_formula, sites = form.groups()
    fields = sites.split()
    symbols = fields[0::7]
    known = _electronegativity()
    if len(symbols) > _MOST_SITES or any(symbol not in known for symbol in symbols):
        return None
    if sorted((quoted_formula or plain_formula).split()) != _counts(symbols):
        return None

    coords = np.array([fields[3::7], fields[4::7], fields[5::7]], dtype=float).T
    for ideal in (1 / 3, 2 / 3):
        coords[np.abs(coords / ideal - 1) <= _IDEAL_TOLERANCE] = ideal
    coords -= np.floor(coords)
    difference = coords[:, None] - coords
    apart = np.abs(difference - np.rint(difference)).max(axis=2)
    np.fill_diagonal(apart, 1)
    if apart.min() < _SAME_SITE:
        return None

    order = sorted(range(len(symbols)), key=lambda site: (known[symbols[site]], symbols[site]))
    return Structure(
        Lattice.from_parameters(*map(float, cell)),
        [symbols[site] for site in order],
        coords[order],
    )


def _counts(symbols: list[str]) -> list[str]:
    return sorted(f"{symbol}{symbols.count(symbol)}" for symbol in set(symbols))


@cache
def _electronegativity() -> dict[str, float]:
    """Pauling electronegativity of the elements that have one, by symbol; no isotopes."""
    elements = [Element.from_Z(number) for number in range(1, 119)]
    # He, Ne and Ar have none: pymatgen warns and sorts them in its own way.
    return {element.symbol: element.X for element in elements if element.data.get("X") is not None}
