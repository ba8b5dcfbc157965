"""`python -m benchmarks.growth`: how training's cost grows with batch, crystal and dataset size.

Crystals a second of training on quotient graphs, 5 layers. Larger datasets than there are come from
repeating the crystals: an epoch of a million shows what dealing and gathering cost there.
"""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from benchmarks.contenders import Crystals, load
from benchmarks.jax_contender import jax_contender
from benchmarks.throughput import in_turn
from data_prep.files import write_text

LAYERS = 5
BATCH = 256
console = Console()


@dataclass(frozen=True)
class Options:
    """Time our training on batches, crystals and datasets of growing size."""

    data_dir: Path = Path("../shared/data")
    """Folder with mp_elastic.jsonl.gz; the bundled crystals without it."""
    batch_sizes: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    """Crystals a step."""
    totals: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Crystals of a dataset."""
    rounds: int = 5
    """How often each step is timed, after a warm-up."""
    json: Path | None = None
    """Write all figures to this file."""


def by_batch_size(crystals: Crystals, options: Options) -> list[dict[str, Any]]:
    """Steps of different size on the same crystals, in turn."""
    steps = {
        str(size): crystals.contender("reduced", LAYERS, size).train_step
        for size in options.batch_sizes
    }
    seconds = in_turn(steps, options.rounds, 3)
    return [
        {"batch_size": size, "crystals_per_second": size / statistics.median(seconds[str(size)])}
        for size in options.batch_sizes
    ]


def by_crystal_size(crystals: Crystals, options: Options) -> list[dict[str, Any]]:
    """Steps on each tenth of the crystals by their number of atoms, in turn."""
    tenths = np.array_split(np.argsort(crystals.full.n_atom, kind="stable"), 10)
    steps = {}
    for i, tenth in enumerate(tenths):
        part, target = crystals.reduced.take(tenth), crystals.target[tenth]
        step = jax_contender(part, target, LAYERS, BATCH, np.arange(len(part))[:BATCH]).train_step
        steps[str(i)] = step
    seconds = in_turn(steps, options.rounds, 3)
    return [
        {
            "atoms_per_crystal": float(crystals.full.n_atom[tenth].mean()),
            "nodes_per_crystal": float(crystals.reduced.n_node[tenth].mean()),
            "crystals_per_second": min(BATCH, len(tenth)) / statistics.median(seconds[str(i)]),
        }
        for i, tenth in enumerate(tenths)
    ]


def by_dataset_size(crystals: Crystals, options: Options) -> list[dict[str, Any]]:
    """An epoch of datasets made of the same crystals again and again."""
    rows = []
    for total in options.totals:
        repeated = np.arange(total) % len(crystals.reduced)
        dataset, target = crystals.reduced.take(repeated), crystals.target[repeated]
        epoch = jax_contender(dataset, target, LAYERS, BATCH, np.arange(BATCH)).train_epoch
        seconds = in_turn({"epoch": epoch}, 1, 1)["epoch"][0]
        rows.append({"crystals": total, "crystals_per_second": total / seconds})
    return rows


def main(options: Options) -> None:
    """Run, print, and write what was asked for."""
    crystals = load(options.data_dir / "mp_elastic.jsonl.gz", "bulk_modulus", 3192)
    figures: dict[str, Any] = {"crystals": crystals.name, "layers": LAYERS}
    for study in (by_batch_size, by_crystal_size, by_dataset_size):
        figures[study.__name__] = study(crystals, options)
        console.print(study.__name__, figures[study.__name__])
    if options.json is not None:
        write_text(options.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m benchmarks.growth"))
