"""What a CIF says of its content beside the atoms: formula, Z, volume, density, multiplicities.

Files lose atom lines, name a symmetry that is not applied, or give lengths in other units, and are
good CIFs all the same: only such statements tell.
"""

import math
import re
from collections.abc import Mapping, Sequence
from enum import IntEnum

from pymatgen.core import Composition, Element

from data_prep.errors import BadCrystal
from data_prep.reading.cif_blocks import Items, number_of, value_of

VOLUME_TOLERANCE = 0.01
DENSITY_TOLERANCE = 0.03
"""Relative; densities are given with few digits, and of an isotope or not."""

GRAMS_PER_CM3 = 1.66053907
"""One dalton in a cubic angstrom (CODATA 2018)."""

_MODULATED = (
    "_cell_wave_vector",
    "_cell_subsystem",
    "_atom_site_displace_",
    "_atom_site_occ_fourier",
    "_atom_site_occ_special_func",
    "_space_group_ssg_",
    "_space_group_symop_ssg_",
    "_space_group_symop_magn_ssg_",
)

_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)(?:\(\d+\))?")


class Confirmed(IntEnum):
    """How well the statements of a CIF confirm the atoms in its cell."""

    NOT_AT_ALL = 0
    IN_RATIO = 1
    IN_NUMBER = 2


def check_volume(items: Items, volume: float) -> None:
    """Compare the volume of the cell (Å³) with the one that the file states.

    Raises:
        BadCrystal: they differ.
    """
    stated = number_of(value_of(items, "_cell_volume"))
    if math.isfinite(stated) and abs(stated - volume) > VOLUME_TOLERANCE * volume:
        raise BadCrystal(
            f"the cell has a volume of {volume:.2f} Å³ by its lengths and angles, the CIF says "
            f"{stated:g}: one of them is wrong, or in other units than Å and degrees"
        )


def check_periodic(items: Items) -> None:
    """Make sure that the cell holds the crystal, not the average of a modulated or composite one.

    Raises:
        BadCrystal: it does not.
    """
    dimension = number_of(value_of(items, "_cell_modulation_dimension"))
    if dimension > 0 or any(tag.startswith(_MODULATED) for tag in items):
        raise BadCrystal(
            "the structure is modulated or composite, and the cell holds its average only: give a "
            "supercell that approximates it"
        )


def confirm_content(
    items: Items,
    elements: Sequence[Element],
    volume: float,
    multiplicity: Sequence[int],
    num_operations: int,
) -> Confirmed:
    """Compare the atoms in the cell with all that the file states of its content.

    Args:
        items: of the block.
        elements: of the n atoms in the cell.
        volume: of the cell (Å³).
        multiplicity: atoms in the cell of each atom line.
        num_operations: of the space group.

    Raises:
        BadCrystal: they do not agree.
    """
    confirmed = _confirm_formula(items, counts_of(elements))
    if confirmed is Confirmed.NOT_AT_ALL:
        confirmed = _confirm_weight(items, elements)
    density = number_of(value_of(items, "_exptl_crystal_density_diffrn"))
    if density > 0:
        found = sum(float(element.atomic_mass) for element in elements) / volume * GRAMS_PER_CM3
        if abs(found - density) > DENSITY_TOLERANCE * density:
            raise BadCrystal(
                f"the atoms in the cell make {found:.3g} g/cm³, the CIF says {density:g}: atoms "
                "were lost, the symmetry is not as stated, or the cell is in other units than Å"
            )
        confirmed = Confirmed.IN_NUMBER
    if confirmed is Confirmed.IN_NUMBER:
        return confirmed
    stated = [number_of(text) for text in items.get("_atom_site_symmetry_multiplicity", [])]
    if not stated or not all(map(math.isfinite, stated)):
        return confirmed
    if stated == [*multiplicity]:
        return Confirmed.IN_NUMBER
    if all(a * b == num_operations for a, b in zip(stated, multiplicity, strict=True)):
        return confirmed  # SHELXL-97 gives the order of the site's symmetry
    line = next(k for k, (a, b) in enumerate(zip(stated, multiplicity, strict=True)) if a != b)
    raise BadCrystal(
        f"atom line {line + 1} stands for {multiplicity[line]} atoms in the cell, its "
        f"_atom_site_symmetry_multiplicity is {stated[line]:g}: one of symmetry, position and "
        "multiplicity is wrong"
    )


def counts_of(elements: Sequence[Element]) -> dict[str, float]:
    """Atoms of each element, by symbol; deuterium is hydrogen."""
    counts: dict[str, float] = {}
    for element in elements:
        symbol = "H" if element.symbol == "D" else element.symbol
        counts[symbol] = counts.get(symbol, 0) + 1
    return counts


