"""Damaged CIFs."""

import random
import re
from collections.abc import Callable

from benchmarks.fuzz.cases import Case, Crystals, Expected, Maker, Wanted
from benchmarks.fuzz.texts import (
    encoded,
    garbled,
    repeated_line,
    swapped_digits,
    truncated,
    without_line,
)

SYMBOLS = (
    "P 1",
    "P -1",
    "F m -3 m",
    "P 63/m m c",
    "R -3 m:H",
    "C 2/c",
    "F d -3 m:1",
    "Pnma",
    "X 1",
)
LABELS = (
    "X",
    "Na",
    "C1",
    "'Na 1'",
    '"a\'b"',
    "é1",
    "1",
    "Fe_2-",
    "O" * 300,
    "data",
    "H(3)",
    "'#1'",
)


def sites_of(lines: list[str]) -> range:
    """The atom lines of a CIF."""
    start = max(number for number, line in enumerate(lines) if "_atom_site_" in line) + 1
    stop = next((n for n in range(start, len(lines)) if not lines[n].strip()), len(lines))
    return range(start, stop)


def without_sites(text: str, rng: random.Random) -> str:
    """One to eight atom lines are lost, anywhere."""
    lines = text.splitlines(keepends=True)
    sites = sites_of(lines)
    lost = set(rng.sample(sites, min(rng.randint(1, 8), len(sites))))
    return "".join(line for number, line in enumerate(lines) if number not in lost)


def _site_twice(text: str, rng: random.Random) -> str:
    return repeated_line(text, rng, sites_of(text.splitlines()))


def _header(text: str) -> range:
    return range(1, sites_of(text.splitlines()).start)


def _other_symmetry(text: str, rng: random.Random) -> str:
    """One of name, number and operations is another, or is not there."""
    kind = rng.choice(["name", "number", "operation", "no list", "no name", "tag"])
    if kind == "name":
        name = f"\\1 '{rng.choice(SYMBOLS)}'\n"
        return re.sub(r"(_\S*name_H-M\S*) .*\n", name, text, count=1)
    if kind == "number":
        return re.sub(r"(_\S*(?:IT|Tables)_number) .*", rf"\1 {rng.randint(0, 231)}", text)
    if kind == "no name":
        return re.sub(r"_\S*name_H-M\S* .*\n", "", text, count=1)
    if kind == "tag":
        return text.replace("_equiv_pos_as_xyz", rng.choice(["_equiv_pos_as_xy", "_operation"]))
    found = re.search(r"loop_\s+(?:\s*_\S*(?:symop|equiv)\S*\n)+((?:.*'.*,.*,.*'\n)+)", text)
    if found is None:
        return text
    if kind == "no list":
        return text.replace(found[0], "")
    lines = found[1].splitlines(keepends=True)
    lines[rng.randrange(len(lines))] = rng.choice([*lines, lines[0].replace("x", "x+1/2")])
    return text.replace(found[1], "".join(lines))


def _placeholder(text: str, rng: random.Random) -> str:
    """A value is given as unknown."""
    lines = text.splitlines(keepends=True)
    sites = sites_of(lines)
    if rng.random() < 0.5:
        number = rng.choice(sites)
        values = lines[number].split()
        values[rng.randrange(len(values))] = rng.choice("?.")
        lines[number] = f" {' '.join(values)}\n"
    else:
        numbers = [n for n in range(sites.start) if re.match(r"_\S+ +\S", lines[n])]
        number = rng.choice(numbers)
        lines[number] = f"{lines[number].split()[0]} {rng.choice('?.')}\n"
    return "".join(lines)


