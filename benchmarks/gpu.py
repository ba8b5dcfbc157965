"""`python -m benchmarks.gpu`: all that is to be known of a GPU, in one go of some ten minutes.

Errors against the published program's numbers in both precisions; whether a training repeats to the
bit; speed against PyTorch; and what the program chooses for all GPUs alike, against the choices it
did not make: block sizes, ways to sum, ensembles at once. Each part prints as it ends, and parts
that the time no longer allows are named. `--small` runs all of it in about a minute on a CPU, to
show that it works.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import load
from benchmarks.ensemble_cost import epoch_ratios
from benchmarks.layer_variants import BONDS, in_blocks_of, programs, run_in_turn
from benchmarks.throughput import compare, in_turn, show
from data_prep.files import write_text
from gatgnn_jax.config import ModelConfig, Precision
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.train import TrainOptions
from tests.golden import GOLDEN_FILES, load_golden
from tests.golden_case import Case

PRECISIONS: tuple[Precision, ...] = ("float32", "tensorfloat32")
DETERMINISTIC = "--xla_gpu_deterministic_ops"

Part = Literal[
    "golden_errors",
    "repeats_to_the_bit",
    "block_sizes",
    "ways_to_sum",
    "speed",
    "ensembles",
]

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Options:
    """Check and time this program on a GPU."""

    data_dir: Path = Path("../shared/data")
    """Folder with mp_elastic.jsonl.gz; the bundled crystals without it."""
    json: Path | None = None
    """Write all figures to this file, after each part."""
    minutes: float = 8
    """After so many no further part is begun."""
    parts: tuple[Part, ...] = ()
    """Only these, in this order. Default: all."""
    small: bool = False
    """Everything on a small scale: to see that it works."""


def golden_errors(options: Options) -> Any:
    """Largest errors of predictions (log10 GPa) and gradients (in tolerances of the tests)."""
    table = Table("published numbers", "precision", "prediction", "gradient / tolerance")
    rows = []
    for name in list(GOLDEN_FILES)[: 1 if options.small else None]:
        golden = load_golden(name)
        bars, expected = golden.gradient_bars(), golden.named("grad")
        for precision in PRECISIONS:
            case = Case(golden, writes_receivers=False, precision=precision)
            gradients, output = case.gradients_and_prediction()
            error = float(np.abs(output[:12, 0] - golden.arrays["train_output"]).max())
            errors = (np.abs(gradients[n] - expected[n]).max() / bars[n] for n in bars)
            rows.append([name, precision, error, float(max(errors))])
            table.add_row(name, precision, f"{error:.1e}", f"{rows[-1][-1]:.2f}")
    console.print(table, "the tests allow 2.0e-05 and 1.00")
    return rows


def repeats_to_the_bit(options: Options) -> Any:
    """Whether two trainings give the same weights, with and without deterministic sums."""
    found = {}
    command = [sys.executable, "-m", "benchmarks.fingerprint", "60" if options.small else "1000"]
    for name, flag in {"as it is": "", DETERMINISTIC: f"{DETERMINISTIC}=true"}.items():
        flags = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
        environment = os.environ | {"XLA_FLAGS": flags}
        hashes = [
            subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
            for _ in range(2)
        ]
        found[name] = hashes[0] == hashes[1]
        console.print(f"two trainings, {name}: {'the same' if found[name] else 'different'} bits")
    return found


def speed(options: Options) -> Any:
    """Training steps and evaluation against PyTorch, in both precisions and in large batches."""
    if find_spec("torch_geometric") is None:
        console.print('not against PyTorch, which is not installed: pip install -e ".[bench]"')
        return None
    crystals = load(
        options.data_dir / "mp_elastic.jsonl.gz", "bulk_modulus", 40 if options.small else 2048
    )
    results = []
    # A minute and a half each, most of which PyTorch compiles.
    sizes = [(256, PRECISIONS[0]), (256, PRECISIONS[1]), (4096, PRECISIONS[0])]
    for size, precision in [(16, PRECISIONS[0])] if options.small else sizes:
        layers, rounds = (1, 1) if options.small else (5, 5)
        results.append(compare(crystals, layers, size, precision, rounds, ("train", "eval")))
        show(results[-1])
    return results


def block_sizes(options: Options) -> Any:
    """Training of five layers with edges in blocks of different size."""
    sizes = [1 << 13, 1 << 20] if options.small else [1 << n for n in (10, 13, 15, 17, 20)]
    compiled = []
    for size in sizes:
        made, arguments = programs(BONDS, 1 if options.small else 5)
        with in_blocks_of(size):
            compiled.append((jax.jit(made["train"]).lower(*arguments).compile(), arguments))
    seconds = np.median(run_in_turn(compiled, 2 if options.small else 20)[..., 1], axis=0)
    by_size = dict(zip(map(str, sizes), seconds.tolist(), strict=True))
    return _print_times("blocks of edges", by_size)


def ways_to_sum(options: Options) -> Any:
    """Sums of edges' rows by node, 28,032 edges of 256 features on 2,336 nodes."""
    nodes, slots = (64, 12) if options.small else (2336, 12)
    rng = np.random.default_rng(0)
    values = jnp.asarray(rng.normal(size=(nodes * slots, 256)), jnp.float32)
    receivers = jnp.repeat(jnp.arange(nodes), slots)
    senders = jnp.asarray(rng.permutation(np.asarray(receivers)))
    zeros = jnp.zeros((nodes, 256))

    def one_hot(values: jax.Array) -> jax.Array:
        return jnp.matmul(jax.nn.one_hot(senders, nodes).T, values, precision="float32")

    ways: dict[str, Callable[[jax.Array], jax.Array]] = {
        "scatter to receivers": lambda x: zeros.at[receivers].add(x),
        "the same, told that they are sorted": lambda x: zeros.at[receivers].add(
            x, indices_are_sorted=True
        ),
        "rows of slots": lambda x: x.reshape(nodes, slots, -1).sum(1),
        "scatter to senders": lambda x: zeros.at[senders].add(x),
        "senders sorted first": lambda x: zeros.at[jnp.sort(senders)].add(
            x[jnp.argsort(senders)], indices_are_sorted=True
        ),
        "senders by a one-hot matmul": one_hot,
    }

    def work(way: Callable[[jax.Array], jax.Array]) -> Callable[[], Any]:
        program = jax.jit(way)
        return lambda: program(values).block_until_ready()

    works = {name: work(way) for name, way in ways.items()}
    seconds = in_turn(works, 3, 2 if options.small else 50)
    return _print_times("ways to sum", {n: statistics.median(own) for n, own in seconds.items()})


