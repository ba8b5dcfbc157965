"""`python -m benchmarks.throughput`: speed and memory of our version against the PyTorch one.

Everything is timed in turn in one process on the same crystals (PyTorch, full graph, quotient
graph, PyTorch, …), so that a machine whose speed drifts slows all three alike; a ratio is formed
within each round, and its median and range are printed. Peak memory is that of separate child
processes. On a GPU, where JAX and PyTorch find one, large batches are timed as well, and matmuls
both in float32 and in TF32, for all three alike.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks import provenance
from benchmarks.contenders import FULL, NAMES, Crystals, load
from benchmarks.limits import measure_rates, step_work
from data_prep.files import write_text
from gatgnn_jax.batches.arrays import BatchShape
from gatgnn_jax.config import Precision
from gatgnn_jax.pages.plots import STYLE, save

console = Console()


@dataclass(frozen=True)
class Options:
    """Time training and evaluation against the PyTorch version."""

    data_dir: Path = Path("../shared/data")
    """Folder with mp_elastic.jsonl.gz and mp_cgcnn.jsonl.gz; the bundled crystals without it."""
    json: Path | None = None
    """Write all figures to this file."""
    picture: Path | None = None
    """Draw the ratios into this PNG file."""
    batch_sizes: tuple[int, ...] = ()
    """Crystals a step. Default: 256, and on a GPU 1,024 and 4,096 as well."""
    precisions: tuple[Precision, ...] = ()
    """Of matmuls. Default: float32, and on a GPU tensorfloat32 as well."""
    rounds: int = 5
    """How often each is timed, after a warm-up."""
    full: bool = False
    """Also 3 and 7 layers and the larger set (an hour on two cores)."""


WORKS = {
    "train": ("train_step", "training step"),
    "eval": ("evaluate", "evaluation"),
    "epoch": ("train_epoch", "epoch"),
}
"""What is timed: the part of a contender, and its title."""


def in_turn(
    works: Mapping[str, Callable[[], None]], rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Seconds a call of each work, one entry a round, after one call to warm up."""
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            for _ in range(repeats):
                work()
            seconds[name].append((time.perf_counter() - start) / repeats)
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], name: str) -> list[float]:
    """How many times faster than PyTorch, round by round."""
    return [t / s for t, s in zip(seconds["torch"], seconds[name], strict=True)]


def compare(
    crystals: Crystals,
    layers: int,
    batch: int,
    precision: Precision,
    rounds: int,
    works: Sequence[str] = tuple(WORKS),
) -> dict[str, Any]:
    """Training step, evaluation and epoch of all three, in turn."""
    crystals = crystals.at_least(batch)
    contenders = {name: crystals.contender(name, layers, batch, precision) for name in NAMES}
    count = len(crystals.full)
    result: dict[str, Any] = {
        "crystals": crystals.name,
        "layers": layers,
        "batch_size": batch,
        "precision": precision,
        "torch_way": contenders["torch"].way,
        "atoms_per_crystal": len(crystals.full.atom_node) / count,
        "padding_share": {name: contenders[name].padding_share for name in NAMES},
        "batch_shape": {name: contenders[name].batch_shape for name in NAMES},
    }
    for label in works:
        size, repeats = (count, 1) if label == "epoch" else (batch, 3)
        seconds = in_turn(
            {name: getattr(one, WORKS[label][0]) for name, one in contenders.items()},
            rounds if repeats > 1 else max(2, rounds - 2),
            repeats,
        )
        for name in NAMES:
            median = statistics.median(seconds[name])
            atoms = size * result["atoms_per_crystal"]
            result[f"{label}_{name}"] = {
                "seconds": seconds[name],
                "crystals_per_second": size / median,
                "atoms_per_second": atoms / median,
                "edges_per_second": atoms * FULL.max_neighbors / median,
            }
        for name in ("full", "reduced"):
            each = ratios(seconds, name)
            result[f"{label}_{name}_ratio"] = statistics.median(each)
            result[f"{label}_{name}_ratio_range"] = [min(each), max(each)]
    return result


def show(result: Mapping[str, Any]) -> None:
    """A table of one comparison."""
    table = Table(
        title=f"{result['crystals']}, {result['layers']} layers, batch {result['batch_size']}, "
        f"{result['atoms_per_crystal']:.1f} atoms a crystal, {result['precision']}, "
        f"PyTorch {result['torch_way']}"
    )
    for column in ("", "PyTorch", "full graph", "quotient graph", "ratio full", "ratio quotient"):
        table.add_column(column, justify="left" if column == "" else "right")
    for label, (_, title) in WORKS.items():
        if f"{label}_torch" not in result:
            continue
        speeds = [
            f"{result[f'{label}_{name}']['crystals_per_second']:,.0f}/s"
            for name in ("torch", "full", "reduced")
        ]
        gains = []
        for name in ("full", "reduced"):
            low, high = result[f"{label}_{name}_ratio_range"]
            gains.append(f"{result[f'{label}_{name}_ratio']:.1f} ({low:.1f}-{high:.1f})")
        table.add_row(title, *speeds, *gains)
    console.print(table)


