"""The atom lines of a CIF: label, element and position of each, every one accounted for."""

import math
import re
from typing import NamedTuple

import numpy as np
from pymatgen.core import Element

from data_prep.errors import BadCrystal
from data_prep.labels import numbered
from data_prep.reading.cif_blocks import Items, number_of, text_of

ELEMENTS = {Element.from_Z(number).symbol: Element.from_Z(number) for number in range(1, 119)}
"""By symbol, with deuterium; tritium's T is a tetrahedral site in the files of minerals."""
ELEMENTS["D"] = Element("D")

WHOLE = 2e-3
"""An occupancy this close to 1 is 1."""

_THIRDS_TOLERANCE = 1e-4

_FARTHEST = 20
"""Cells away from the first; more is no fraction of a cell, but a length."""

# An element and its charge, as Fe3+, O2-, K+, Na+1 or Fe2.50+; pymatgen adds its spin.
_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:\d*\.?\d*[+-]|[+-]\d+\.?\d*|0)?(?:,spin=-?\d+\.?\d*)?")
# An element and then no other letter, as Fe1, O1A, O_2, H(3) or Na+1.
_LABEL = re.compile(r"([A-Za-z]{1,2})(?![A-Za-z])")
# An element on a site of a mineral, as CaM2 or SiT; not OH, nor OW of water.
_SITE_LABEL = re.compile(r"([A-Z][a-z]?)(?=[A-Z])(?!.*[HhWw])")


class Sites(NamedTuple):
    """The s atom lines of a CIF, each a fully occupied site."""

    labels: list[str]
    """As in the file; made of element and number where it has none."""
    elements: list[Element]
    positions: np.ndarray
    """Fractional, within the cell, float64 [s, 3]."""


def sites_of(items: Items, *, has_formula: bool) -> Sites:
    """The atoms of a block.

    Args:
        items: of the block.
        has_formula: whether a formula will show if an element was mistaken for another. Without
            one, symbols in capitals (CO, HO) are not guessed at.

    Raises:
        BadCrystal: no atoms, or a line that does not give one whole atom at one place.
    """
    columns = [items.get(f"_atom_site_fract_{axis}", []) for axis in "xyz"]
    count = len(columns[0])
    if not count or {len(column) for column in columns} != {count}:
        raise BadCrystal(
            "no atoms with fractional coordinates (_atom_site_fract_x, _y, _z) in the CIF: "
            "is it cut off?"
        )
    for tag, values in items.items():
        if tag in _COLUMNS and len(values) != count:
            raise BadCrystal(f"the CIF has {count} positions, but {len(values)} values of {tag}")
    symbols = [text_of(value) for value in items.get("_atom_site_type_symbol", [])]
    labels = [text_of(value) for value in items.get("_atom_site_label", [])]
    if not symbols and not labels:
        raise BadCrystal("the atoms have neither _atom_site_type_symbol nor _atom_site_label")
    names = [label or f"line {line}" for line, label in enumerate(labels or [""] * count, 1)]
    elements = [
        _element(symbol, label, name, guess=has_formula)
        for symbol, label, name in zip(
            symbols or [""] * count, labels or [""] * count, names, strict=True
        )
    ]
    if not labels:
        names = numbered(element.symbol for element in elements)
    _check_lines(items, names)
    return Sites(names, elements, _positions(columns, names))


_COLUMNS = {
    f"_atom_site_{name}"
    for name in (
        "type_symbol",
        "label",
        "occupancy",
        "calc_flag",
        "symmetry_multiplicity",
        "attached_hydrogens",
        "disorder_group",
        "disorder_assembly",
    )
}