def _relabelled(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    sites = sites_of(lines)
    place = [line.strip() for line in lines if "_atom_site_" in line].index("_atom_site_label")
    for number in rng.sample(sites, rng.randint(1, len(sites))):
        values = lines[number].split()
        values[place] = rng.choice(LABELS)
        lines[number] = f" {' '.join(values)}\n"
    return "".join(lines)


def _respelled(text: str, rng: random.Random) -> str:
    """The same CIF in another form."""
    ways: list[Callable[[str], str]] = [
        lambda t: re.sub(r"(?m)^\s*_\S+", lambda tag: tag[0].upper(), t),
        lambda t: t.replace("_atom_site_", "_atom_site."),
        lambda t: t.replace("loop_", "LOOP_").replace("data_", "DATA_"),
        lambda t: re.sub(r"(?m)^ +", "\t", t),
        lambda t: t.replace("\n", "  # a remark with data_x and _cell_length_a 1\n"),
        lambda t: t + "\n_publ_text\n;\ndata_no_block\nloop_\n;\n",
        lambda t: f"# é ; ' \"\n\n\n{t}",
        lambda t: re.sub(r"(_cell_length_. +\S+)", r"\1(3)", t),
        lambda t: t.replace("_symmetry_Int_Tables_number", "_space_group_IT_number"),
        lambda t: t.replace("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"),
        lambda t: re.sub(r"'(\S+), (\S+), (\S+)'", r'"\1,\2,\3"', t),
        lambda t: re.sub(r"(?m)^(_cell_volume) +(\S+)", r"\1\n;\n\2\n;", t),
        lambda t: t + "data_other\n_publ_author_name 'x'\n",
    ]
    for way in rng.sample(ways, rng.randint(1, 3)):
        text = way(text)
    return text


def _hostile(text: str, rng: random.Random) -> str:
    """What no program writes, and much of it."""
    lines = text.splitlines(keepends=True)
    number = rng.randrange(len(lines))
    many = 10 ** rng.randint(2, 5)
    value = rng.choice(["1e308", "-0", "nan", "1e-320", "１.5", "9" * 400])
    triplet = rng.choice(["x/0,y,z", "x+1e9,y,z", "3x,y,z", ",,", "x,y,z,t"])
    formula = rng.choice(["(", "H1e9", "((C)2)3", "C-1", "x"]) + "(" * many
    ways: list[Callable[[], str]] = [
        lambda: "".join([*lines[:number], lines[number] * many, *lines[number:]]),
        lambda: "data_a\n" * 10 * many,
        lambda: text * min(many, 300),
        lambda: "".join(chr(rng.choice([*range(128), 0xFEFF, 0x2028])) for _ in range(many)),
        lambda: text.replace("'", ";\n", rng.randint(1, 9)),
        lambda: re.sub(r"\d+\.\d+", value, text, count=rng.randint(1, 12)),
        lambda: text.replace("x, y, z", triplet),
        lambda: re.sub(r"(_chemical_formula_\S+) .*", rf"\1 {formula}", text),
        lambda: text + "loop_\n_a\n_b\n" + "1 2\n" * many,
        lambda: text + "_x '" + "y" * many,
        lambda: text + "save_x\n" * many,
        lambda: _magnetic(text, many),
    ]
    return rng.choice(ways)()


def _magnetic(text: str, many: int) -> str:
    """Operations and centrings whose products are many."""
    operations = "'x,y,z,+1'\n" * min(many, 10_000)
    return re.sub(
        r"loop_\s+(?:\s*_\S*(?:symop|equiv)\S*\n)+((?:.*'.*,.*,.*'\n)+)",
        f"loop_\n_space_group_symop_magn_operation.xyz\n{operations}"
        f"loop_\n_space_group_symop_magn_centering.xyz\n{operations}",
        text,
    )


def _maker(
    kind: str, damage: Callable[[str, random.Random], str | bytes], expected: Expected
) -> Maker:
    def make(crystals: Crystals, rng: random.Random) -> Case:
        text, structure = crystals.cif(rng)
        damaged = damage(text, rng)
        content = damaged if isinstance(damaged, bytes) else damaged.encode()
        how = Expected.SAME if content == text.encode() else expected
        return Case(kind, "x.cif", content, [Wanted(how, structure)])

    return make


def _joined(crystals: Crystals, rng: random.Random) -> Case:
    """Several CIFs in one file, some with atom lines lost."""
    texts, wanted = [], []
    for number in range(rng.randint(2, 5)):
        text, structure = crystals.cif(rng)
        expected = rng.choice([Expected.SAME, Expected.REFUSED])
        if expected is Expected.REFUSED:
            text = without_sites(text, rng)
        if rng.random() < 0.7:
            text = re.sub(r"(?m)^data_.*", f"data_{number}", text)
        texts.append(text)
        wanted.append(Wanted(expected, structure))
    return Case("CIF: several in one", "x.cif", "\n".join(texts).encode(), wanted)


_DAMAGES: dict[str, tuple[Callable[[str, random.Random], str | bytes], Expected]] = {
    "CIF: atom lines lost": (without_sites, Expected.REFUSED),
    "CIF: atom line twice": (_site_twice, Expected.REFUSED),
    "CIF: header line lost": (
        lambda t, r: without_line(t, r, _header(t)),
        Expected.SAME_OR_REFUSED,
    ),
    "CIF: header line twice": (
        lambda t, r: repeated_line(t, r, _header(t)),
        Expected.SAME_OR_REFUSED,
    ),
    "CIF: header garbled": (lambda t, r: garbled(t, r, _header(t)), Expected.ANYTHING),
    "CIF: atoms garbled": (
        lambda t, r: garbled(t, r, sites_of(t.splitlines())),
        Expected.ANYTHING,
    ),
    "CIF: digits swapped": (swapped_digits, Expected.ANYTHING),
    "CIF: other symmetry": (_other_symmetry, Expected.SAME_OR_REFUSED),
    "CIF: cut off": (truncated, Expected.SAME_OR_REFUSED),
    "CIF: encodings": (encoded, Expected.SAME),
    "CIF: unknown value": (_placeholder, Expected.SAME_OR_REFUSED),
    "CIF: odd labels": (_relabelled, Expected.SAME),
    "CIF: other spelling": (_respelled, Expected.SAME),
    "CIF: hostile": (_hostile, Expected.ANYTHING),
}

MAKERS: dict[str, Maker] = {kind: _maker(kind, *damage) for kind, damage in _DAMAGES.items()} | {
    "CIF: several in one": _joined
}
