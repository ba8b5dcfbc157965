"""The golden files in tests/data: numbers from running the published program.

Twelve real crystals, a model of three layers trained for 120 steps (float32, CPU), and what that
program computed with it; tests/data/README.md says what each array is.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.graph import CrystalGraph
from data_prep.packing import pack

DATA = Path(__file__).parent / "data"

CGCNN_GRAPH = GraphConfig(fake_edges=True, reduce=False)
MEGNET_GRAPH = GraphConfig(4.0, 16, fake_edges=True, reduce=False)

# name: (global attention, graph)
GOLDEN_FILES = {
    "composition": ("composition", CGCNN_GRAPH),
    "cluster_fixed": ("cluster-fixed", CGCNN_GRAPH),
    "no_global": ("none", CGCNN_GRAPH),
    "megnet_graph": ("composition", MEGNET_GRAPH),
}

GAUSSIAN_STEP = {8.0: 0.2, 4.0: 0.5}
"""By the radius of the graphs (Å)."""

LEARNING_RATE, WEIGHT_DECAY = 5e-4, 0.1
"""Of the four AdamW steps, on every parameter; the loss is SmoothL1 with beta 1."""


@dataclass(frozen=True)
class Golden:
    """One golden file: the settings of its model, its crystals, its arrays."""

    global_attention: str
    dataset: GraphDataset
    arrays: dict[str, np.ndarray]

    @property
    def gaussian_step(self) -> float:
        """Of the Gaussians that expand its distances (Å)."""
        return GAUSSIAN_STEP[self.dataset.config.radius]

    def named(self, kind: str) -> dict[str, np.ndarray]:
        """The arrays called `kind/NAME` (param, grad, after), by NAME."""
        prefix = kind + "/"
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }

    def gradient_bars(self) -> dict[str, float]:
        """Largest error allowed in each gradient.

        A thousandth of the tensor's largest entry; but where the true gradient is zero (a bias
        in front of a batch norm or a softmax) only noise stands, so at least 1e-5 of the file's.
        """
        largest = {name: float(np.abs(grad).max()) for name, grad in self.named("grad").items()}
        floor = 1e-5 * max(largest.values())
        return {name: max(1e-3 * size, floor) for name, size in largest.items()}


def load_golden(name: str) -> Golden:
    """The golden file of that name; every atom of its graphs has all K edges, fake ones too."""
    global_attention, config = GOLDEN_FILES[name]
    with np.load(DATA / f"{name}.npz") as file:
        arrays = dict(file)
    offset = np.cumsum([0, *arrays["n_node"]])
    graphs = []
    for first, last in pairwise(offset):
        n, k = last - first, config.max_neighbors
        edges = slice(first * k, last * k)
        receiver, sender = arrays["edge_index"][:, edges] - first
        np.testing.assert_array_equal(receiver, np.repeat(np.arange(n), k))
        graphs.append(
            CrystalGraph(
                atomic_number=arrays["atomic_number"][first:last].astype(np.uint8),
                multiplicity=np.ones(n, np.uint16),
                sender=sender.reshape(n, k).astype(np.int32),
                distance=arrays["distance"][edges].reshape(n, k).astype(np.float32),
                edge_multiplicity=np.ones((n, k), np.uint8),
                atom_node=np.arange(n, dtype=np.int32),
                cluster=arrays["cluster"][first:last].astype(np.uint8),
            )
        )
    ids = [f"golden-{i}" for i in range(len(graphs))]
    return Golden(
        global_attention, pack(graphs, ids, {"log10_modulus": arrays["y"]}, config), arrays
    )