def _element(symbol: str, label: str, name: str, *, guess: bool) -> Element:
    """The element of a line by its symbol, or where it has none by its label."""
    if symbol in ELEMENTS:
        return ELEMENTS[symbol]
    found, site = _SYMBOL.fullmatch(symbol), None
    if found is None and symbol in ("", label):
        found, site = _LABEL.match(label), _SITE_LABEL.match(label)
        if found and not guess and _is_group(found[1], label[found.end() :]):
            found = None
    letters = found[1] if found else ""
    element = ELEMENTS.get(letters)
    if element is None and guess:
        element = ELEMENTS.get(letters.capitalize()) or ELEMENTS.get(site[1] if site else "")
    if element is None:
        what = f"type symbol {symbol!r}" if symbol else f"label {label!r}, without a type symbol,"
        raise BadCrystal(
            f"{name}: its {what} names no element: write the element in "
            "_atom_site_type_symbol, and each atom of a group (OH, H2O) on a line of its own"
        )
    return element


def _is_group(letters: str, rest: str) -> bool:
    """Whether a label may be that of a group, as O-H1, O(W) or H2O1: an element and then hydrogen
    or water, or hydrogen and then another element."""
    return re.search("[NO]" if letters in ("H", "D") else "[HhWw*]", rest) is not None


def _check_lines(items: Items, names: list[str]) -> None:
    """One whole atom a line: no dummy, no hydrogen without a place, no part of an atom."""
    for name, flag in zip(names, items.get("_atom_site_calc_flag", []), strict=False):
        if text_of(flag).lower() == "dum":
            raise BadCrystal(
                f"{name} is a dummy (_atom_site_calc_flag dum), an atom whose place is not known: "
                "give its position"
            )
    attached = items.get("_atom_site_attached_hydrogens", [])
    for name, value in zip(names, attached, strict=False):
        if number_of(value) > 0:
            raise BadCrystal(
                f"{name} has hydrogens without positions (_atom_site_attached_hydrogens {value}): "
                "give each a line"
            )
    for name, value in zip(names, items.get("_atom_site_occupancy", []), strict=False):
        if value == "1" or not text_of(value):  # 1 is what CIF takes for no value
            continue
        occupancy = number_of(value)
        if not math.isfinite(occupancy):
            raise BadCrystal(f"{name}: its occupancy {value!r} is no number")
        if occupancy > 1 + WHOLE:
            raise BadCrystal(f"{name} has an occupancy above 1 ({value})")
        if occupancy < 1 - WHOLE:
            raise BadCrystal(
                f"disordered: {name} has occupancy {value} (partial occupancy): "
                "make an ordered crystal of it first"
            )
    _check_alternatives(items)


def _check_alternatives(items: Items) -> None:
    """No two groups of one assembly, of which a crystal has one at a place."""
    groups = [text_of(value) for value in items.get("_atom_site_disorder_group", [])]
    assemblies = items.get("_atom_site_disorder_assembly", [""] * len(groups))
    found: dict[str, str] = {}
    for group, assembly in zip(groups, assemblies, strict=True):
        if group and found.setdefault(assembly, group) != group:
            raise BadCrystal(
                f"disordered: groups {found[assembly]} and {group} (_atom_site_disorder_group) are "
                "alternatives: keep the atoms of one"
            )


def _positions(columns: list[list[str]], names: list[str]) -> np.ndarray:
    """Fractional positions in the cell [s, 3]."""
    positions = np.array([[number_of(value) for value in column] for column in columns]).T
    fractional = np.abs(positions) <= _FARTHEST  # NaN is not
    if not fractional.all():
        line, axis = np.argwhere(~fractional)[0]
        raise BadCrystal(
            f"{names[line]} has no position: its fract_{'xyz'[axis]} is {columns[axis][line]!r}; "
            "give the fraction of the cell, or take the atom out if it is not there"
        )
    return within_cell(positions)


def within_cell(positions: np.ndarray) -> np.ndarray:
    """Fractional positions [n, 3] moved into the cell; those near 1/3 and 2/3 are made exact."""
    for ideal in (1 / 3, 2 / 3):
        positions = np.where(np.abs(positions / ideal - 1) <= _THIRDS_TOLERANCE, ideal, positions)
    return positions - np.floor(positions)
