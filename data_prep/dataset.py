"""Crystal graphs packed into flat arrays, in memory and on disk.

A dataset directory holds ``dataset.json`` (format version, graph settings, sizes, columns,
content hash) and one ``.npy`` file for each array, which are memory-mapped on loading: 5 bytes
an atom, 9 an edge. The same crystals and settings always give the same bytes.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.graph import CrystalGraph

FORMAT_VERSION = 2
"""Raised whenever the files change, or the same crystals give other arrays: cached datasets of
another version are built again."""


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
    """Raw values of every property, float64 [C] each, NaN where missing."""
    faults: dict[str, dict[int, str]]
    """By column and crystal, why a value is missing though the source gives something."""
    n_node: np.ndarray
    """int32 [C]"""
    n_atom: np.ndarray
    """int32 [C]"""
    node_atomic_number: np.ndarray
    """uint8 [N]"""
    node_multiplicity: np.ndarray
    """uint16 [N]"""
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
    content_hash: str
    """Hash of settings, values and arrays: equal hashes, equal datasets."""

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
    def elements(self) -> set[int]:
        """Atomic numbers that occur."""
        return set(np.unique(self.node_atomic_number).tolist())

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
        return _with_hash(
            GraphDataset(
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
                content_hash="",
            )
        )


_ARRAYS = tuple(field.name for field in fields(GraphDataset) if field.type is np.ndarray)


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
        graphs: C graphs with K = ``config.max_neighbors`` slots a node, made with ``config``.
        ids: C different names.
        columns: raw values of the properties, [C] each, NaN where missing.
        config: the settings the graphs were made with.
        splits: ids by the name of the subset.
        faults: by column and crystal, why a value is missing though the source gives something.
    """
    edge_multiplicity = np.concatenate([graph.edge_multiplicity for graph in graphs])
    width = max(1, int(np.count_nonzero(edge_multiplicity, axis=1).max()))
    return _with_hash(
        GraphDataset(
            config=config,
            ids=np.array(ids, dtype=np.str_),
            columns={name: np.asarray(values, np.float64) for name, values in columns.items()},
            faults={name: dict(own) for name, own in (faults or {}).items()},
            n_node=np.array([len(graph.atomic_number) for graph in graphs], np.int32),
            n_atom=np.array([len(graph.atom_node) for graph in graphs], np.int32),
            node_atomic_number=np.concatenate([graph.atomic_number for graph in graphs]),
            node_multiplicity=np.concatenate([graph.multiplicity for graph in graphs]),
            edge_sender=np.concatenate([graph.sender[:, :width] for graph in graphs]),
            edge_distance=np.concatenate([graph.distance[:, :width] for graph in graphs]),
            edge_multiplicity=np.ascontiguousarray(edge_multiplicity[:, :width]),
            atom_node=np.concatenate([graph.atom_node for graph in graphs]),
            atom_cluster=np.concatenate([graph.cluster for graph in graphs]),
            splits=None if splits is None else {name: list(splits[name]) for name in splits},
            content_hash="",
        )
    )


def save_dataset(
    dataset: GraphDataset, path: Path, reports: Mapping[str, str] | None = None
) -> None:
    """Write a dataset directory: complete under its name, or not there at all.

    Args:
        dataset: what to write.
        path: the directory to make.
        reports: texts to put beside the arrays, by file name.

    Raises:
        UserError: the path is taken, or cannot be written to.
    """
    check_free(path)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        for name in _ARRAYS:
            np.save(unfinished / f"{name}.npy", getattr(dataset, name), allow_pickle=False)
        columns = np.array([*dataset.columns.values()]).reshape(-1, len(dataset))
        np.save(unfinished / "columns.npy", columns, allow_pickle=False)
        header = {
            "format_version": FORMAT_VERSION,
            "graph": dataset.config.to_dict(),
            "crystals": len(dataset),
            "nodes": len(dataset.node_atomic_number),
            "atoms": len(dataset.atom_node),
            "columns": list(dataset.columns),
            "faults": dataset.faults,
            "splits": dataset.splits,
            "content_hash": dataset.content_hash,
        }
        texts = {"dataset.json": json.dumps(header, indent=1) + "\n", **(reports or {})}
        for name, text in texts.items():
            (unfinished / name).write_text(text, encoding="utf-8")
        unfinished.chmod(0o755)  # mkdtemp lets only the owner in
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_free(path: Path) -> None:
    """Make sure that a dataset can be written to ``path``; its parent directory is made.

    Raises:
        UserError: the path is taken, or cannot be written to.
    """
    if path.exists():
        raise UserError(f"{path} exists already: remove it, or choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {path.parent}: {error.strerror}") from None
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write to {path.parent}: choose another place")


def load_dataset(path: Path) -> GraphDataset:
    """Open a dataset directory; its arrays are mapped from the files, not read.

    Raises:
        UserError: no dataset there, one of another format version, or a damaged one.
    """
    try:
        header = json.loads((path / "dataset.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} is no dataset: it has no dataset.json") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path}/dataset.json is damaged: build the dataset again") from None
    if header.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has dataset format {header.get('format_version')}, this program reads "
            f"{FORMAT_VERSION}: build the dataset again"
        )
    try:
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        columns = np.load(path / "columns.npy")
        sizes = tuple(len(arrays[name]) for name in ("ids", "node_atomic_number", "atom_node"))
        if sizes != (header["crystals"], header["nodes"], header["atoms"]):
            raise ValueError
        return GraphDataset(
            config=GraphConfig.from_dict(header["graph"]),
            columns=dict(zip(header["columns"], columns, strict=True)),
            faults={
                name: {int(crystal): fault for crystal, fault in own.items()}
                for name, own in header["faults"].items()
            },
            splits=header["splits"],
            content_hash=header["content_hash"],
            **arrays,
        )
    except (OSError, EOFError, ValueError, KeyError):
        raise UserError(f"the dataset {path} is damaged: build it again") from None


def _with_hash(dataset: GraphDataset) -> GraphDataset:
    digest = hashlib.sha256()
    described = [dataset.config.to_dict(), list(dataset.columns), dataset.splits]
    digest.update(json.dumps(described).encode())
    for array in (*(getattr(dataset, name) for name in _ARRAYS), *dataset.columns.values()):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return replace(dataset, content_hash=digest.hexdigest())


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The numbers start[i], …, start[i] + count[i] - 1 for every i, int64 [sum of count]."""
    offset = np.cumsum(count) - count
    return np.repeat(start - offset, count) + np.arange(count.sum())
