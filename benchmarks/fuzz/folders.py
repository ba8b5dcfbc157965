"""Folders of damaged files with odd names, for the commands themselves."""

import csv
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fuzz.cases import Case
from benchmarks.fuzz.judge import HANG, Fault, Found
from data_prep.errors import printable
from data_prep.storage import load_dataset

KIND = "folders, by predict and build"

NAMES = (
    "[bold]",
    "$^$",
    "a,b",
    "é",
    "'; DROP",
    "x y",
    "-",
    "..x",
    "line\nend",
    "%s",
    "\udce9",
    "#",
)

TIMEOUT = 15 * HANG
"""Seconds for a command and its files, other programs running beside it."""


def judge_folder(
    cases: Sequence[Case], folder: Path, rng: random.Random
) -> tuple[int, list[Found]]:
    """Write the structure files among some cases to a folder, and let a command read it.

    Returns:
        How many files there are, and what is wrong.
    """
    ids = _write([case for case in cases if "." in case.file], folder, rng)
    out = folder.with_name(f"{folder.name} out")
    if rng.random() < 0.5:
        command = ["gatgnn_jax.predict", "bulk_modulus", folder, "--out", out / "p.csv"]
    else:
        with (folder / "id_prop.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((name, 1) for name in ids if name.isprintable())
        ids = [name for name in ids if name.isprintable()]
        command = ["data_prep.build", folder, "--out", out]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *map(str, command)],
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return len(ids), [Found(Fault.HANG, f"{command[0]}: more than {TIMEOUT} s")]
    said = done.stderr.decode(errors="backslashreplace")
    if "Traceback" in said or done.returncode not in (0, 1):
        return len(ids), [Found(Fault.TRACEBACK, f"{command[0]}: {said[-500:]}")]
    if done.returncode == 1:  # of all crystals none was good
        return len(ids), []
    reported = _ids(out)
    return len(ids), [
        Found(Fault.LOST, f"{command[0]}: {name!r}")
        for name in ids
        if printable(name) not in reported
    ]


def _write(cases: Sequence[Case], folder: Path, rng: random.Random) -> list[str]:
    """Files, in folders within and as links, too; what their crystals are called."""
    ids = []
    for number, case in enumerate(cases):
        suffix = Path(case.file).suffix
        if suffix not in (".cif", ".vasp", ".poscar"):
            continue
        name = f"{number} {rng.choice(NAMES)}"
        place = folder / rng.choice(["", "sub", "sub/[x]"])
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{name}{suffix}"
        if rng.random() < 0.2:
            path.symlink_to("nowhere" if rng.random() < 0.5 else path.name)
        else:
            path.write_bytes(case.content)
        ids.append(name)
    return ids


def _ids(out: Path) -> set[str]:
    """The ids in what a command wrote; of several crystals in a file, ``FILE:BLOCK``, that, too."""
    ids = [] if (out / "p.csv").exists() else [*map(str, load_dataset(out).ids)]
    for table in out.glob("*.csv"):
        with table.open(encoding="utf-8", newline="") as lines:
            ids += [row["id"] for row in csv.DictReader(lines)]
    return {*ids, *(name.split(":")[0] for name in ids)}
