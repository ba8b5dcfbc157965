"""The structure of a POSCAR, or of a CONTCAR.

A reader of its own: pymatgen's names elements that the file does not name, takes the tag of a fixed
atom for fluorine, and gives one kind of warning for these and for spellings that VASP itself takes.
The format is described at https://www.vasp.at/wiki/POSCAR.
"""

import math
import re
from itertools import accumulate, takewhile

import numpy as np
from pymatgen.core import Element, Structure

from data_prep.errors import BadCrystal
from data_prep.labels import numbered
from data_prep.reading.cif_blocks import is_cut

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eEdD][-+]?\d+)?")
_COUNT = re.compile(r"\d{1,9}")
_FLAG = re.compile(r"\.?(T(RUE)?|F(ALSE)?)\.?", re.IGNORECASE)
_COMMENT = re.compile(r"\s[!#].*")
_LINE_END = re.compile(r"\r\n|\r|\n")  # `splitlines` breaks at form feeds and others, too


def is_poscar(text: str) -> bool:
    """Whether a text has the scale and the lattice of a POSCAR in its lines 2 to 5."""
    lines = [line.split() for line in _LINE_END.split(text, maxsplit=5)[1:5]]
    return (
        len(lines) == 4
        and len(_numbers(lines[0])) in (1, 3)
        and all(len(_numbers(line)) == 3 for line in lines[1:])
    )


def structure_from_poscar(text: str) -> Structure:
    """The structure of a POSCAR that names its elements; its atoms are labelled Fe1, Fe2, O1, …

    What follows the positions (velocities, notes) is left aside.

    Raises:
        BadCrystal: a file that is cut off, does not name its elements, or contradicts itself.
    """
    # A first line that is a comment as a whole; notes may stand behind what the others say. Blank
    # lines at the end, so that a line can be looked at that a cut-off file does not have.
    comment, *lines = _LINE_END.split(text)
    lines = [comment, *(_COMMENT.sub("", f" {line}").strip() for line in lines), *[""] * 8]
    scale, lattice = _scaled_lattice(lines)
    symbols, counts, start = _elements(lines)
    if lines[start][:1] in ("S", "s"):  # selective dynamics
        start += 1
    mode = lines[start][:1].lower()
    if mode not in ("d", "f", "c", "k"):
        raise _unreadable(f"line {start + 1} says neither Direct nor Cartesian")
    start += 1
    rows = list(takewhile(bool, map(str.split, lines[start : start + sum(counts)])))
    if len(rows) < sum(counts):
        raise _unreadable(
            f"{len(rows)} positions for {sum(counts)} atoms: the file is cut off, or has a blank "
            "line among them"
        )
    if len(_numbers(lines[start + len(rows)].split())) >= 3:
        raise _unreadable(f"more positions than the {len(rows)} atoms it counts")
    if text.endswith(rows[-1][-1]) and is_cut([number for row in rows for number in row[:3]]):
        raise _unreadable(f"it ends within a line: {rows[-1][-1]} has fewer digits than the others")
    positions = np.array([_position(row, start + n) for n, row in enumerate(rows, 1)])
    elements = _named_elements(symbols, counts, [_symbol_behind(row) for row in rows], start)
    return Structure(
        lattice,
        elements,
        positions * scale if mode in "ck" else positions,
        coords_are_cartesian=mode in "ck",
        labels=numbered(elements),
    )


def _unreadable(reason: str) -> BadCrystal:
    return BadCrystal(f"unreadable POSCAR: {reason}")


def _numbers(tokens: list[str]) -> list[float]:
    """The numbers that a line starts with."""
    return [
        float(token.lower().replace("d", "e")) for token in takewhile(_NUMBER.fullmatch, tokens)
    ]


def _scaled_lattice(lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Factors of x, y and z [3], and the lattice vectors they apply to already, one a row (Å)."""
    rows = [_numbers(line.split()) for line in lines[2:5]]
    if [len(row) for row in rows] != [3, 3, 3]:
        raise _unreadable("lines 3 to 5 are not three lattice vectors of three numbers")
    lattice = np.array(rows)
    scale = np.array(_numbers(lines[1].split()))
    with np.errstate(all="ignore"):  # numbers out of range are found by what they lead to
        volume = abs(np.linalg.det(lattice))
        if len(scale) == 1 and scale[0] < 0 < volume:  # the volume of the cell (Å³)
            scale = np.cbrt(-scale / volume)
        if len(scale) not in (1, 3) or not (scale > 0).all():
            raise _unreadable("line 2 is no scale: a number (below 0: the volume) or three above 0")
        lattice = lattice * scale
    if not np.isfinite(lattice).all():
        raise _unreadable("a lattice vector is not finite")
    return scale * np.ones(3), lattice


def _elements(lines: list[str]) -> tuple[list[str] | None, list[int], int]:
    """Symbols of the species (None: the file has none, as of VASP 4), counts, and the next line."""
    place, symbols, counts = 5, list[str](), list[int]()
    while lines[place] and not lines[place][0].isdigit():
        # VASP writes names of potentials, too: Fe_pv/f474ac0d.
        symbols += [re.split("[_/]", token)[0] for token in lines[place].split()]
        place += 1
    while (tokens := lines[place].split()) and all(map(_COUNT.fullmatch, tokens)):
        counts += map(int, tokens)
        place += 1
        if len(counts) >= len(symbols):
            break
    for symbol in symbols:
        if not _is_element(symbol):
            raise _unreadable(f"{symbol[:20]!r} in the line of elements is no element")
    if not sum(counts):
        raise _unreadable(f"line {place + 1} has no numbers of atoms")
    if symbols and len(symbols) != len(counts):
        raise _unreadable(f"{len(symbols)} elements and {len(counts)} numbers of atoms")
    return symbols or None, counts, place


def _position(row: list[str], line: int) -> list[float]:
    numbers = _numbers(row)
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise _unreadable(f"line {line} is no position of three numbers")
    return numbers


def _symbol_behind(row: list[str]) -> str | None:
    """The element at the end of a position's line, if there is one: `0 0 0 T T F Fe1`."""
    rest = row[3:]
    if len(rest) >= 3 and all(map(_FLAG.fullmatch, rest[:3])):
        rest = rest[3:]
    symbol = rest[0].rstrip("0123456789") if rest else ""
    return symbol if _is_element(symbol) else None


def _named_elements(
    symbols: list[str] | None, counts: list[int], behind: list[str | None], line: int
) -> list[str]:
    """The element of each atom; those behind the positions, after `line` lines, must agree."""
    if symbols is None:
        # A lone T or F may be what is left of the tags of fixed atoms.
        if None in behind or {*behind} <= {"T", "F"}:
            raise _unreadable(
                "its elements are not named (VASP 4): add a line with their symbols above the "
                "numbers of atoms"
            )
        named = [symbol for symbol in behind if symbol is not None]
        for end, count in zip(accumulate(counts), counts, strict=True):
            if len({*named[end - count : end]}) > 1:
                raise _unreadable(
                    f"the symbols behind the positions of lines {line + end - count + 1} to "
                    f"{line + end} differ, which are of one element by the numbers of atoms"
                )
        return named
    elements = [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)]
    for number, (element, other) in enumerate(zip(elements, behind, strict=True), 1):
        if other not in (None, element):
            what = " (tags of fixed atoms come in threes)" * (other in ("T", "F"))
            raise _unreadable(
                f"line {line + number} says {other}, the line of elements {element}{what}"
            )
    return elements


def _is_element(symbol: str) -> bool:
    return Element.is_valid_symbol(symbol)
