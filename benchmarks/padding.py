"""`python -m benchmarks.padding`: how much of a batch is padding, by its size and the devices."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from data_prep.cache import open_dataset
from data_prep.config import GraphConfig
from gatgnn_jax.batches.arrays import CrystalSizes, crystal_arrays, sizes_of
from gatgnn_jax.batches.gathering import BatchPlan
from gatgnn_jax.cli import run_command


@dataclass(frozen=True)
class Options:
    """Plans batches and counts the rows of edges that no crystal fills."""

    data: Path | None = None
    """Crystals; the bundled ones by default."""
    times: int = 10
    """Each crystal is taken so many times, as a large dataset has it."""
    batch_sizes: tuple[int, ...] = (64, 256, 1024)
    """Crystals in a batch, on all devices together."""
    devices: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Numbers of devices."""


def main(arguments: list[str]) -> int:
    """Print a table; returns the exit status."""
    options = tyro.cli(Options, prog="python -m benchmarks.padding", args=arguments)
    dataset, _ = open_dataset(options.data, GraphConfig())
    one = sizes_of(crystal_arrays(dataset, np.zeros((len(dataset), 1))))
    node, edge, bond, atom = (np.tile(kind, options.times) for kind in one[:4])
    sizes = CrystalSizes(node, edge, bond, atom, one.slots)
    everything = np.arange(len(sizes.node))
    print(f"{len(everything):,} crystals\nbatch", *(f"{n:>4} dev." for n in options.devices))
    for batch in options.batch_sizes:
        plans = [BatchPlan(sizes, [everything], batch, count) for count in options.devices]
        shares = [f"{100 * plan.padding_share(everything):>7.1f} %" for plan in plans]
        print(f"{batch:>5}", *shares)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
