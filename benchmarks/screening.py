"""`python -m benchmarks.screening`: many structures through `predict`, killed on the way.

Predicts them with the ready-made bulk modulus in a process of its own, kills it halfway without
warning, starts the same command again, and checks that every structure is in the table or in
NAME.skipped.csv exactly once. Prints structures a second and how the process' memory grows.
"""

import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import tyro
from rich.console import Console

from data_prep.cache import BUNDLED
from data_prep.files import write_text
from gatgnn_jax.prediction.outputs import skipped_path

console = Console(highlight=False)


@dataclass(frozen=True)
class Options:
    """Predict many structures, with a kill on the way."""

    data: Path = BUNDLED
    """JSON lines of structures (.gz); repeated under new ids if they are too few."""
    count: int = 10_000
    """Structures."""
    batch_size: int = 512
    """Crystals to predict at once, at most."""
    json: Path | None = None
    """Write all figures to this file."""


@dataclass(frozen=True)
class Watched:
    """A process of `predict` from start to end."""

    done: int
    """structures accounted for at the end"""
    rate: float
    """structures a second between its first batch and its last"""
    memory: list[tuple[int, float]]
    """structures done, and resident MB of the process (its workers apart) at that time"""


def write_structures(options: Options, path: Path) -> list[str]:
    """The structures as JSON lines with ids of their own; the ids."""
    ids = []

    def rows() -> Iterator[bytes]:
        with gzip.open(options.data, "rb") as lines:
            yield from lines

    with path.open("w") as file:
        for number, line in enumerate(islice(cycle(rows()), options.count)):
            row = json.loads(line)
            ids.append(f"{number}-{row['id']}")
            kept = {name: row[name] for name in ("cif", "structure") if name in row}
            file.write(json.dumps({"id": ids[-1]} | kept) + "\n")
    return ids


def watch(command: list[str], state: Path, until: int | None) -> Watched:
    """Run the command to the end, or kill it when `until` structures are done."""
    process = subprocess.Popen(command, start_new_session=True)
    memory: list[tuple[int, float]] = []
    times: list[tuple[float, int]] = []
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        time.sleep(0.05)
        try:
            done = json.loads(state.read_text())["done"]
            resident = int(status.read_text().partition("VmRSS:")[2].split()[0]) / 1e3
        except (OSError, IndexError):  # nothing yet, or just finished
            continue
        if not times or done > times[-1][1]:
            if times:  # at first the state is that of an earlier process
                memory.append((done, resident))
            times.append((time.monotonic(), done))
        if until is not None and done >= until:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if until is None and process.returncode:
        raise RuntimeError(f"predict ended with status {process.returncode}")
    (first, before), (last, after) = times[0], times[-1]
    return Watched(after, (after - before) / (last - first), memory)


def main(options: Options) -> None:
    """Run, check, print, and write what was asked for."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "structures.jsonl"), Path(folder, "table.csv")
        ids = write_structures(options, source)
        state = out.with_name("table.csv.part.json")
        command = [sys.executable, "-m", "gatgnn_jax.predict", "bulk_modulus", str(source)]
        command += ["--out", str(out), "--batch-size", str(options.batch_size)]
        first = watch(command, state, options.count // 2)
        second = watch(command, state, None)
        found = pd.read_csv(out).id.tolist()
        report = skipped_path(out)
        left_out = pd.read_csv(report).id.tolist() if report.exists() else []
    if sorted(found + left_out) != sorted(ids):
        raise RuntimeError("structures are missing, or in the tables twice")
    figures = {
        "data": options.data.name,
        "structures": options.count,
        "left_out": len(left_out),
        "killed_after": first.done,
        "structures_per_second": second.rate,
        "memory_mb": second.memory,
    }
    console.print(
        f"{len(found):,} of {options.count:,} structures predicted and {len(left_out):,} left out, "
        f"each once; killed after {first.done:,}",
        soft_wrap=True,
    )
    console.print(f"{second.rate:.0f} structures a second on {os.cpu_count()} cores")
    for done, resident in second.memory[:: max(len(second.memory) // 5, 1)]:
        console.print(f"  after {done:,}: {resident:.0f} MB")
    if options.json is not None:
        write_text(options.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m benchmarks.screening"))
