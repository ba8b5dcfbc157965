"""What each decision in the AGAT layer is worth: `python -m benchmarks.layer_variants`.

Five layers on a random graph of the size of 256 elastic crystals. Each variant is run in turn with
the layer as it is; a figure is the median over the rounds of (variant / as it is), of processor
time, which other work on the machine disturbs least, and of wall time. Above 1 the variant loses.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx
from rich.console import Console
from rich.table import Table

from data_prep.cache import open_dataset
from data_prep.config import GraphConfig
from gatgnn_jax.batches.layout import Neighborhoods
from gatgnn_jax.models import edge_attention, layers
from gatgnn_jax.models.layers import AGATLayer

NODES, SLOTS, BONDS, HEADS, NEURONS, LAYERS = 2336, 12, 4251, 4, 64, 5


def plain_attend(
    weigh: Any, neighborhoods: Neighborhoods, nodes: Any, bonds: Any, vectors: Any, inputs: Any
) -> Any:
    """`edge_attention.attend` as its equations stand, all edges at once, differentiated by JAX."""
    bond = neighborhoods.to_edges(bonds)
    centre = edge_attention.softplus(neighborhoods.to_receivers(nodes) + bond)
    neighbour = edge_attention.softplus(neighborhoods.to_senders(nodes) + bond)
    logits = edge_attention._dot(centre, vectors[0]) + edge_attention._dot(neighbour, vectors[1])
    attention, other = weigh(logits, neighborhoods, inputs)
    return neighborhoods.sum(attention[..., None] * neighbour).sum(-2), attention, other


def division_softplus(x: jax.Array) -> jax.Array:
    """log(1 + u) = 2 artanh(u / (2 + u)) as a series: fewer terms, but a division."""
    u = jnp.exp(-jnp.abs(x))
    s = u / (2 + u)
    series = jnp.full_like(x, 1 / 13)
    for odd in (11, 9, 7, 5, 3, 1):
        series = series * (s * s) + 1 / odd
    return jnp.maximum(x, 0) + 2 * s * series


def with_our_derivative(function: Callable[[jax.Array], jax.Array]) -> Any:
    """The function with softplus's derivative from its own value, as `ops.softplus` has it."""
    wrapped = jax.custom_vjp(function)
    wrapped.defvjp(
        lambda x: (function(x),) * 2, lambda y, cotangent: (cotangent * (1 - jnp.exp(-y)),)
    )
    return wrapped


def _softplus(function: Any) -> Any:
    return mock.patch.object(edge_attention, "softplus", with_our_derivative(function))


def in_blocks_of(edges: int) -> Any:
    """A context in which programs are made that take edges in blocks of another size."""
    return mock.patch.dict(edge_attention.BLOCK_EDGES, {jax.default_backend(): edges})


VARIANTS: dict[str, list[Any]] = {
    "all edges at once, stored, differentiated by JAX": [
        mock.patch.object(layers, "attend", plain_attend)
    ],
    "the same with the softplus by a series with a division": [
        mock.patch.object(layers, "attend", plain_attend),
        _softplus(division_softplus),
    ],
    "all edges at once": [in_blocks_of(1 << 20)],
    "blocks of 256 edges": [in_blocks_of(256)],
    "blocks of 4096 edges": [in_blocks_of(4096)],
    "softplus by a series with a division": [_softplus(division_softplus)],
    "jax.nn.softplus": [_softplus(jax.nn.softplus)],
    "a bond of its own for each edge": [],
}


def programs(
    bonds: int, num_layers: int = LAYERS
) -> tuple[dict[str, Callable[..., Any]], tuple[Any, ...]]:
    """Training (gradient of parameters and bonds) and evaluation of layers, and arguments."""
    rng = np.random.default_rng(0)
    # Neighbours are in the same crystal of eight atoms.
    sender = np.arange(NODES)[:, None] // 8 * 8 + rng.integers(0, 8, (NODES, SLOTS))
    bond = rng.integers(0, bonds, (NODES, SLOTS))
    if bonds == NODES * SLOTS:
        bond = np.arange(bonds).reshape(NODES, SLOTS)
    neighborhoods = Neighborhoods(
        jnp.asarray(sender, jnp.int32),
        None,
        jnp.asarray(bond, jnp.int32),
        jnp.ones(NODES),
        jnp.ones((NODES, SLOTS)),
    )
    x = jnp.asarray(rng.normal(size=(NODES, NEURONS)), jnp.float32)
    e = jnp.asarray(rng.normal(size=(bonds, NEURONS)), jnp.float32)
    stack = nnx.List([AGATLayer(NEURONS, HEADS, rngs=nnx.Rngs(i)) for i in range(num_layers)])
    graphdef, *states = nnx.split(stack, nnx.Param, nnx.BatchStat)
    params, stats = states

    def forward(params: Any, x: jax.Array, e: jax.Array, nb: Neighborhoods, train: bool) -> Any:
        for layer in nnx.merge(graphdef, params, stats, copy=True):
            x, _ = layer(x, e, nb, train=train)
        return jnp.square(x).mean()

    def train(params: Any, x: jax.Array, e: jax.Array, nb: Neighborhoods) -> Any:
        return jax.grad(forward, argnums=(0, 2))(params, x, e, nb, True)

    def evaluate(params: Any, x: jax.Array, e: jax.Array, nb: Neighborhoods) -> Any:
        return forward(params, x, e, nb, False)

    return {"train": train, "evaluate": evaluate}, (params, x, e, neighborhoods)


def run_in_turn(functions: list[tuple[Any, Any]], rounds: int) -> np.ndarray:
    """Seconds [rounds, functions, 2] of processor and of wall time."""
    seconds = np.empty((rounds, len(functions), 2))
    for r in (0, *range(rounds)):  # the first round warms up, and is overwritten
        for f, (function, arguments) in enumerate(functions):
            start = time.process_time(), time.perf_counter()
            jax.block_until_ready(function(*arguments))
            seconds[r, f] = time.process_time() - start[0], time.perf_counter() - start[1]
    return seconds


def main(rounds: int = 7) -> None:
    """Print the table; `rounds` runs of each variant."""
    table = Table("variant / as it is", "train: cpu", "wall", "temp MB", "eval: cpu", "wall", "MB")
    cells: dict[str, list[str]] = {name: [] for name in ("as it is", *VARIANTS)}
    for kind in ("train", "evaluate"):
        compiled: list[tuple[Any, Any]] = []
        for name, patches in {"as it is": [], **VARIANTS}.items():
            own_bonds = name == "a bond of its own for each edge"
            made, arguments = programs(NODES * SLOTS if own_bonds else BONDS)
            with ExitStack() as patched:
                for patch in patches:
                    patched.enter_context(patch)
                compiled.append((jax.jit(made[kind]).lower(*arguments).compile(), arguments))
        seconds = run_in_turn(compiled, rounds)
        ratio = np.median(seconds / seconds[:, :1], axis=0)
        for row, (program, _), values in zip(cells.values(), compiled, ratio, strict=True):
            memory = program.memory_analysis().temp_size_in_bytes / 1e6
            row += [*(f"{value:.2f}" for value in values), f"{memory:.0f}"]
    for name, row in cells.items():
        table.add_row(name, *row)
    console = Console()
    console.print(table)
    graphs, _ = open_dataset(None, GraphConfig())
    used = (np.asarray(graphs.edge_multiplicity) > 0).sum(1).mean()
    console.print(
        f"merged edges: {used:.1f} of {graphs.config.max_neighbors} slots a node are used"
    )


if __name__ == "__main__":
    tyro.cli(main)
