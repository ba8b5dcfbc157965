"""What the validation crystals say, at the end of a training, of how good its predictions are."""

from dataclasses import replace

import numpy as np

from data_prep.compositions import compositions
from data_prep.dataset import GraphDataset
from data_prep.labels import formula
from data_prep.surroundings import surroundings
from gatgnn_jax.objective import deviations
from gatgnn_jax.prediction.intervals import Intervals, fit_intervals
from gatgnn_jax.prediction.subsets import SubsetPredictions
from gatgnn_jax.prediction.training_crystals import (
    MOST_CRYSTALS,
    TrainingCrystals,
    fit_training_crystals,
    measured_risk,
)
from gatgnn_jax.training.loop import Trainer


def measure_intervals(predictions: SubsetPredictions) -> Intervals:
    """The intervals that hold the errors on validation crystals."""
    predicted, target = predictions.predicted["val"], predictions.target["val"]
    return fit_intervals(predictions.properties, predicted, target, predictions.spread["val"])


def measure_distances(
    trainer: Trainer, dataset: GraphDataset, predictions: SubsetPredictions
) -> TrainingCrystals:
    """Training crystals to compare others with, and how errors grow with the distance from them.

    All processes come here together, as for predictions.
    """
    train, val = trainer.subsets["train"], trainer.subsets["val"]
    rng = np.random.default_rng(trainer.config.train.seed)
    kept = np.sort(rng.permutation(train)[:MOST_CRYSTALS])
    of_kept, of_val = (
        trainer.predict.crystal_vectors(trainer.best, rows, subset).reshape(len(rows), -1)
        for rows, subset in ((kept, train), (val, val))
    )
    training = fit_training_crystals(
        dataset.ids[kept],
        np.array([formula(cell) for cell in compositions(dataset, kept)]),
        trainer.target[kept],
        of_kept,
        surroundings([dataset.crystal(row) for row in kept]),
    )
    around = surroundings([dataset.crystal(row) for row in val])
    error = deviations(
        predictions.predicted["val"], predictions.target["val"], predictions.properties
    )
    limit, risk = measured_risk(training.strangeness(of_val, around), error)
    return replace(training, limit=limit, risk=risk)
