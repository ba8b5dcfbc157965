"""`python -m benchmarks.ensemble_cost`: what an ensemble costs against one network.

Epochs of both on the bundled crystals, in turn in one process, after one of each to compile.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import tyro
from rich.console import Console

from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.train import TrainOptions, asked_for
from gatgnn_jax.training.loop import Trainer
from gatgnn_jax.training.prepare import prepare


def epoch_ratios(
    sizes: Sequence[int], rounds: int, options: TrainOptions
) -> dict[int, list[float]]:
    """How many times longer an epoch of each size takes than that of one network, by round."""
    trainers = []
    for size in (1, *sizes):
        own = prepare(asked_for(replace(options, train=replace(options.train, ensemble=size))))
        trainers.append(Trainer(own.config, own.dataset, own.target, own.subsets))
        trainers[-1].run_epoch()
    ratios: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        seconds = []
        for trainer in trainers:
            started = time.perf_counter()
            trainer.run_epoch()
            seconds.append(time.perf_counter() - started)
        for size, spent in zip(sizes, seconds[1:], strict=True):
            ratios[size].append(spent / seconds[0])
    return ratios


def main(members: int = 5, rounds: int = 8) -> None:
    """Time an epoch of so many members against one of a single network."""
    use_device("auto")
    ratios = epoch_ratios([members], rounds, TrainOptions(quiet=True))[members]
    Console(highlight=False).print(
        f"an epoch of {members} networks takes {statistics.median(ratios):.1f} times that of one "
        f"({min(ratios):.1f} to {max(ratios):.1f} in {rounds} rounds)"
    )


if __name__ == "__main__":
    tyro.cli(main, prog="python -m benchmarks.ensemble_cost")