def peak_memory(options: Options) -> dict[str, float]:
    """Peak resident memory (MB) of a process that trains a few steps, for each contender.

    Ours twice: compiling its program, and (`_warm`) finding it in the cache that
    `python -m gatgnn_jax.train` keeps.
    """
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        }
        for label in (*NAMES, "full_warm", "reduced_warm"):
            name = label.removesuffix("_warm")
            output = subprocess.run(
                [sys.executable, "-m", "benchmarks.peak_memory", name, str(options.data_dir)],
                check=True,
                capture_output=True,
                text=True,
                env=environment,
            ).stdout
            result[label] = float(output)
    return result


def time_to_first_epoch() -> dict[str, float]:
    """Seconds of a one-epoch training of the bundled crystals, with empty and filled caches."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"GATGNN_CACHE": f"{folder}/cache"}
        for state in ("cold", "warm"):
            run_dir = ["--run-dir", f"{folder}/{state}"]
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "gatgnn_jax.train", "--epochs=1", "--quiet", *run_dir],
                check=True,
                env=environment,
            )
            seconds[state] = time.perf_counter() - start
    return seconds


def distance_to_limit(result: Mapping[str, Any]) -> dict[str, Any]:
    """How far a step is from what this machine's arithmetic and memory rates allow."""
    rates = measure_rates()
    limits: dict[str, Any] = {"matmul_gflops": rates.matmul_flops / 1e9, "gb_s": rates.bytes / 1e9}
    for name in ("full", "reduced"):
        work = step_work(BatchShape(**result["batch_shape"][name]), result["layers"])
        measured = statistics.median(result[f"train_{name}"]["seconds"])
        floor = work.floor(rates)
        limits[name] = {
            "gflop": (work.matmul_flops + work.edge_flops) / 1e9,
            "gbyte": work.bytes / 1e9,
            "floor_seconds": floor,
            "seconds": measured,
            "times_the_floor": measured / floor,
        }
    return limits


def draw(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Bars of the ratios, a group for each comparison."""
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(2.2 + 2.6 * len(results), 4), layout="constrained", dpi=150)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        works = [("train", "training"), ("eval", "evaluation"), ("epoch", "epoch")]
        ticks = []
        for i, result in enumerate(results):
            for j, (label, title) in enumerate(works):
                x = 4 * i + j
                ticks.append((x, title))
                for shift, name, color in ((-0.2, "full", "#9aa5b1"), (0.2, "reduced", "#1f6fb2")):
                    value = result[f"{label}_{name}_ratio"]
                    low, high = result[f"{label}_{name}_ratio_range"]
                    known = i == j == 0
                    kind = "full graph" if name == "full" else "quotient graph"
                    axes.bar(x + shift, value, 0.38, color=color, label=kind if known else None)
                    axes.errorbar(x + shift, value, [[value - low], [high - value]], color="black")
                    axes.text(x + shift, high, f"{value:.1f}", ha="center", va="bottom")
        axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_xticks([x for x, _ in ticks], [title for _, title in ticks])
        axes.set_ylabel("times as fast as PyTorch")
        axes.set_title(
            "   |   ".join(f"{r['crystals']}, {r['layers']} layers" for r in results), fontsize=11
        )
        axes.legend(frameon=False)
        save(figure, path)


def main(options: Options) -> None:
    """Run, print, and write what was asked for."""
    if find_spec("torch_geometric") is None:
        sys.exit('error: the rival needs PyTorch: pip install -e ".[bench]"')
    # Each of the two takes the memory it needs.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    device = jax.devices()[0]
    console.print(f"{os.cpu_count()} cores, {device.device_kind}, jax {jax.__version__}")
    if not options.data_dir.is_dir():
        console.print(f"{options.data_dir} is not there: timing the bundled crystals")
    elastic = load(options.data_dir / "mp_elastic.jsonl.gz", "bulk_modulus", 2048)
    on_gpu = device.platform == "gpu"
    sizes = options.batch_sizes or ((256, 1024, 4096) if on_gpu else (256,))
    precisions = options.precisions or (("float32", "tensorfloat32") if on_gpu else ("float32",))
    cases = [(elastic, 5, size, precision) for precision in precisions for size in sizes]
    if options.full:
        large = load(options.data_dir / "mp_cgcnn.jsonl.gz", "formation_energy", 2048)
        others = [(elastic, 3), (elastic, 7), (large, 3), (large, 5), (large, 7)]
        cases += [(*other, sizes[0], precisions[0]) for other in others]
    results = []
    for case in cases:
        results.append(compare(*case, options.rounds))
        show(results[-1])
    figures: dict[str, Any] = {
        key: results[0][key]
        for key in ("train_full_ratio", "train_reduced_ratio", "eval_full_ratio")
    } | {"eval_reduced_ratio": results[0]["eval_reduced_ratio"]}
    memory = peak_memory(options)
    figures["peak_memory_ratio"] = memory["reduced"] / memory["torch"]
    for label in ("full", "reduced_warm", "full_warm"):
        figures[f"peak_memory_{label}_ratio"] = memory[label] / memory["torch"]
    figures |= {
        "peak_memory_mb": memory,
        "first_epoch_seconds": time_to_first_epoch(),
        "limit": distance_to_limit(results[0]),
        "comparisons": results,
        "device": device.device_kind,
        "commit": provenance.commit(),
        "jax": jax.__version__,
    }
    console.print({k: v for k, v in figures.items() if k != "comparisons"})
    if options.picture is not None:
        draw(results, options.picture)
    if options.json is not None:
        write_text(options.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m benchmarks.throughput"))