def _confirm_formula(items: Items, found: Mapping[str, float]) -> Confirmed:
    text = value_of(items, "_chemical_formula_sum")
    structural = value_of(items, "_chemical_formula_structural", "_chemical_formula_moiety")
    stated = formula_counts(text) if text else _free_formula(structural)
    if stated is None:
        return Confirmed.NOT_AT_ALL
    units = number_of(value_of(items, "_cell_formula_units_z"))
    times = _times(found, stated)
    is_numbered = units > 0  # pymatgen writes 0 for a single atom of hydrogen
    if is_numbered and times != units:
        # Other programs give the formula of the whole cell, and count other units in it.
        unit = _free_formula(structural)
        whole = times == 1 and (
            (unit is not None and _times(found, unit) == units) or _common(stated) == units
        )
        times = times if whole else None
    if times is None:
        z = f" with Z = {units:g}" if is_numbered else ""
        raise BadCrystal(
            f"the atoms in the cell add up to {_written(found)}, the formula in the CIF is "
            f"{text or structural}{z}: atom lines were lost (is the file cut off?), atoms have no "
            "position, or the symmetry is not as stated"
        )
    return Confirmed.IN_NUMBER if is_numbered else Confirmed.IN_RATIO


def _confirm_weight(items: Items, elements: Sequence[Element]) -> Confirmed:
    """Where there is no formula: the mass of a formula unit, to within half a hydrogen atom."""
    weight = number_of(value_of(items, "_chemical_formula_weight"))
    units = number_of(value_of(items, "_cell_formula_units_z"))
    if not (weight > 0 and units > 0):
        return Confirmed.NOT_AT_ALL
    found = sum(float(element.atomic_mass) for element in elements) / units
    deuterium = sum(element.symbol == "D" for element in elements) / units
    # Of isotopes or not, and rounded.
    if not any(abs(own - weight) <= max(0.5, 1e-3 * weight) for own in (found, found - deuterium)):
        raise BadCrystal(
            f"the atoms in the cell weigh {found:.5g} Da a formula unit, the CIF says {weight:g} "
            "(_chemical_formula_weight): atoms were lost, or the symmetry is not as stated"
        )
    return Confirmed.IN_NUMBER


def formula_counts(text: str) -> dict[str, float]:
    """Atoms by element of a sum formula as ``C6 H6`` or ``Na4Cl4``.

    Raises:
        BadCrystal: it cannot be understood.
    """
    counts: dict[str, float] = {}
    for part in re.sub(r"\d*[+-](?=\s|$)", "", text).replace(",", " ").split():
        pieces = [*_FORMULA_PART.finditer(part)]
        known = all(piece[1] in _SYMBOLS or piece[1] == "D" for piece in pieces)
        if not known or "".join(piece[0] for piece in pieces) != part:
            if (free := _free_formula(text)) is not None:
                return free
            raise BadCrystal(
                f"the formula {text!r} cannot be understood: correct or remove "
                "_chemical_formula_sum"
            )
        for piece in pieces:
            symbol = "H" if piece[1] == "D" else piece[1]
            number = float(piece[2]) if piece[2] not in ("", ".") else 1.0
            counts[symbol] = counts.get(symbol, 0) + number
    return {symbol: number for symbol, number in counts.items() if number}


def _free_formula(text: str) -> dict[str, float] | None:
    """Atoms by element of a structural formula; None if it is no formula but a description."""
    if text[:1].isdigit():
        return None
    try:
        composition = Composition(text).element_composition
    except Exception:  # free text
        return None
    if not composition or any(element.symbol not in _SYMBOLS for element in composition):
        return None
    return {element.symbol: float(number) for element, number in composition.items()}


_SYMBOLS = {Element.from_Z(number).symbol for number in range(1, 119)}


def _times(found: Mapping[str, float], unit: Mapping[str, float]) -> int | None:
    """How many whole units make what was found; None if no number does."""
    if found.keys() != unit.keys():
        return None
    times = round(sum(found.values()) / sum(unit.values()))
    close = min(0.005 * times, 0.4)  # formulas may have rounded decimals
    fits = all(abs(found[symbol] - times * unit[symbol]) <= close for symbol in unit)
    return times if times and fits else None


def _common(stated: Mapping[str, float]) -> int:
    return math.gcd(*(int(number) if number == int(number) else 1 for number in stated.values()))


def _written(counts: Mapping[str, float]) -> str:
    return " ".join(f"{symbol}{number:g}" for symbol, number in counts.items())
