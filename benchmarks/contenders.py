"""What is timed: the programs and the crystals they are set up on.

Imports neither JAX nor PyTorch until a contender is made, so that the memory of a process with one
of them holds nothing of the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from data_prep.cache import open_dataset
from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from gatgnn_jax.config import Precision

FULL, REDUCED = GraphConfig(reduce=False), GraphConfig()
Name = Literal["torch", "full", "reduced"]
NAMES: tuple[Name, ...] = ("torch", "full", "reduced")


@dataclass(frozen=True)
class Contender:
    """A program on its crystals; each call does the work once and waits for it.

    Attributes:
        train_step: one update on a batch that is ready.
        evaluate: predictions of the same batch.
        train_epoch: one pass over all crystals, batching included.
        padding_share: of the edges of a batch.
        batch_shape: rows of each kind in a batch of ours.
        way: how it computes, where it has a choice.
    """

    train_step: Callable[[], None]
    evaluate: Callable[[], None]
    train_epoch: Callable[[], None]
    padding_share: float = 0.0
    batch_shape: Mapping[str, int] | None = None
    way: str = ""


@dataclass(frozen=True)
class Crystals:
    """The crystals that are timed: the same ones as full and as quotient graphs."""

    name: str
    full: GraphDataset
    reduced: GraphDataset
    target: np.ndarray

    def at_least(self, count: int) -> "Crystals":
        """So many, the same ones again and again if there are fewer."""
        if count <= len(self.full):
            return self
        rows = np.arange(count) % len(self.full)
        full, reduced = self.full.take(rows), self.reduced.take(rows)
        return replace(self, full=full, reduced=reduced, target=self.target[rows])

    def contender(
        self, name: Name, layers: int, batch_size: int, precision: Precision = "float32"
    ) -> Contender:
        """One of the programs, ready to run."""
        batch = np.sort(np.random.default_rng(0).permutation(len(self.full))[:batch_size])
        if name == "torch":
            from benchmarks.torch_contender import torch_contender

            return torch_contender(self.full, self.target, layers, batch_size, batch, precision)
        from benchmarks.jax_contender import jax_contender

        dataset = self.full if name == "full" else self.reduced
        return jax_contender(dataset, self.target, layers, batch_size, batch, precision)


def load(path: Path, column: str, limit: int) -> Crystals:
    """The first `limit` crystals of a file, or of the bundled ones where it is not there."""
    source = path if path.exists() else None
    full, _ = open_dataset(source, FULL, limit=limit)
    reduced, _ = open_dataset(source, REDUCED, limit=limit)
    values = full.columns[column if source else "bulk_modulus"]
    target = np.nan_to_num(np.log10(values) if column.endswith("modulus") else values)
    name = path.name.removesuffix(".jsonl.gz") if source else "bundled"
    return Crystals(name, full, reduced, target)
