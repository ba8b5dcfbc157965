"""`python -m benchmarks.preparation`: from crystals to graphs, against the published featurizer.

Ours and the published program's way (CIF parser and neighbours of pymatgen, spectral clustering of
scikit-learn) take turns on one core, a block of crystals each. Then a dataset is built on all cores
from JSON lines, and opened again from the cache.
"""

import gzip
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from pymatgen.core import Structure
from rich.console import Console
from sklearn.cluster import SpectralClustering
from threadpoolctl import threadpool_limits

from data_prep.cache import BUNDLED, open_dataset
from data_prep.clusters import N_CLUSTER, cluster_atoms
from data_prep.config import GraphConfig
from data_prep.featurize import available_cores
from data_prep.files import write_text
from data_prep.graph import build_graph
from data_prep.neighbors import nearest_neighbors
from data_prep.reading.cif import structure_from_cif
from data_prep.reading.dictionaries import structure_from_dict

CONFIG = GraphConfig()
console = Console()


@dataclass(frozen=True)
class Options:
    """Time the preparation of graphs."""

    data: Path | None = None
    """JSON lines with a CIF each, as mp_elastic.jsonl.gz; the bundled crystals by default."""
    crystals: int = 500
    """How many are prepared on one core."""
    block: int = 50
    """How many one way prepares before it is the other's turn."""
    json: Path | None = None
    """Write all figures to this file."""


def read_cifs(path: Path, count: int) -> list[str]:
    """CIF texts of the first crystals of a file."""
    texts = []
    with gzip.open(path, "rt") as lines:
        for line, _ in zip(lines, range(count), strict=False):
            row = json.loads(line)
            structure = row.get("structure")
            cif = row["cif"] if structure is None else structure_from_dict(structure).to(fmt="cif")
            texts.append(cif)
    return texts


def ours(cif: str) -> None:
    """What `data_prep` does with a crystal, quotient graph included."""
    build_graph(structure_from_cif(cif), CONFIG)


def published(cif: str) -> None:
    """What the published program does with a crystal, as its documentation describes it."""
    structure = Structure.from_str(cif, fmt="cif")
    neighbors = structure.get_all_neighbors(CONFIG.radius, include_index=True)
    nearest = [sorted(each, key=lambda n: n[1])[: CONFIG.max_neighbors] for each in neighbors]
    distance = np.array([[n[1] for n in each] for each in nearest])
    np.exp(-(((distance[..., None] - np.linspace(0, CONFIG.radius, 41)) / 0.2) ** 2))
    if len(structure) >= N_CLUSTER:
        clustering = SpectralClustering(N_CLUSTER, assign_labels="discretize", random_state=0)
        clustering.fit_predict(structure.cart_coords)


def one_core(cifs: Sequence[str], block: int) -> dict[str, Any]:
    """Milliseconds a crystal of both ways, and how many times as fast ours is, block by block."""
    ways: dict[str, Callable[[str], None]] = {"ours": ours, "published": published}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for way in ways.values():  # imports and caches
            way(cifs[0])
        for start in range(0, len(cifs), block):
            for name, way in ways.items():
                begin = time.perf_counter()
                for cif in cifs[start : start + block]:
                    way(cif)
                seconds[name].append(time.perf_counter() - begin)
    ratio = [p / o for p, o in zip(seconds["published"], seconds["ours"], strict=True)]
    return {
        "ours_ms": 1000 * sum(seconds["ours"]) / len(cifs),
        "published_ms": 1000 * sum(seconds["published"]) / len(cifs),
        "ratio": statistics.median(ratio),
        "ratio_range": [min(ratio), max(ratio)],
    }


def shares(cifs: Sequence[str]) -> dict[str, float]:
    """Where ours spends its time: the share of each part of a crystal's preparation."""
    spent = np.zeros(4)
    for cif in cifs:
        times = [time.perf_counter()]
        structure = structure_from_cif(cif)
        times.append(time.perf_counter())
        nearest_neighbors(structure, CONFIG.radius, CONFIG.max_neighbors)
        times.append(time.perf_counter())
        cluster_atoms(np.array(structure.atomic_numbers), structure.cart_coords)
        times.append(time.perf_counter())
        ours(cif)
        times.append(time.perf_counter())
        spent += np.diff(times)
    return dict(zip(("cif", "neighbors", "clusters"), (spent[:3] / spent[3]).tolist(), strict=True))


def whole_dataset(path: Path) -> dict[str, float]:
    """Milliseconds a crystal on all cores, written to disk, and opened again from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(2):
            begin = time.perf_counter()
            dataset, _ = open_dataset(path, CONFIG, cache_dir=Path(folder), quiet=True)
            seconds.append(time.perf_counter() - begin)
    count = len(dataset)
    return {
        "crystals": count,
        "cores": available_cores(),
        "built_ms": 1000 * seconds[0] / count,
        "opened_ms": 1000 * seconds[1] / count,
        "opened_seconds": seconds[1],
    }


def main(options: Options) -> None:
    """Run, print, and write what was asked for."""
    path = options.data or BUNDLED
    cifs = read_cifs(path, options.crystals)
    figures: dict[str, Any] = {
        "source": path.name,
        "one_core": one_core(cifs, options.block),
        "shares": shares(cifs),
        "whole_dataset": whole_dataset(path),
    }
    published_ms = figures["one_core"]["published_ms"]
    figures["times_as_fast_as_published"] = {
        "one_core": figures["one_core"]["ratio"],
        "all_cores": published_ms / figures["whole_dataset"]["built_ms"],
        "from_cache": published_ms / figures["whole_dataset"]["opened_ms"],
    }
    console.print(figures)
    if options.json is not None:
        write_text(options.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python -m benchmarks.preparation"))
