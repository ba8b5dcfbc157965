"""Graphs to a dataset, one after another, in flat memory."""

from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.graph import CrystalGraph

BLOCK = 65_536
"""Rows that are moved at a time."""


def pack(
    graphs: Sequence[CrystalGraph],
    ids: Sequence[str],
    columns: Mapping[str, np.ndarray],
    config: GraphConfig,
    splits: Mapping[str, Sequence[str]] | None = None,
    faults: Mapping[str, Mapping[int, str]] | None = None,
) -> GraphDataset:
    """One dataset of many graphs; slots that no node of any crystal uses are cut off.

    Args:
        graphs: C graphs, one or more, with any number of slots a node, made with ``config``.
        ids: C different names.
        columns: raw values of the properties, [C] each, NaN where missing.
        config: the settings the graphs were made with.
        splits: ids by the name of the subset.
        faults: by column and crystal, why a value is missing though the source gives something.
    """
    grown = GrowingDataset(config)
    for graph in graphs:
        grown.append(graph)
    return grown.finish(np.ones(len(graphs), bool), ids, columns, splits, faults)


class GrowingDataset:
    """Takes graphs in and becomes a dataset, with little more memory than the dataset itself."""

    def __init__(self, config: GraphConfig):
        """For graphs that are made with ``config``."""
        self.config = config
        slots = config.max_neighbors
        self.n_node = _GrowingArray(np.int32)
        self.n_atom = _GrowingArray(np.int32)
        self.nodes = {
            "atomic_number": _GrowingArray(np.uint8),
            "multiplicity": _GrowingArray(np.uint32),
            "sender": _GrowingArray(np.int32, slots),
            "distance": _GrowingArray(np.float32, slots),
            "edge_multiplicity": _GrowingArray(np.uint8, slots),
        }
        self.atoms = {"atom_node": _GrowingArray(np.int32), "cluster": _GrowingArray(np.uint8)}

    def append(self, graph: CrystalGraph) -> None:
        """Add a crystal."""
        self.n_node.append(np.array([len(graph.atomic_number)]))
        self.n_atom.append(np.array([len(graph.atom_node)]))
        for arrays in (self.nodes, self.atoms):
            for name, array in arrays.items():
                array.append(getattr(graph, name))

    def finish(
        self,
        kept: np.ndarray,
        ids: Sequence[str],
        columns: Mapping[str, np.ndarray],
        splits: Mapping[str, Sequence[str]] | None = None,
        faults: Mapping[str, Mapping[int, str]] | None = None,
        classes: Mapping[str, tuple[str, ...]] | None = None,
    ) -> GraphDataset:
        """The dataset of some of the crystals; nothing can be added afterwards.

        Slots that no node of any crystal uses are cut off.

        Args:
            kept: which crystals to keep, C of those that were added, bool.
            ids: C different names.
            columns: raw values of the properties, [C] each, NaN where missing.
            splits: ids by the name of the subset.
            faults: by column and crystal, why a value is missing.
            classes: by column of words, the names of its classes.
        """
        node_kept = np.repeat(kept, self.n_node.used)
        atom_kept = np.repeat(kept, self.n_atom.used)
        node = {name: array.finish(node_kept) for name, array in self.nodes.items()}
        atom = {name: array.finish(atom_kept) for name, array in self.atoms.items()}
        width = max(1, np.count_nonzero(node["edge_multiplicity"].any(axis=0)))
        for name in ("sender", "distance", "edge_multiplicity"):
            node[name] = np.ascontiguousarray(node[name][:, :width])
        return GraphDataset(
            config=self.config,
            ids=np.array(ids, dtype=np.str_),
            columns={name: np.asarray(values, np.float64) for name, values in columns.items()},
            faults={name: dict(own) for name, own in (faults or {}).items()},
            n_node=self.n_node.finish(kept),
            n_atom=self.n_atom.finish(kept),
            node_atomic_number=node["atomic_number"],
            node_multiplicity=node["multiplicity"],
            edge_sender=node["sender"],
            edge_distance=node["distance"],
            edge_multiplicity=node["edge_multiplicity"],
            atom_node=atom["atom_node"],
            atom_cluster=atom["cluster"],
            splits=None if splits is None else {name: list(splits[name]) for name in splits},
            classes=dict(classes or {}),
        )


class _GrowingArray:
    """Rows one after another; the array is lengthened in place, without a second one beside it."""

    def __init__(self, dtype: type, *width: int):
        self.rows: np.ndarray = np.zeros((0, *width), dtype)
        self.length = 0

    @property
    def used(self) -> np.ndarray:
        """The rows so far; no view of them may be alive when more are added."""
        return self.rows[: self.length]

    def append(self, rows: np.ndarray) -> None:
        """Add rows; those that are narrower are filled up with zeros."""
        end = self.length + len(rows)
        if end > len(self.rows):
            self._resize(end + end // 32)
        place = self.rows[self.length : end]
        if rows.ndim == 2:
            place = place[:, : rows.shape[1]]
        place[:] = rows
        self.length = end

    def finish(self, kept: np.ndarray) -> np.ndarray:
        """The rows to keep, moved together within the array."""
        end = 0
        for start in range(0, self.length, BLOCK):
            block = slice(start, min(start + BLOCK, self.length))
            rows = self.rows[block][kept[block]]
            self.rows[end : end + len(rows)] = rows
            end += len(rows)
        self._resize(end)
        return self.rows

    def _resize(self, length: int) -> None:
        self.rows.resize((length, *self.rows.shape[1:]), refcheck=False)
