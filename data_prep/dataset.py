"""Crystal graphs packed into flat arrays: 5 bytes an atom, 9 an edge."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from data_prep.config import GraphConfig
from data_prep.graph import CrystalGraph

FORMAT_VERSION = 4
"""Raised whenever the files change, or the same crystals give other arrays: cached datasets of
another version are built again."""

WITH_GAUSSIANS = 3
"""The format before, whose graph settings had the Gaussians, and which had no columns of words;
nothing else is different."""


@dataclass(frozen=True)
class GraphDataset:
    """C crystals with N nodes, K slots for edges at each node, and A atoms in all.

    Node and sender indices count within their crystal. See ``CrystalGraph`` for the meaning of
    each array.
    """

    config: GraphConfig
    ids: np.ndarray
    """str [C]"""
    columns: dict[str, np.ndarray]
    """Raw values of every property, float64 [C] each, NaN where missing; class numbers of words."""
    faults: dict[str, dict[int, str]]
    """By column and crystal, why a value is missing though the source gives something."""
    n_node: np.ndarray
    """int32 [C]"""
    n_atom: np.ndarray
    """int32 [C]"""
    node_atomic_number: np.ndarray
    """uint8 [N]"""
    node_multiplicity: np.ndarray
    """uint32 [N]"""
    edge_sender: np.ndarray
    """int32 [N, K]"""
    edge_distance: np.ndarray
    """float32 [N, K] (Å)"""
    edge_multiplicity: np.ndarray
    """uint8 [N, K]; 0: an unused slot."""
    atom_node: np.ndarray
    """int32 [A]"""
    atom_cluster: np.ndarray
    """uint8 [A]"""
    splits: dict[str, list[str]] | None
    """Ids by the name of the subset, where the source gives one."""
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By column of words, the names of its classes 0, 1, …"""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def node_offset(self) -> np.ndarray:
        """Crystal i has the nodes ``node_offset[i]:node_offset[i + 1]``, int64 [C + 1]."""
        return _offsets(self.n_node)

    @cached_property
    def atom_offset(self) -> np.ndarray:
        """Crystal i has the atoms ``atom_offset[i]:atom_offset[i + 1]``, int64 [C + 1]."""
        return _offsets(self.n_atom)

    @cached_property
    def content_hash(self) -> str:
        """The format, and a hash of settings, values and arrays: equal hashes, equal datasets."""
        return self.hash_in_format(FORMAT_VERSION, self.config.to_dict())

    def hash_in_format(self, version: int, settings: Mapping[str, Any]) -> str:
        """The hash with graph settings as that format has them."""
        named = [list(self.columns), self.faults, self.splits]
        words = [self.classes] if self.classes else []
        content = [settings, *named, self._digests, *words]
        return f"{version}:{hashlib.sha256(json.dumps(content).encode()).hexdigest()}"

    @cached_property
    def _digests(self) -> list[str]:
        arrays = [*(getattr(self, name) for name in ARRAYS), *self.columns.values()]
        with ThreadPoolExecutor() as pool:  # hashing lets other threads run: a gigabyte in a second
            return list(pool.map(_digest, arrays))

    def crystal(self, index: int) -> CrystalGraph:
        """The graph of one crystal, as views of the arrays."""
        nodes = slice(self.node_offset[index], self.node_offset[index + 1])
        atoms = slice(self.atom_offset[index], self.atom_offset[index + 1])
        return CrystalGraph(
            atomic_number=self.node_atomic_number[nodes],
            multiplicity=self.node_multiplicity[nodes],
            sender=self.edge_sender[nodes],
            distance=self.edge_distance[nodes],
            edge_multiplicity=self.edge_multiplicity[nodes],
            atom_node=self.atom_node[atoms],
            cluster=self.atom_cluster[atoms],
        )

    def take(self, indices: Sequence[int] | np.ndarray) -> "GraphDataset":
        """The crystals at ``indices``, in that order, as a dataset in memory."""
        rows = np.asarray(indices, np.int64)
        nodes = _ranges(self.node_offset[rows], self.n_node[rows])
        atoms = _ranges(self.atom_offset[rows], self.n_atom[rows])
        ids = self.ids[rows]
        splits = None
        if self.splits is not None:
            kept = set(ids.tolist())
            splits = {
                name: [identifier for identifier in members if identifier in kept]
                for name, members in self.splits.items()
            }
        return GraphDataset(
            config=self.config,
            ids=ids,
            columns={name: values[rows] for name, values in self.columns.items()},
            faults={
                name: {new: own[old] for new, old in enumerate(rows.tolist()) if old in own}
                for name, own in self.faults.items()
            },
            n_node=self.n_node[rows],
            n_atom=self.n_atom[rows],
            node_atomic_number=self.node_atomic_number[nodes],
            node_multiplicity=self.node_multiplicity[nodes],
            edge_sender=self.edge_sender[nodes],
            edge_distance=self.edge_distance[nodes],
            edge_multiplicity=self.edge_multiplicity[nodes],
            atom_node=self.atom_node[atoms],
            atom_cluster=self.atom_cluster[atoms],
            splits=splits,
            classes=self.classes,
        )


ARRAYS = tuple(own.name for own in fields(GraphDataset) if own.type is np.ndarray)
"""The names of a dataset's arrays, the columns apart."""


def has_changed(dataset: GraphDataset, content_hash: str) -> bool:
    """Whether a dataset is another than the one of that hash.

    The hash of an earlier format tells nothing about today's arrays, so that it is no reason to
    refuse a run that was trained then.
    """
    same_format = content_hash.startswith(f"{FORMAT_VERSION}:")
    return same_format and dataset.content_hash != content_hash


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The numbers start[i], …, start[i] + count[i] - 1 for every i, int64 [sum of count]."""
    offset = np.cumsum(count) - count
    return np.repeat(start - offset, count) + np.arange(count.sum())
