"""Clusters of atoms by position: against scikit-learn."""

import numpy as np
from sklearn.cluster import SpectralClustering

from data_prep import clusters
from data_prep.clusters import cluster_atoms
from data_prep.config import GraphConfig
from data_prep.graph import build_graph
from tests.crystals import without_symmetry
from tests.test_data_graph import REDUCED, assert_same_graph


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(((one[:, None] == one) == (other[:, None] == other)).all())


def spectral(positions: np.ndarray, seed: int) -> np.ndarray:
    model = SpectralClustering(n_clusters=3, assign_labels="discretize", random_state=seed)
    return model.fit_predict(positions)


def test_clusters_are_those_of_scikit_learn_where_these_are_unique():
    rng = np.random.default_rng(0)
    for n_atom in (6, 15, 60):
        centers = np.array([[0, 0, 0], [4, 0, 0], [0, 4.5, 0]])
        positions = centers[np.arange(n_atom) % 3] + rng.normal(0, 0.4, (n_atom, 3))
        ours = cluster_atoms(np.full(n_atom, 6), positions)
        assert same_partition(ours, np.arange(n_atom) % 3)
        assert same_partition(ours, spectral(positions, seed=0))


def test_clusters_are_one_of_scikit_learns_partitions():
    rng = np.random.default_rng(1)
    for n_atom in (5, 9, 30):
        positions = rng.random((n_atom, 3)) * 2 * n_atom ** (1 / 3)
        ours = cluster_atoms(np.full(n_atom, 6), positions)
        assert any(same_partition(ours, spectral(positions, seed)) for seed in range(40))


def test_large_cells_have_the_clusters_of_the_dense_solver(monkeypatch):
    rng = np.random.default_rng(2)
    # Edges of different lengths: those of a cube leave the choice between equal eigenvectors.
    grid = np.stack(np.meshgrid(range(9), range(7), range(5), indexing="ij"), axis=-1)
    positions = 2.5 * grid.reshape(-1, 3) + rng.normal(0, 0.15, (315, 3))
    dense = cluster_atoms(np.full(315, 6), positions)
    monkeypatch.setattr(clusters, "LARGE", 300)
    order = rng.permutation(315)
    assert same_partition(cluster_atoms(np.full(315, 6), positions), dense)
    assert same_partition(cluster_atoms(np.full(315, 6), positions[order]), dense[order])


def test_graphs_have_clusters_only_where_they_are_asked_for():
    structure = without_symmetry()
    plain, clustered = build_graph(structure, GraphConfig()), build_graph(structure, REDUCED)
    assert not plain.cluster.any()
    assert set(clustered.cluster.tolist()) == {0, 1, 2}
    assert_same_graph(plain, clustered)


def test_k_means_takes_over_where_spectral_clustering_fails():
    # 27 Å apart the affinity is so small that the embedding of these atoms overflows.
    far = np.array([[0.0, 0, 0], [27.2, 0, 0], [0, 27.2, 0], [0, 27.2, 1]])
    clusters = cluster_atoms(np.full(4, 6), far)
    assert same_partition(clusters, np.array([0, 1, 2, 2]))
    assert set(cluster_atoms(np.full(3, 6), np.zeros((3, 3)))) <= {0, 1, 2}
