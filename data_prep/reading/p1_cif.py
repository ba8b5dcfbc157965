"""A fast reader for the commonest CIF: the one pymatgen writes for a cell without symmetry.

Nearly all CIFs of the Materials Project have one exact form, which needs no parser. What departs
from it, or has sites that are not what the file states, is left to ``data_prep.reading.cif``.
"""

import math
import re

import numpy as np
from pymatgen.core import Lattice, Structure

from data_prep.reading.cif_checks import VOLUME_TOLERANCE
from data_prep.reading.cif_sites import ELEMENTS, within_cell

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
    rf"_cell_volume   {_NUMBER}\n"
    r"_cell_formula_units_Z   (\d+)\n"
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


def parse_p1_cif(text: str) -> Structure | None:
    """The structure ``structure_from_cif`` reads from ``text``; None if it has another form."""
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    *cell, quoted_formula, plain_formula, volume, units, sites = form.groups()
    fields = sites.split()
    symbols = fields[0::7]
    counts = {symbol: symbols.count(symbol) for symbol in dict.fromkeys(symbols)}
    written = sorted(f"{symbol}{count}" for symbol, count in counts.items())
    if sorted((quoted_formula or plain_formula).split()) != written:
        return None
    if math.gcd(*counts.values()) != int(units) or not counts.keys() <= ELEMENTS.keys():
        return None
    lattice = Lattice.from_parameters(*map(float, cell))
    found = np.linalg.det(lattice.matrix)
    if not abs(float(volume) - found) <= VOLUME_TOLERANCE * found:
        return None
    positions = np.array([fields[3::7], fields[4::7], fields[5::7]], dtype=float).T
    elements = [ELEMENTS[symbol] for symbol in symbols]
    return Structure(lattice, elements, within_cell(positions), labels=fields[1::7])
