"""Damaged JSON and CSV: a row in the middle is bad, the others must be read."""

import codecs
import copy
import csv
import io
import json
import random
from collections.abc import Callable
from typing import Any

from benchmarks.fuzz.cases import Case, Crystals, Expected, Maker, Wanted, as_dict

WRONG: list[Any] = [
    None,
    "",
    "x",
    True,
    -1,
    0,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [None] * 3,
    {"a": 1},
    "\0",
    "\ud800",
    {"@module": "antigravity", "@class": "Structure"},
    [[[1.0] * 3] * 3] * 3,
]
DEEP = '{"a":' * 20_000 + "1" + "}" * 20_000

Row = dict[str, Any]


def _places(content: Any) -> list[tuple[Any, Any]]:
    """All containers in a dictionary with each of their keys."""
    keys: list[Any] = list(content) if isinstance(content, dict) else [*range(len(content))]
    found = [(content, key) for key in keys]
    for key in keys:
        if isinstance(content[key], dict | list):
            found += _places(content[key])
    return found


def _key_lost(row: Row, rng: random.Random) -> str:
    content, key = rng.choice(_places(row))
    del content[key]
    return json.dumps(row)


def _wrong_type(row: Row, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 2)):
        content, key = rng.choice(_places(row))
        content[key] = copy.deepcopy(rng.choice(WRONG))
    return json.dumps(row)


def _text_garbled(row: Row, rng: random.Random) -> str:
    text = json.dumps(row)
    place = rng.randrange(len(text))
    other = rng.choice(['"', "}", "[", ",", "NaN", "\\", "\0", "é"])
    return text[:place] + other + text[place + 1 :]


def _hostile(row: Row, rng: random.Random) -> str:
    many = 10 ** rng.randint(2, 5)
    structure, text = row["structure"], json.dumps(row)
    many_sites = structure | {"sites": structure["sites"] * min(many, 1000)}
    ways: list[Callable[[], str]] = [
        lambda: DEEP,
        lambda: json.dumps(row | {"structure": DEEP}),
        lambda: text.replace('"sites": [', f'"deep": {DEEP}, "sites": ['),
        lambda: json.dumps(row | {"structure": "{" * many}),
        lambda: json.dumps(row | {"id": "x" * many}),
        lambda: "[" * many,
        lambda: json.dumps([row] * 3),
        lambda: json.dumps(row | {"structure": "\n" * many}),
        lambda: json.dumps(row | {"structure": many_sites}),
        lambda: text[: rng.randrange(1, len(text))],
        lambda: text.replace('"@module"', '"@module": "os", "@module"'),
        lambda: f"{text[:-1]}, {text[1:]}",
    ]
    return rng.choice(ways)()


def _json_maker(kind: str, damage: Callable[[Row, random.Random], str]) -> Maker:
    def make(crystals: Crystals, rng: random.Random) -> Case:
        """Three rows, of which the second is damaged."""
        structures = [crystals.structure(rng) for _ in range(3)]
        rows: list[Row] = [
            {"id": f"row-{n}", "structure": as_dict(structure), "target": n}
            for n, structure in enumerate(structures)
        ]
        lines = [json.dumps(row) for row in rows]
        lines[1] = damage(rows[1], rng)
        how = [Expected.SAME, Expected.ANYTHING, Expected.SAME]
        wanted = [*map(Wanted, how, structures)]
        if rng.random() < 0.7:
            text = "\n".join(lines) + "\n" * rng.randint(0, 2)
            return Case(kind, "x.jsonl", text.encode("utf-8", "surrogatepass"), wanted)
        # A list is read as a whole or not at all.
        wanted = [Wanted(Expected.ANYTHING, structure) for structure in structures]
        text = f"[{', '.join(lines)}]"
        return Case(kind, "x.json", text.encode("utf-8", "surrogatepass"), wanted)

    return make


def _csv_case(crystals: Crystals, rng: random.Random) -> Case:
    """A table with one cell of a row damaged, or written as other programs do."""
    cifs = [crystals.cif(rng) for _ in range(4)]
    cells: list[list[Any]] = [
        ["id", "cif", "target"],
        *([f"row-{n}", text, n] for n, (text, _) in enumerate(cifs)),
    ]
    how = [Expected.SAME] * 4
    damage = rng.choice(["cell", "columns", "short", "quote", "separator", "header", "mark"])
    if damage in ("cell", "columns", "short"):
        how[1] = Expected.ANYTHING
    if damage == "cell":
        cells[2][rng.randrange(3)] = rng.choice(
            ["", "\0", "x", DEEP, "x.cif", "é", "{'a': 1}", '"']
        )
    elif damage == "columns":
        cells[2] += ["1"] * rng.randint(1, 9)
    elif damage == "short":
        cells[2] = cells[2][: rng.randrange(1, 3)]
    elif damage == "header":
        cells[0][rng.randrange(3)] = rng.choice(["", "id", "cif", "\0", "x"])
    file = io.StringIO()
    separator = rng.choice(";\t") if damage == "separator" else ","
    csv.writer(file, delimiter=separator).writerows(cells)
    text = file.getvalue()
    if damage == "quote":
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice(['"', ",", ""]) + text[place + 1 :]
    if damage in ("quote", "separator", "header"):
        how = [Expected.ANYTHING] * 4
    encoding = "utf-16" if damage == "mark" and rng.random() < 0.5 else "utf-8"
    mark = codecs.BOM_UTF8 if damage == "mark" and encoding == "utf-8" else b""
    wanted = [Wanted(*pair) for pair in zip(how, (cif[1] for cif in cifs), strict=True)]
    return Case("CSV", "x.csv", mark + text.encode(encoding), wanted)


MAKERS: dict[str, Maker] = {
    kind: _json_maker(kind, damage)
    for kind, damage in {
        "JSON: key lost": _key_lost,
        "JSON: wrong type": _wrong_type,
        "JSON: garbled": _text_garbled,
        "JSON: hostile": _hostile,
    }.items()
} | {"CSV": _csv_case}
