"""Many crystals to graphs, on all cores, in order."""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal
from data_prep.graph import CrystalGraph, build_graph
from data_prep.sources import Item, Record, iter_items, read_item

SMALL = 1024
"""Up to this many crystals (about a second's work) are not worth starting processes for."""

CHUNK = 64


class Featurized(NamedTuple):
    """A record and its graph, or the reason why it has none; the structure is dropped."""

    record: Record
    graph: CrystalGraph | BadCrystal


def featurize(
    items: Iterable[Item], config: GraphConfig, workers: int | None = None
) -> Iterator[Featurized]:
    """The graph of every item, in the order of the items.

    Args:
        items: a stream of crystals.
        config: the graph settings.
        workers: processes to use; all cores by default. 1, or few items: this process alone.
    """
    workers = workers or available_cores()
    items = iter(items)
    head = list(itertools.islice(items, SMALL + 1))
    everything = itertools.chain(head, items)
    if workers == 1 or len(head) <= SMALL:
        yield from (_featurize_one(item, config) for item in everything)
        return
    # Imported where needed: small jobs do without.
    from joblib import Parallel, delayed

    # joblib's own processes: they are started afresh rather than forked (JAX may have threads
    # running in this one), do not import the program that was run, and keep to a fair share of
    # the cores in their linear algebra.
    run = Parallel(n_jobs=workers, return_as="generator")
    chunks = (delayed(_featurize_chunk)(chunk, config) for chunk in _batched(everything, CHUNK))
    for results in run(chunks):
        yield from results


def iter_graphs(
    paths: Iterable[Path], config: GraphConfig, workers: int | None = None
) -> Iterator[tuple[str, CrystalGraph | BadCrystal]]:
    """Id and graph, or the reason why there is none, of every crystal in files and folders.

    Raises:
        UserError: a path that does not exist, or a folder without structure files.
    """
    for record, graph in featurize(iter_items(paths), config, workers):
        yield record.id, graph


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _featurize_chunk(items: list[Item], config: GraphConfig) -> list[Featurized]:
    return [_featurize_one(item, config) for item in items]


def _featurize_one(item: Item, config: GraphConfig) -> Featurized:
    record, structure = read_item(item)
    # The way back to the parent process is shorter without the text of the structure.
    record = Record(record.id, None, record.targets, record.split)
    if isinstance(structure, BadCrystal):
        return Featurized(record, structure)
    try:
        return Featurized(record, build_graph(structure, config))
    except BadCrystal as error:
        return Featurized(record, error)


def _batched(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(itertools.islice(items, size)):
        yield batch
