"""How fast a training step could be: the work it cannot avoid over the rates of this machine.

The count, for a batch of N nodes, E edges, B bonds and L layers with H heads of F features: every
matmul of the forward pass (and twice that for the backward pass), and for each edge and feature
two softplus with the sums around them, forward and backward. Bytes: each layer must at least read
its node and bond rows for every edge once forward and once backward, and write their gradients.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from gatgnn_jax.batches.arrays import BatchShape

FLOPS_PER_SOFTPLUS = 30
"""exp of some ten operations, a polynomial of degree 8, and what joins them; as much backward."""


@dataclass(frozen=True)
class Rates:
    """What this machine does a second."""

    matmul_flops: float
    bytes: float


@dataclass(frozen=True)
class Work:
    """What one training step has to do."""

    matmul_flops: float
    edge_flops: float
    bytes: float

    def floor(self, rates: Rates) -> float:
        """Seconds if arithmetic and memory traffic overlapped perfectly at full rate."""
        return max(
            (self.matmul_flops + self.edge_flops) / rates.matmul_flops, self.bytes / rates.bytes
        )


def step_work(shape: BatchShape, layers: int, neurons: int = 64, heads: int = 4) -> Work:
    """The least one step can do on a batch of that shape."""
    wide = heads * neurons
    matmul = layers * 2 * (shape.nodes + shape.bonds) * neurons * wide
    matmul += 2 * shape.bonds * 41 * neurons + 2 * shape.atoms * (neurons + 103) * 32
    edge = layers * shape.edges * wide * 2 * (FLOPS_PER_SOFTPLUS + 6)
    rows = layers * shape.edges * wide * 4
    # Forward: node row of the sender and bond row; backward: both again, and their two gradients.
    return Work(3 * matmul, 2 * edge, 6 * rows)


def measure_rates() -> Rates:
    """Matmul flops and memory bytes a second, the best of several tries."""
    size, length = 2048, 1 << 25
    a = jnp.ones((size, size))
    long = jnp.ones(length)
    return Rates(
        2 * size**3 / _best(jax.jit(lambda x: x @ x), a),
        # One read of 4 bytes an element; a write would time the system's fresh pages as well.
        4 * length / _best(jax.jit(jnp.sum), long),
    )


def _best(function: Callable[[jax.Array], jax.Array], argument: jax.Array, tries: int = 7) -> float:
    jax.block_until_ready(function(argument))
    seconds = []
    for _ in range(tries):
        start = time.perf_counter()
        jax.block_until_ready(function(argument))
        seconds.append(time.perf_counter() - start)
    return min(seconds)
