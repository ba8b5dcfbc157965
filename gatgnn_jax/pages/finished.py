"""What a finished run left, as arrays: the tables that its pages are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data_prep.errors import Skipped
from data_prep.properties import Property, ending_of
from gatgnn_jax.objective import class_of, deviations
from gatgnn_jax.prediction.columns import numbered_classes
from gatgnn_jax.runs.config import RunConfig

WORST = 12
"""How many of the worst predictions are shown."""


@dataclass(frozen=True)
class Finished:
    """What a finished run left, as its files say."""

    name: str
    config: RunConfig
    predictions: pd.DataFrame
    """predictions.csv: C crystals"""
    epochs: pd.DataFrame
    """metrics.csv"""
    summary: Mapping[str, Any]
    skipped: Sequence[Skipped]

    @property
    def test(self) -> np.ndarray:
        """Rows of `predictions` that are test crystals."""
        return np.flatnonzero(self.predictions.subset == "test")

    def column(self, name: str, p: Property) -> np.ndarray:
        """A column of numbers of `predictions` about one property, float64 [C]."""
        return self.predictions[name + self._ending(p)].to_numpy(np.float64)

    def _ending(self, p: Property) -> str:
        return ending_of(p, self.config.properties)

    def target(self, p: Property) -> np.ndarray:
        """Transformed targets, of a classification class numbers: float64 [C]; NaN: none."""
        return numbered_classes(p, self.predictions["target" + self._ending(p)])

    def values(self, p: Property) -> np.ndarray:
        """Transformed values, or probabilities of class 1, or of each of more: float64 [C, V]."""
        names = ["prediction"]
        if p.task == "classification":
            several = p.num_values > 1
            names = [f"probability_{own}" for own in p.class_names] if several else ["probability"]
        return np.stack([self.column(name, p) for name in names], axis=1)

    def predicted(self, p: Property) -> np.ndarray:
        """The value that is drawn, float64 [C]: of more than two classes the true one's
        probability, NaN where that is unknown; of two the probability of class 1."""
        values = self.values(p)
        return values[:, 0] if p.num_values == 1 else 1 - self.deviation(p)

    def aim(self, p: Property) -> np.ndarray:
        """What `predicted` should be, float64 [C]; NaN where it is unknown."""
        target = self.target(p)
        return target * 0 + 1 if p.num_values > 1 else target

    def deviation(self, p: Property) -> np.ndarray:
        """See `objective.deviations`: float64 [C]."""
        return deviations(self.values(p), self.target(p)[:, None], [p])[:, 0]

    def said(self, p: Property) -> np.ndarray:
        """The classes predicted, int [C]."""
        values = self.values(p)
        return class_of(values[:, 0] if p.num_values == 1 else values)

    def uncertainty(self, p: Property) -> np.ndarray | None:
        """The spread of an ensemble's members, float64 [C]; None for a single network."""
        return self.column("uncertainty", p) if self.config.train.members > 1 else None

    def half_width(self, p: Property) -> np.ndarray | None:
        """How far the intervals reach to either side, float64 [C]; None for a run without."""
        ending = self._ending(p)
        if f"upper{ending}" not in self.predictions:
            return None
        return self.column("upper", p) - self.predicted(p)

    def errors(self, p: Property) -> np.ndarray:
        """Absolute errors, or 1 for a wrong class: float64 [C]; NaN where there is no target."""
        target = self.target(p)
        if p.task == "classification":
            return np.where(np.isnan(target), np.nan, self.said(p) != target)
        return self.deviation(p)

    def worst(self, p: Property) -> list[int]:
        """Rows of the test crystals that are furthest from their target, the worst first."""
        rows = self.test
        distance = self.deviation(p)[rows]
        order = np.argsort(-distance, kind="stable")
        return [int(row) for row in rows[order][:WORST] if not np.isnan(self.target(p)[row])]
