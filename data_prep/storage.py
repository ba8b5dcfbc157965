"""Dataset directories: written whole or not at all, and checked when they are opened.

A directory holds one ``.npy`` file for each array of a dataset, which are memory-mapped on
opening, reports of what was left out, and ``dataset.json``: format version, graph settings, sizes,
names of the columns, and hashes by which damage of any of it is noticed. The same crystals and
settings always give the same bytes.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.config import GraphConfig
from data_prep.dataset import ARRAYS, FORMAT_VERSION, WITH_GAUSSIANS, GraphDataset
from data_prep.errors import UserError
from data_prep.files import replacing_folder


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
    texts = {name: text.encode() for name, text in (reports or {}).items()}
    header = _header(dataset, texts, FORMAT_VERSION, dataset.config.to_dict())
    header_text = json.dumps(header, indent=1) + "\n"
    columns = np.array([*dataset.columns.values()]).reshape(-1, len(dataset))
    try:
        with replacing_folder(path) as folder:
            for name in ARRAYS:
                np.save(folder / f"{name}.npy", getattr(dataset, name), allow_pickle=False)
            np.save(folder / "columns.npy", columns, allow_pickle=False)
            for name, content in (*texts.items(), ("dataset.json", header_text.encode())):
                (folder / name).write_bytes(content)
    except OSError as error:
        # NumPy counts the bytes that did not fit on a full disk, and gives no reason.
        reason = error.strerror or f"{error} (is the disk full?)"
        raise UserError(f"cannot write {path}: {reason}") from None


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
    """Open a dataset directory; its arrays are mapped from the files, and read once to check them.

    Raises:
        UserError: no dataset there, one of another format version, or a damaged one.
    """
    damaged = UserError(f"the dataset {path} is damaged: build it again")
    try:
        header = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} is no dataset: it has no dataset.json") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise damaged from None
    if not isinstance(header, dict) or "format_version" not in header:
        raise damaged
    if header["format_version"] not in (FORMAT_VERSION, WITH_GAUSSIANS):
        raise UserError(
            f"{path} has dataset format {str(header['format_version'])[:20]}, this program reads "
            f"{FORMAT_VERSION}: build the dataset again"
        )
    try:
        dataset = _map(path, header)
        _check_arrays(dataset)
        texts = {name: (path / name).read_bytes() for name in header["reports"]}
        intact = header == _header(dataset, texts, header["format_version"], header["graph"])
    except Exception:  # what damaged bytes are taken for may fail in any way
        raise damaged from None
    if not intact:
        raise damaged
    return dataset


def _map(path: Path, header: Mapping[str, Any]) -> GraphDataset:
    def array(name: str) -> np.ndarray:
        return np.lib.format.open_memmap(path / f"{name}.npy", mode="r")

    settings = dict(header["graph"])
    if header["format_version"] == WITH_GAUSSIANS:
        del settings["gaussian_step"]
    return GraphDataset(
        config=GraphConfig.from_dict(settings),
        columns=dict(zip(header["columns"], np.array(array("columns")), strict=True)),
        faults={
            name: {int(crystal): fault for crystal, fault in own.items()}
            for name, own in header["faults"].items()
        },
        splits=header["splits"],
        classes={name: tuple(own) for name, own in header.get("classes", {}).items()},
        **{name: array(name) for name in ARRAYS},
    )


def _header(
    dataset: GraphDataset, reports: Mapping[str, bytes], version: int, graph: Mapping[str, Any]
) -> dict[str, Any]:
    """What ``dataset.json`` says of a dataset and the reports beside it.

    ``graph`` has the settings as files of that ``version`` do.
    """
    classes = {name: list(own) for name, own in dataset.classes.items()}
    return {
        "format_version": version,
        "graph": graph,
        "crystals": len(dataset),
        "nodes": len(dataset.node_atomic_number),
        "atoms": len(dataset.atom_node),
        "columns": list(dataset.columns),
        "faults": {
            name: {str(crystal): fault for crystal, fault in own.items()}
            for name, own in dataset.faults.items()
        },
        "splits": dataset.splits,
        "content_hash": dataset.hash_in_format(version, graph),
        "reports": {name: hashlib.sha256(text).hexdigest() for name, text in reports.items()},
        **({"classes": classes} if classes else {}),
    }


def _check_arrays(dataset: GraphDataset) -> None:
    """Make sure that arrays fit together and indices stay within their crystal.

    Raises:
        ValueError: they do not.
    """
    crystals, (nodes, slots) = len(dataset), dataset.edge_sender.shape
    atoms = len(dataset.atom_node)
    expected = {
        "n_node": (np.int32, (crystals,)),
        "n_atom": (np.int32, (crystals,)),
        "node_atomic_number": (np.uint8, (nodes,)),
        "node_multiplicity": (np.uint32, (nodes,)),
        "edge_sender": (np.int32, (nodes, slots)),
        "edge_distance": (np.float32, (nodes, slots)),
        "edge_multiplicity": (np.uint8, (nodes, slots)),
        "atom_node": (np.int32, (atoms,)),
        "atom_cluster": (np.uint8, (atoms,)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(dataset, name)
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype} {array.shape}")
    if dataset.ids.dtype.kind != "U" or dataset.ids.ndim != 1:
        raise ValueError("ids are no texts")
    if min(dataset.n_node.min(), dataset.n_atom.min()) < 1:
        raise ValueError("a crystal without atoms")
    if (dataset.node_offset[-1], dataset.atom_offset[-1]) != (nodes, atoms):
        raise ValueError("the crystals' sizes do not add up")
    for name, words in dataset.classes.items():
        if np.nanmax(dataset.columns[name], initial=-1) >= len(words):
            raise ValueError(f"a class of {name} has no name")
    _check_within(dataset.edge_sender, np.repeat(dataset.n_node, dataset.n_node)[:, None])
    _check_within(dataset.atom_node, np.repeat(dataset.n_node, dataset.n_atom))


def _check_within(node: np.ndarray, count: np.ndarray) -> None:
    """Make sure that node numbers are from 0 to below the nodes of their crystal."""
    if (node < 0).any() or (node >= count).any():
        raise ValueError("an edge or an atom leads out of its crystal")
