"""Many crystals to graphs, on all cores, in order."""

import itertools
import math
import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from data_prep.config import GraphConfig
from data_prep.errors import BadCrystal
from data_prep.graph import CrystalGraph, build_graph
from data_prep.reading.formats import Record
from data_prep.reading.sources import Item, read_item

HEAD_START = 2.0
"""Seconds to work alone before other processes are started, which takes about as long."""

BATCH = 64
"""Crystals a process gets at a time."""


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
        workers: processes to use; all cores by default. Small jobs stay in this process.
    """
    workers = workers or available_cores()
    items = iter(items)
    alone_until = time.monotonic() + (HEAD_START if workers > 1 else math.inf)
    batches = iter(lambda: list(itertools.islice(items, BATCH)), [])
    while time.monotonic() < alone_until:
        batch = next(batches, None)
        if batch is None:
            return
        yield from _featurize_batch(batch, config)
    # Imported where needed: small jobs do without.
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    # joblib's own processes: they are started afresh rather than forked (JAX may have threads
    # running in this one) and do not import the program that was run.
    run = Parallel(n_jobs=workers, return_as="generator")
    try:
        for results in run(delayed(_featurize_batch)(batch, config) for batch in batches):
            yield from results
    finally:
        # They would wait for more work for minutes, beside the training that follows.
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _featurize_batch(items: list[Item], config: GraphConfig) -> list[Featurized]:
    with threadpool_limits(1):  # the matrices are small: more threads only get in the way
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
    except Exception as error:  # whatever it is, the other crystals go on
        return Featurized(record, BadCrystal(f"no graph: {type(error).__name__}: {error}"))
