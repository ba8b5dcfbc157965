"""From a source of crystals to predictions: the one way that `predict`, `embed` and `api` go."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from data_prep.errors import BadCrystal, Skipped
from data_prep.featurize import Featurized, featurize
from data_prep.graph import CrystalGraph
from data_prep.progress import track
from data_prep.reading.sources import Source
from data_prep.workers import Workers
from gatgnn_jax.prediction.engines import Predicted, StreamPredictor


class Named(NamedTuple):
    """A crystal on its way to a prediction."""

    position: int
    """among the crystals of the source"""
    id: str
    warning: str
    """about the id; empty if it is new"""
    targets: Mapping[str, Any]
    """what its source says of it"""
    graph: CrystalGraph


def predict_source(
    predictor: StreamPredictor,
    source: Source,
    left_out: dict[int, Skipped],
    *,
    workers: Workers = None,
    first: int = 0,
    seen: Collection[str] = (),
    label: str = "",
) -> Iterator[tuple[list[Named], Predicted]]:
    """Predict the crystals of a source, a batch at a time, in their order.

    Args:
        predictor: the model.
        source: its crystals.
        left_out: gets those that cannot be predicted, by position, as they are come upon: some
            crystals before they are predicted.
        workers: processes that prepare the graphs; all cores by default, but only for large jobs.
        first: the position of the first crystal to predict.
        seen: the ids that came before it.
        label: what a progress bar says; none is shown without.
    """
    items = itertools.islice(source.items(), first, None)
    results = track(
        featurize(items, predictor.graph, workers), source.count - first, label, quiet=not label
    )
    for named, predicted in predictor.stream(_good(results, left_out, first, seen)):
        remarks = zip(predicted.warnings, (crystal.warning for crystal in named), strict=True)
        warnings = ["; ".join(filter(None, own)) for own in remarks]
        yield named, predicted._replace(warnings=warnings)


def _good(
    results: Iterable[Featurized],
    left_out: dict[int, Skipped],
    first: int,
    seen: Collection[str],
) -> Iterator[tuple[Named, CrystalGraph]]:
    """The crystals that can be predicted; the others are added to `left_out`."""
    known = set(seen)
    for position, (record, graph) in enumerate(results, first):
        if isinstance(graph, BadCrystal):
            left_out[position] = Skipped(record.id, graph.reason)
            continue
        again = "another crystal of this id came before" if record.id in known else ""
        known.add(record.id)
        yield Named(position, record.id, again, record.targets, graph), graph
