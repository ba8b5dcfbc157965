"""Damaged POSCARs."""

import random
import re
from collections.abc import Callable

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from benchmarks.fuzz.cases import Case, Crystals, Expected, Maker, Wanted
from benchmarks.fuzz.texts import (
    encoded,
    garbled,
    repeated_line,
    swapped_digits,
    truncated,
    without_line,
)

HEADER = range(8)
"""Lines before the positions."""


def _written(structure: Structure, rng: random.Random) -> str:
    """A POSCAR of sorted elements, with their names behind the positions or without."""
    text = Poscar(structure.get_sorted_structure()).get_str(significant_figures=rng.randint(6, 16))
    return text if rng.random() < 0.5 else re.sub(r"(\d) [A-Z][a-z]?\n", r"\1\n", text)


def _positions(text: str) -> range:
    return range(len(HEADER), len(text.rstrip().splitlines()))


def _without_positions(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    lost = rng.sample(_positions(text), min(rng.randint(1, 8), len(_positions(text))))
    return "".join(line for number, line in enumerate(lines) if number not in lost)


def _respelled(text: str, rng: random.Random) -> str:
    """The same cell as VASP and other programs write it."""
    lines = text.splitlines()
    lattice = np.array([line.split() for line in lines[2:5]], float)
    volume = abs(np.linalg.det(lattice))
    lines[1] = rng.choice(["1", "1. ! scale", "+1.0d0", f"{-volume:.12f}", "1 1 1"])
    if rng.random() < 0.5:
        positions = np.array([line.split()[:3] for line in lines[8:] if line.strip()], float)
        lines[7:] = ["Cartesian", *(" ".join(map(str, row)) for row in positions @ lattice)]
    if rng.random() < 0.5:
        flags = rng.choice(["T T F", ".TRUE. .false. F"])
        tail = [re.sub(r"^((\s*\S+){3})", rf"\1 {flags}", line) for line in lines[8:]]
        lines[7:] = ["Selective dynamics", lines[7], *tail]
    if rng.random() < 0.3:
        lines[5] = "  ".join(f"{symbol}_pv/1a2b3c" for symbol in lines[5].split())
    if rng.random() < 0.3:
        lines += ["", *["  0.0  0.0  0.0"] * (len(lines) - 8)]
    return "\n".join(lines) + "\n"


def _other_elements(text: str, rng: random.Random) -> str:
    """The line of elements or that of their numbers does not go with the positions."""
    lines = text.splitlines(keepends=True)
    number = rng.choice([5, 6])
    words = lines[number].split()
    change = rng.choice(["drop", "double", "other"])
    if change == "drop":
        words.pop()
    elif change == "double":
        words.append(words[0])
    else:
        words[0] = "Xx" if number == 5 else str(int(words[0]) + 1)
    lines[number] = " ".join(words) + "\n"
    return "".join(lines)


def _hostile(text: str, rng: random.Random) -> str:
    """What no program writes, and much of it."""
    lines = text.splitlines(keepends=True)
    number = rng.randrange(len(lines))
    many = 10 ** rng.randint(2, 5)
    huge = rng.choice(["999999999", "1e308", "-1e-320", "nan", "9" * 5000, "１", "1_0", "\x0c"])
    ways: list[Callable[[], str]] = [
        lambda: "".join([*lines[:number], lines[number] * many, *lines[number:]]),
        lambda: re.sub(r"\d+\.\d+", huge, text, count=rng.randint(1, 12)),
        lambda: "".join([*lines[:number], f"{huge} " * 3 + "\n", *lines[number + 1 :]]),
        lambda: text.replace(lines[number], lines[number].strip() + " 1" * many + "\n"),
        lambda: "\n".join(["x", "1", "9 0 0", "0 9 0", "0 0 9", "H " * many, "1 " * many, "D"]),
        lambda: "".join([*lines[:6], f"{huge} {huge}\n", *lines[7:]]),
    ]  # fmt: skip
    return rng.choice(ways)()


def _maker(
    kind: str, damage: Callable[[str, random.Random], str | bytes], expected: Expected
) -> Maker:
    def make(crystals: Crystals, rng: random.Random) -> Case:
        structure = crystals.structure(rng)
        text = _written(structure, rng)
        damaged = damage(text, rng)
        content = damaged if isinstance(damaged, bytes) else damaged.encode()
        how = Expected.SAME if content == text.encode() else expected
        name = rng.choice(["x.vasp", "POSCAR_x", "CONTCAR-x", "x.poscar"])
        return Case(kind, name, content, [Wanted(how, structure)])

    return make


_DAMAGES: dict[str, tuple[Callable[[str, random.Random], str | bytes], Expected]] = {
    "POSCAR: positions lost": (_without_positions, Expected.REFUSED),
    "POSCAR: position twice": (lambda t, r: repeated_line(t, r, _positions(t)), Expected.REFUSED),
    "POSCAR: header line lost": (
        lambda t, r: without_line(t, r, HEADER),
        Expected.SAME_OR_REFUSED,
    ),
    "POSCAR: header line twice": (
        lambda t, r: repeated_line(t, r, HEADER),
        Expected.SAME_OR_REFUSED,
    ),
    "POSCAR: garbled": (garbled, Expected.ANYTHING),
    "POSCAR: digits swapped": (swapped_digits, Expected.ANYTHING),
    "POSCAR: cut off": (truncated, Expected.SAME_OR_REFUSED),
    "POSCAR: encodings": (encoded, Expected.SAME),
    "POSCAR: other elements": (_other_elements, Expected.REFUSED),
    "POSCAR: other spelling": (_respelled, Expected.SAME),
    "POSCAR: hostile": (_hostile, Expected.ANYTHING),
}

MAKERS: dict[str, Maker] = {kind: _maker(kind, *damage) for kind, damage in _DAMAGES.items()}
