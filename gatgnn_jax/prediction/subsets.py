"""What a model says of a dataset's crystals, subset by subset, beside what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from data_prep.properties import Property
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.objective import (
    confusion,
    known_pairs,
    member_spread,
    metrics,
    predicted_values,
    value_slices,
)
from gatgnn_jax.prediction.columns import subset_table
from gatgnn_jax.prediction.engines import DatasetPredictor
from gatgnn_jax.prediction.intervals import Intervals, inside


@dataclass(frozen=True, eq=False)
class SubsetPredictions:
    """Outputs of a network for some subsets; every mapping is by the subset's name.

    Attributes:
        properties: the T properties predicted.
        ids: [C] of each subset.
        target: transformed targets [C, T]; NaN where there is none.
        outputs: of the M members, [C, M, outputs].
        intervals: of the run; None if it has none.
    """

    properties: tuple[Property, ...]
    ids: Mapping[str, np.ndarray]
    target: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    intervals: Intervals | None = None

    @cached_property
    def predicted(self) -> dict[str, np.ndarray]:
        """Transformed values [C, V]; of an ensemble the members' mean."""
        return {name: predicted_values(own, self.properties) for name, own in self.outputs.items()}

    @cached_property
    def spread(self) -> dict[str, np.ndarray | None]:
        """Standard deviation over an ensemble's members [C, V]; None for a single network."""
        return {name: member_spread(own, self.properties) for name, own in self.outputs.items()}

    @cached_property
    def half_width(self) -> dict[str, np.ndarray | None]:
        """How far the intervals reach to either side [C, V]; None for a run without."""
        if self.intervals is None:
            return dict.fromkeys(self.ids)
        return {
            name: self.intervals.half_width(self.properties, values, self.spread[name])
            for name, values in self.predicted.items()
        }

    def table(self) -> pd.DataFrame:
        """The columns of `predictions.csv`."""
        return subset_table(
            self.ids, self.predicted, self.target, self.properties, self.spread, self.half_width
        )

    def coverage(self, name: str) -> dict[str, float]:
        """The share of a subset's true values within the intervals, by property; empty: none."""
        half_width = self.half_width[name]
        if half_width is None:
            return {}
        shares = {}
        for t, (p, own) in enumerate(
            zip(self.properties, value_slices(self.properties), strict=True)
        ):
            if p.task == "regression":
                values = (half_width[:, own.start], self.predicted[name][:, own.start])
                within = inside(*values, self.target[name][:, t])
                if np.isfinite(within).any():
                    shares[p.name] = float(np.nanmean(within))
        return shares

    def confusion(self, name: str) -> pd.DataFrame:
        """How often each true class of a subset is taken for which: a row a true class.

        `property`, `true`, and a column for each predicted class; empty without classifications.
        """
        tables = []
        for t, p in enumerate(self.properties):
            if p.task == "classification":
                y, z = known_pairs(self.predicted[name], self.target[name], self.properties, t)
                counts = pd.DataFrame(confusion(y, z, p), columns=list(p.class_names))
                counts.insert(0, "property", p.name)
                counts.insert(1, "true", p.class_names)
                tables.append(counts)
        return pd.concat(tables) if tables else pd.DataFrame()

    def scores(self, name: str) -> dict[str, float]:
        """Metrics of a subset, their names with the subset's in front.

        Where there are intervals with their `coverage`.
        """
        own = metrics(self.predicted[name], self.target[name], self.properties)
        for p, share in self.coverage(name).items():
            own["coverage" + (f"_{p}" if len(self.properties) > 1 else "")] = share
        return {f"{name}_{key}": value for key, value in own.items()}

    def member_scores(self, name: str) -> dict[str, list[float | None]]:
        """The same of each of an ensemble's members; None for what is no number."""
        members = [
            metrics(predicted_values(own, self.properties), self.target[name], self.properties)
            for own in np.split(self.outputs[name], self.outputs[name].shape[1], axis=1)
        ]
        return {
            f"{name}_{key}": [None if np.isnan(own[key]) else own[key] for own in members]
            for key in members[0]
        }


def predict_subsets(
    predict: DatasetPredictor,
    model: ModelState,
    subsets: Mapping[str, np.ndarray],
    ids: np.ndarray,
    target: np.ndarray,
    intervals: Intervals | None = None,
) -> SubsetPredictions:
    """Predict the crystals numbered in `subsets`, of a dataset with these ids [C] and targets.

    With the `intervals` of the run, if it has any.
    """
    return SubsetPredictions(
        properties=tuple(predict.properties),
        ids={name: ids[rows] for name, rows in subsets.items()},
        target={name: target[rows] for name, rows in subsets.items()},
        outputs={name: predict.outputs(model, rows)[rows] for name, rows in subsets.items()},
        intervals=intervals,
    )
