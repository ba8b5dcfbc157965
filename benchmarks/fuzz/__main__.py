"""`python -m benchmarks.fuzz`: damaged and hostile files against the readers, by seed.

Good crystals are written as CIFs, POSCARs, JSON and CSV, damaged, and read as the commands read
them. Five things are counted, none of which may happen: a traceback, a hang, a crystal that is
neither read nor refused, one that is read otherwise than before the damage (where that could not
change it) or than other programs read it, and one that was accepted though it must have been seen
that it is damaged. Exit status 1 if any did.
"""

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.fuzz import cifs, folders, poscars, rows
from benchmarks.fuzz.cases import Maker, load_crystals
from benchmarks.fuzz.judge import Fault, Found, judge
from data_prep.errors import UserError, exit_status
from data_prep.progress import plain_console, track

MAKERS: Mapping[str, Maker] = cifs.MAKERS | poscars.MAKERS | rows.MAKERS

MAX_SHOWN = 20
"""Faults that are described."""


@dataclass(frozen=True)
class Options:
    """Read damaged and hostile files, and count what must not happen."""

    cases: int = 3000
    """How many files are damaged."""
    seed: int = 0
    """Other seeds damage otherwise."""
    kind: str = ""
    """Only the kinds whose names begin so: CIF, 'POSCAR: cut', …"""
    data: tuple[Path, ...] = ()
    """Sources of crystals; the bundled ones without."""
    crystals: int = 400
    """How many crystals are taken of them."""
    folders: int = 6
    """How many folders of damaged files the commands are given."""
    keep: Path | None = None
    """Put files with a fault into this folder."""


def run(options: Options) -> int:
    """Damage, read, judge, and print the table; how many faults there were."""
    rng = random.Random(options.seed)
    kinds = [kind for kind in MAKERS if kind.startswith(options.kind)]
    with_folders = options.folders > 0 and folders.KIND.startswith(options.kind)
    if not kinds and not with_folders:
        raise UserError(f"no kind begins with {options.kind!r}; there are: {', '.join(MAKERS)}")
    crystals = load_crystals(options.data, rng, options.crystals)
    counts, was_read, was_compared = Counter[str](), Counter[str](), Counter[str]()
    faults = Counter[tuple[str, Fault]]()
    console = plain_console()

    def note(kind: str, number: int, found: Sequence[Found]) -> None:
        for fault, text in found:
            faults[kind, fault] += 1
            if faults.total() <= MAX_SHOWN:
                console.print(f"{kind}, case {number}, {fault.value}: {text}")

    with tempfile.TemporaryDirectory() as name:
        numbers = range(options.cases if kinds else 0)
        for number in track(numbers, len(numbers), "Damaged files"):
            own = random.Random(f"{options.seed} {number}")
            kind = kinds[number % len(kinds)]
            case = MAKERS[kind](crystals, own)
            found, read, compared = judge(case, Path(name))
            counts[kind] += len(case.crystals)
            was_read[kind] += read
            was_compared[kind] += compared
            note(kind, number, found)
            if found and options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{number}-{case.file}").write_bytes(case.content)
        numbers = range(options.folders if with_folders else 0)
        for number in track(numbers, len(numbers), "Folders"):
            own = random.Random(f"{options.seed} folder {number}")
            cases = [MAKERS[own.choice([*MAKERS])](crystals, own) for _ in range(30)]
            folder = Path(name) / f"folder {number}"
            count, found = folders.judge_folder(cases, folder, own)
            counts[folders.KIND] += count
            note(folders.KIND, number, found)
    Console(width=110).print(_table([counts, was_read, was_compared], faults))
    return faults.total()


def _table(counts: Sequence[Counter[str]], faults: Counter[tuple[str, Fault]]) -> Table:
    names = ("kind of damage", "crystals", "read", "compared")
    table = Table(*names, *(fault.value for fault in Fault))
    for kind in counts[0]:
        row = [*(count[kind] for count in counts), *(faults[kind, fault] for fault in Fault)]
        table.add_row(kind, *(f"{number:,}" for number in row))
    totals = [sum(faults[kind, fault] for kind in counts[0]) for fault in Fault]
    table.add_section()
    table.add_row("all", *(f"{n:,}" for n in [*(count.total() for count in counts), *totals]))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if there was a fault."""
    options = tyro.cli(Options, args=arguments, prog="python -m benchmarks.fuzz")
    return exit_status(lambda: min(run(options), 1))


if __name__ == "__main__":
    sys.exit(main())
