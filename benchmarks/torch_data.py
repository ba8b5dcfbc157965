"""Featurized PyG graphs, as the published program caches them: 92 floats an atom, 41 an edge."""

import numpy as np
import torch
from torch_geometric.data import Data

from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.elements import COMPOSITION_SIZE, element_features
from data_prep.graph import CrystalGraph


def data_list(dataset: GraphDataset, targets: np.ndarray, gaussian_step: float = 0.2) -> list[Data]:
    """Every crystal of a dataset with one node an atom, and `targets` [C], transformed already.

    Raises:
        ValueError: the dataset was built with `reduce=True`.
    """
    if dataset.config.reduce:
        raise ValueError("PyG graphs need one node an atom: build the dataset with reduce=False")
    return [
        crystal_data(dataset.crystal(index), target, dataset.config, gaussian_step)
        for index, target in enumerate(targets)
    ]


def gaussian_centers(radius: float, step: float) -> np.ndarray:
    """From 0 to the radius (Å); without JAX, which the memory of this program must not hold."""
    return np.arange(0, radius + step / 2, step)


def crystal_data(
    crystal: CrystalGraph, target: float, config: GraphConfig, gaussian_step: float
) -> Data:
    """One crystal of n atoms and e edges as a PyG graph.

    `x` [n, 92], `edge_index` [2, e] (row 0 receives, row 1 sends), `edge_attr` [e, B] Gaussians
    of the distance, `composition` [1, 103] atomic fractions, `cluster` [n], `y` [1].
    """
    atomic_number = crystal.atomic_number.astype(np.int64)
    composition = np.bincount(atomic_number - 1, minlength=COMPOSITION_SIZE) / len(atomic_number)
    receiver, slot = np.nonzero(crystal.edge_multiplicity)
    edge_index = np.stack([receiver, crystal.sender[receiver, slot]])
    distance = crystal.distance[receiver, slot, None]
    centers = gaussian_centers(config.radius, gaussian_step)
    gaussians = np.exp(-(((distance - centers) / gaussian_step) ** 2))
    return Data(
        x=torch.from_numpy(element_features()[atomic_number]),
        edge_index=torch.from_numpy(edge_index.astype(np.int64)),
        edge_attr=torch.from_numpy(gaussians.astype(np.float32)),
        composition=torch.from_numpy(composition.astype(np.float32)[None]),
        cluster=torch.from_numpy(crystal.cluster.astype(np.int64)),
        y=torch.tensor([target], dtype=torch.float32),
    )
