"""The nearest neighbours of every atom, as dense tables with one row an atom."""

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

SHELL_GAP = 1e-4
"""Distances closer than this (Å) count as equal: they belong to one shell."""


@dataclass(frozen=True)
class NeighborTable:
    """Edges of one crystal, M slots for each of its n atoms; unused slots come last in a row."""

    sender: np.ndarray
    """The neighbouring atom, int64 [n, M]; 0 in unused slots."""
    distance: np.ndarray
    """float64 [n, M] (Å); inf in unused slots."""
    shell: np.ndarray
    """Rank of the distance among the distinct distances of the crystal, int64 [n, M]; unused
    slots have a shell of their own, beyond all others."""

    @property
    def used(self) -> np.ndarray:
        """Which slots hold an edge, bool [n, M]."""
        return np.isfinite(self.distance)

    def sorted_by(self, colour: np.ndarray) -> "NeighborTable":
        """Each row by shell, then by the sender's colour [n], then by distance."""
        order = np.lexsort((self.distance, colour[self.sender], self.shell))
        return NeighborTable(
            np.take_along_axis(self.sender, order, 1),
            np.take_along_axis(self.distance, order, 1),
            np.take_along_axis(self.shell, order, 1),
        )

    def first(self, slots: int) -> "NeighborTable":
        """The first slots of every row."""
        return NeighborTable(
            self.sender[:, :slots], self.distance[:, :slots], self.shell[:, :slots]
        )


def nearest_neighbors(structure: Structure, radius: float, count: int) -> NeighborTable:
    """The ``count`` nearest neighbours within ``radius`` (Å) and all that tie with the last.

    Keeping the ties leaves the choice among them to someone who can make it without looking at
    the order of the atoms.
    """
    n_atom = len(structure)
    receiver, sender, _, distance = structure.get_neighbor_list(radius)
    order = np.lexsort((distance, receiver))
    receiver, sender, distance = receiver[order], sender[order], distance[order]

    n_neighbor = np.bincount(receiver, minlength=n_atom)
    first = np.cumsum(n_neighbor) - n_neighbor
    slot = np.arange(len(receiver)) - first[receiver]
    # Shells are cut among the edges that may be kept only: among all edges of a large crystal
    # small gaps would chain distances together that differ. The margin bounds such chains.
    last = first + np.minimum(n_neighbor, count) - 1
    near = distance <= distance[last[receiver]] + 10 * SHELL_GAP
    receiver, sender, distance, slot = receiver[near], sender[near], distance[near], slot[near]

    width = max(count, int(slot.max(initial=-1)) + 1)
    table = NeighborTable(
        np.zeros((n_atom, width), np.int64),
        np.full((n_atom, width), np.inf),
        np.zeros((n_atom, width), np.int64),
    )
    table.sender[receiver, slot] = sender
    table.distance[receiver, slot] = distance
    shell = _shells(distance)
    table.shell[:] = shell.max(initial=-1) + 1
    table.shell[receiver, slot] = shell

    farther = table.shell > table.shell[:, count - 1 : count]
    table.sender[farther] = 0
    table.distance[farther] = np.inf
    table.shell[farther] = shell.max(initial=-1) + 1
    return table


def _shells(distance: np.ndarray) -> np.ndarray:
    """Rank of each distance [E], where a step of more than SHELL_GAP begins a new rank."""
    order = np.argsort(distance, kind="stable")
    rank = np.zeros(len(distance), np.int64)
    rank[order[1:]] = np.cumsum(np.diff(distance[order]) > SHELL_GAP)
    return rank
