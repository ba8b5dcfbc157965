"""The nearest neighbours of every atom, as dense tables with one row an atom."""

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.optimization.neighbors import find_points_in_spheres

SHELL_GAP = 1e-4
"""Distances closer than this (Å) count as equal: they belong to one shell."""

SLAB = 4096
"""Atoms whose neighbours are looked for at a time, which bounds the memory for large cells."""


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
    receiver, slot, sender, distance = _near_edges(structure, radius, count)
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


def _near_edges(structure: Structure, radius: float, count: int) -> list[np.ndarray]:
    """Receiver, slot, sender and distance of the edges that may be kept, by receiver and distance.

    These are a receiver's ``count`` nearest and those at most ten shell gaps farther. Shells are
    cut among them only: among all edges of a large crystal small gaps would chain distances
    together that differ. The margin bounds such chains.
    """
    lattice, positions = structure.lattice, structure.cart_coords
    # A sphere with about three times as many atoms as are wanted: nearly always it has enough.
    volume = 3 * count * lattice.volume / len(positions)
    likely = min(radius, (volume * 3 / (4 * np.pi)) ** (1 / 3))
    # Large cells are searched a slab at a time, and that far only where it suffices. (How far one
    # looks changes the order of equal distances, and small cells are quick anyway.)
    reaches = (likely, radius) if len(positions) > SLAB else (radius,)
    parts = []
    for start in range(0, len(positions), SLAB):
        wanted = np.arange(start, min(start + SLAB, len(positions)))
        for reach in reaches:
            edges = _within(reach, lattice, positions, wanted)
            edges, farthest = _nearest(edges, len(wanted), count, likely)
            # Further neighbours may tie with one that is this close to the rim of the sphere.
            done = (farthest + 10 * SHELL_GAP < reach) | (reach == radius)
            receiver, *rest = (column[done[edges[0]]] for column in edges)
            parts.append([wanted[receiver], *rest])
            wanted = wanted[~done]
            if not len(wanted):
                break
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return [column[order] for column in columns]


def _within(
    radius: float, lattice: Lattice, positions: np.ndarray, wanted: np.ndarray
) -> list[np.ndarray]:
    """Receiver (numbered among ``wanted``), sender and distance of all edges of some atoms."""
    receiver, sender, _, distance = find_points_in_spheres(
        positions,
        positions[wanted],
        r=radius,
        pbc=np.array(lattice.pbc, np.int64),
        lattice=np.ascontiguousarray(lattice.matrix, dtype=float),
        tol=1e-8,
    )
    other = (wanted[receiver] != sender) | (distance > 1e-8)
    return [receiver[other], sender[other], distance[other]]


def _nearest(
    edges: list[np.ndarray], n_atom: int, count: int, likely: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """The edges that may be kept, and how far each atom's last of ``count`` is (Å; inf: it has
    fewer). ``likely`` is where this is likely to be at most: no need to sort what is beyond."""
    receiver, sender, distance = edges
    enough = np.bincount(receiver[distance <= likely], minlength=n_atom) >= count
    near = (distance <= likely + 10 * SHELL_GAP) | ~enough[receiver]
    receiver, sender, distance = receiver[near], sender[near], distance[near]
    order = np.lexsort((distance, receiver))
    receiver, sender, distance = receiver[order], sender[order], distance[order]

    n_neighbor = np.bincount(receiver, minlength=n_atom)
    first = np.cumsum(n_neighbor) - n_neighbor
    slot = np.arange(len(receiver)) - first[receiver]
    last = first + np.minimum(n_neighbor, count) - 1
    near = distance <= distance[last[receiver]] + 10 * SHELL_GAP
    farthest = np.full(n_atom, np.inf)
    full = n_neighbor >= count
    farthest[full] = distance[last[full]]
    return [receiver[near], slot[near], sender[near], distance[near]], farthest


def _shells(distance: np.ndarray) -> np.ndarray:
    """Rank of each distance [E], where a step of more than SHELL_GAP begins a new rank."""
    order = np.argsort(distance, kind="stable")
    rank = np.zeros(len(distance), np.int64)
    rank[order[1:]] = np.cumsum(np.diff(distance[order]) > SHELL_GAP)
    return rank