def ensembles(options: Options) -> Any:
    """Epochs of ensembles against those of one network."""
    sizes, rounds = ((2,), 1) if options.small else ((2, 4, 8, 16, 32), 5)
    asked = TrainOptions(quiet=True)
    if options.small:
        asked = replace(asked, limit=60, model=ModelConfig(num_layers=1, neurons=8))
    ratios = epoch_ratios(sizes, rounds, asked)
    medians = {str(size): statistics.median(own) for size, own in ratios.items()}
    for size, ratio in medians.items():
        console.print(f"an epoch of {size} networks takes {ratio:.2f} times that of one")
    return medians


def _print_times(title: str, seconds: dict[str, float]) -> dict[str, float]:
    table = Table(title, "ms")
    for name, value in seconds.items():
        table.add_row(name, f"{1e3 * value:.3f}")
    console.print(table)
    return seconds


def main(options: Options) -> int:
    """Run one part after the other, as long as there is time; 1 if one has failed."""
    started = time.monotonic()
    # Two frameworks and several processes share the memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    use_device("auto")
    device = jax.devices()[0].device_kind
    figures: dict[str, Any] = {"device": device, "jaxlib": jaxlib.version.__version__}
    flags = os.environ.get("XLA_FLAGS", "no flags")
    console.print(f"{device}, jaxlib {figures['jaxlib']}, {flags}")
    failed = False
    for name in options.parts or get_args(Part):
        if time.monotonic() - started > 60 * options.minutes:
            console.print(f"no time was left for {name}")
            continue
        try:
            figures[name] = globals()[name](options)
        except Exception:  # the other parts are still worth having
            console.print_exception()
            failed = True
        if options.json is not None:
            write_text(options.json, json.dumps(figures, indent=1) + "\n")
    console.print(f"{time.monotonic() - started:.0f} seconds")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m benchmarks.gpu")))
