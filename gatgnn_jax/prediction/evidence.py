"""What a prediction rests on: each network's word, the elements, the nearest training crystals."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Element

from data_prep.graph import CrystalGraph
from data_prep.surroundings import surroundings
from gatgnn_jax.prediction.engines import Predicted
from gatgnn_jax.prediction.reliability import Reliability
from gatgnn_jax.prediction.training_crystals import Neighbor

NEAREST = 5
"""Training crystals that are shown."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What makes the prediction of one crystal sure or unsure.

    Attributes:
        members: float64 [M, V]: what each network says, as `Predictions.transformed`.
        element_counts: how many training crystals have each of its elements, by symbol in the
            order of atomic numbers; empty if that is not known.
        nearest: the training crystals most like it, of those that the run has kept, the nearest
            first; empty for a run that has kept none.
        strangeness: how unlike the training crystals it is (`TrainingCrystals`); NaN: not known.
        limit: the strangeness beyond which it is warned of; infinite if that is not known.
    """

    members: np.ndarray
    element_counts: dict[str, int]
    nearest: tuple[Neighbor, ...]
    strangeness: float
    limit: float


def evidence_for(
    predicted: Predicted,
    graph: CrystalGraph,
    element_counts: Mapping[str, int],
    reliability: Reliability,
) -> Evidence:
    """The evidence for the only crystal that was `predicted`; counts as in a run's config."""
    assert predicted.members is not None
    symbols = [Element.from_Z(int(z)).symbol for z in sorted(set(graph.atomic_number.tolist()))]
    counts = {name: element_counts.get(name, 0) for name in symbols} if element_counts else {}
    training = reliability.training
    if training is None:
        return Evidence(predicted.members[0], counts, (), np.nan, np.inf)
    vector = predicted.crystal_vector[:1]
    return Evidence(
        predicted.members[0],
        counts,
        tuple(training.several_neighbors(vector, NEAREST)[0]),
        float(training.strangeness(vector, surroundings([graph]))[0]),
        training.limit,
    )
