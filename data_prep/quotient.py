"""Classes of atoms that the network cannot tell apart, by colour refinement.

Two atoms get the same features from every message-passing layer if they are the same element and
their edges lead, at the same distances, to atoms that again have the same features. The coarsest
partition with that property (the coarsest equitable partition, or the stable colouring of the
one-dimensional Weisfeiler-Leman test) is found by refining the colouring by element until it
stands still. Colours are ranks of what an atom sees, so they do not depend on the atoms' order.
"""

import numpy as np

from data_prep.neighbors import SHELL_GAP, NeighborTable


def refine_colours(atomic_number: np.ndarray, edges: NeighborTable) -> np.ndarray:
    """The stable colouring of a crystal's graph, int64 [n], colours 0, 1, … by rank.

    Args:
        atomic_number: the first colours, integers [n].
        edges: M slots an atom, [n, M].
    """
    used = edges.used
    colour = _rank_rows(atomic_number[:, None])
    while True:
        n_colour = colour.max() + 1
        # An edge is known by its shell and by its sender's colour; unused slots are all alike.
        token = edges.shell * n_colour + np.where(used, colour[edges.sender], 0)
        refined = _rank_rows(np.column_stack([colour, np.sort(token, axis=1)]))
        if refined.max() + 1 == n_colour:
            return colour
        colour = refined


def classes_agree(colour: np.ndarray, edges: NeighborTable) -> bool:
    """Whether the distances of the members of each class agree within ten shell gaps.

    Shells are cut at gaps, so a chain of small gaps can join distances that differ; the classes
    of such a crystal must not be merged.

    Args:
        colour: stable colouring, [n].
        edges: edges sorted by that colouring, [n, K].
    """
    _, representative = np.unique(colour, return_index=True)
    used = edges.used
    difference = np.where(used, edges.distance, 0)
    difference = difference - difference[representative[colour]]
    return bool(np.abs(difference).max(initial=0) <= 10 * SHELL_GAP)


def merge_classes(
    colour: np.ndarray, edges: NeighborTable
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The edges of the quotient graph: one row a class, equal edges merged.

    Args:
        colour: stable colouring with c colours, [n].
        edges: edges sorted by that colouring, [n, K].

    Returns:
        sender class int64 [c, K], distance float64 [c, K] (Å, the mean over all edges that an
        edge stands for) and how many edges of one atom it stands for, int64 [c, K]; a slot that
        stands for none is unused and zero throughout.
    """
    _, representative, size = np.unique(colour, return_index=True, return_counts=True)
    used = edges.used[representative]
    shell = edges.shell[representative]
    sender = np.where(used, colour[edges.sender[representative]], 0)
    total = np.zeros(shape=used.shape)
    np.add.at(total, colour, np.where(edges.used, edges.distance, 0))

    # Rows are sorted, so edges to merge stand side by side.
    new = np.ones_like(used)
    new[:, 1:] = (np.diff(shell, axis=1) != 0) | (np.diff(sender, axis=1) != 0)
    row, column = np.nonzero(used)
    slot = (np.cumsum(new, axis=1) - 1)[row, column]
    merged_sender = np.zeros_like(sender)
    merged_distance = np.zeros_like(total)
    count = np.zeros_like(sender)
    merged_sender[row, slot] = sender[row, column]
    np.add.at(merged_distance, (row, slot), total[row, column])
    np.add.at(count, (row, slot), 1)
    return merged_sender, merged_distance / np.maximum(count * size[:, None], 1), count


def _rank_rows(rows: np.ndarray) -> np.ndarray:
    """The rank of each row [n, w] among the distinct rows in lexicographic order, int64 [n]."""
    order = np.lexsort(rows.T[::-1])
    rank = np.zeros(len(rows), np.int64)
    rank[order[1:]] = np.cumsum((np.diff(rows[order], axis=0) != 0).any(axis=1))
    return rank
