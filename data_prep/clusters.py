"""Three groups of atoms by position, for the cluster-based global attentions (GI M-2 to M-4).

The published program groups the atoms of a cell by spectral clustering of their Cartesian
coordinates, with k-means where that fails. For many crystals the partition depends on the random
seed; here the seed comes from the crystal itself and the atoms are taken in an order of their
own, so that the same crystal gets the same partition in any file order.
"""

import warnings
import zlib

import numpy as np
from scipy.linalg import LinAlgError, eigh
from scipy.sparse import diags_array
from scipy.sparse.linalg import ArpackError, eigsh
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

N_CLUSTER = 3

LARGE = 1000
"""Cells of more atoms are clustered by sparse matrices, in time that grows with the number of atoms
rather than with its cube."""

REACH = 6.0
"""Å; in large cells affinities beyond count as none: exp(-6²) is the last digit of a 1."""


def cluster_atoms(atomic_number: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Cluster 0, 1 or 2 of each atom, uint8 [a]; crystals of one or two atoms are all cluster 0.

    Args:
        atomic_number: integers [a].
        positions: Cartesian coordinates, float64 [a, 3] (Å).
    """
    if len(positions) < N_CLUSTER:
        return np.zeros(len(positions), np.uint8)
    # Rounded, so that noise in the last digits changes neither the order nor the seed.
    grid = np.rint(positions * 1e4).astype(np.int64)
    order = np.lexsort((*grid.T[::-1], atomic_number))
    content = np.column_stack([atomic_number, grid])[order]
    seed = zlib.crc32(content.astype("<i8").tobytes())
    clusters = np.empty(len(positions), np.uint8)
    clusters[order] = _partition(positions[order], seed)
    return clusters


def _partition(positions: np.ndarray, seed: int) -> np.ndarray:
    try:
        if len(positions) > LARGE:
            embedding = _sparse_embedding(positions, seed)
        else:
            embedding = _spectral_embedding(positions)
        return _discretize(embedding, np.random.default_rng(seed))
    except (LinAlgError, ValueError, ArpackError):
        return _k_means(positions, seed)


def _spectral_embedding(positions: np.ndarray) -> np.ndarray:
    """First eigenvectors of the normalized Laplacian, float64 [a, 3].

    The affinity is scikit-learn's default, exp(-d²) with d in Å. The dense solver is faster than
    the iterative one at these sizes and always gives the same vectors.

    Raises:
        ValueError: affinities too small to normalize (infinite or NaN entries).
    """
    affinity = np.exp(-cdist(positions, positions, "sqeuclidean"))
    np.fill_diagonal(affinity, 0)
    degree = affinity.sum(axis=1)
    scale = np.sqrt(np.where(degree == 0, 1, degree))
    laplacian = -affinity / scale / scale[:, None]
    np.fill_diagonal(laplacian, 1)
    _, vectors = eigh(laplacian, subset_by_index=(0, N_CLUSTER - 1))
    return vectors / scale[:, None]


def _sparse_embedding(positions: np.ndarray, seed: int) -> np.ndarray:
    """As ``_spectral_embedding``, but for the affinities beyond ``REACH``.

    The first eigenvectors of the Laplacian are the last of the normalized affinity, which Lanczos
    iteration finds from a start that the seed fixes.

    Raises:
        ArpackError: the iteration does not converge.
    """
    tree = cKDTree(positions)
    affinity = tree.sparse_distance_matrix(tree, REACH, output_type="coo_matrix").tocsr()
    affinity.data = np.exp(-(affinity.data**2))
    affinity.setdiag(0)
    degree = affinity.sum(axis=1).A1
    scale = np.sqrt(np.where(degree == 0, 1, degree))
    normalized = diags_array(1 / scale) @ affinity @ diags_array(1 / scale)
    start = np.random.default_rng(seed).random(len(positions))
    _, vectors = eigsh(normalized, N_CLUSTER, which="LA", v0=start)
    return vectors[:, ::-1] / scale[:, None]


def _discretize(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The partition nearest to a spectral embedding, int64 [a].

    Yu & Shi, "Multiclass spectral clustering", ICCV 2003: rotate the embedding towards
    indicator vectors and round it, in turn, until neither changes.

    Raises:
        ValueError: an embedding that cannot be normalized.
        LinAlgError: the singular value decomposition does not converge.
    """
    with np.errstate(all="ignore"):
        vectors = vectors / np.linalg.norm(vectors, axis=0)
        vectors = vectors * -np.sign(np.where(vectors[0] == 0, -1, vectors[0]))
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(vectors).all():
        raise ValueError("the embedding has no direction for some atom")

    # Start from a random atom's row and, in turn, from the row least like those already taken.
    rotation = [vectors[rng.integers(len(vectors))]]
    likeness = np.zeros(len(vectors))
    for _ in range(1, vectors.shape[1]):
        likeness += np.abs(vectors @ rotation[-1])
        rotation.append(vectors[likeness.argmin()])
    turn = np.stack(rotation, axis=1)

    objective = 0.0
    for _ in range(20):
        labels = (vectors @ turn).argmax(axis=1)
        indicators = np.eye(vectors.shape[1])[labels]
        left, singular, right = np.linalg.svd(indicators.T @ vectors)
        last, objective = objective, 2 * (len(vectors) - singular.sum())
        if abs(objective - last) < np.finfo(float).eps:
            break
        turn = right.T @ left.T
    return labels


def _k_means(positions: np.ndarray, seed: int) -> np.ndarray:
    # Imported where needed: scikit-learn costs a second and nearly every crystal does without.
    from sklearn.cluster import k_means
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer than three distinct positions is no fault here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return k_means(positions, N_CLUSTER, n_init=10, random_state=seed)[1]
