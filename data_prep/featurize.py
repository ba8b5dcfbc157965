"""Many crystals to graphs, on all cores, in order."""

import itertools
import math
import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.errors import BadCrystal
from data_prep.graph import CrystalGraph, build_graph
from data_prep.packing import pack
from data_prep.reading.formats import Record
from data_prep.reading.sources import Item, read_item
from data_prep.workers import Workers, in_order

HEAD_START = 2.0
"""Seconds to work alone before other processes are started, which takes about as long."""

BATCH = 64
"""Crystals a process gets at a time."""


class Featurized(NamedTuple):
    """A record and its graph, or the reason why it has none; the structure is dropped."""

    record: Record
    graph: CrystalGraph | BadCrystal


def featurize(
    items: Iterable[Item], config: GraphConfig, workers: Workers = None
) -> Iterator[Featurized]:
    """The graph of every item, in the order of the items.

    Args:
        items: a stream of crystals.
        config: the graph settings.
        workers: processes to use; all cores by default. Small jobs stay in this process.

    Raises:
        UserError: processes are killed again and again, or a cluster cannot be used.
    """
    workers = workers or available_cores()
    items = iter(items)
    alone = isinstance(workers, int) and workers <= 1
    alone_until = time.monotonic() + (math.inf if alone else HEAD_START)
    batches = iter(lambda: list(itertools.islice(items, BATCH)), [])
    while time.monotonic() < alone_until:
        batch = next(batches, None)
        if batch is None:
            return
        yield from _featurize_batch(batch, config)
    for packed in in_order(partial(_featurize_packed, config=config), batches, workers):
        yield from _unpacked(packed)


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _featurize_batch(items: list[Item], config: GraphConfig) -> list[Featurized]:
    with threadpool_limits(1):  # the matrices are small: more threads only get in the way
        return [_featurize_one(item, config) for item in items]


class _Packed(NamedTuple):
    """Crystals on their way between processes: a few arrays rather than a few for each crystal."""

    records: list[Record]
    faults: list[BadCrystal | None]
    graphs: GraphDataset | None
    """Of the crystals without a fault, in their order; None if there are none."""


def _featurize_packed(items: list[Item], config: GraphConfig) -> _Packed:
    results = _featurize_batch(items, config)
    graphs = [graph for _, graph in results if not isinstance(graph, BadCrystal)]
    return _Packed(
        [record for record, _ in results],
        [graph if isinstance(graph, BadCrystal) else None for _, graph in results],
        pack(graphs, [""] * len(graphs), {}, config) if graphs else None,
    )


def _unpacked(packed: _Packed) -> Iterator[Featurized]:
    place = itertools.count()
    for record, fault in zip(packed.records, packed.faults, strict=True):
        if fault is not None:
            yield Featurized(record, fault)
        elif packed.graphs is not None:
            yield Featurized(record, packed.graphs.crystal(next(place)))


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
    except Exception as error:  # whatever it is, the other crystals go on
        return Featurized(record, BadCrystal(f"no graph: {type(error).__name__}: {error}"))
