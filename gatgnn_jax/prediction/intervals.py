"""Intervals that hold what they promise: split conformal prediction, from validation crystals.

The errors on crystals that a model was not trained on say how far predictions are off. Of their n
scores |error| / σ the ⌈(n + 1)(1 − α)⌉-th smallest is q, and `prediction ± q σ` holds the true
value of a further crystal like them with a probability of 1 − α or more, whatever the network (Vovk
et al. 2005; Lei et al. 2018). For an ensemble σ is its spread plus a floor, so that intervals are
wider where its members disagree (Papadopoulos et al. 2008); for a single network it is 1.

MAPIE and crepes do this too. Both keep the calibrated object in memory or as a pickle, where a run
has two numbers that can be read and checked, and what is left to do is one sort.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.properties import Property
from data_prep.settings import check_types
from gatgnn_jax.objective import value_slices

LEVEL = 0.9
"""The share of true values that is to lie within the intervals."""


@dataclass(frozen=True)
class Interval:
    """Of one property: its true values lie within `quantile` × σ of the prediction.

    Attributes:
        name: the property.
        quantile: of |error| / σ, in units of the values trained on if σ is 1.
        floor: what is added to an ensemble's spread to give σ; null: σ is 1.
        crystals: how many validation crystals the quantile is taken of.

    Raises:
        ValueError: a value that cannot be.
    """

    name: str
    quantile: float
    floor: float | None
    crystals: int

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("quantile", "floor"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more")


@dataclass(frozen=True)
class Intervals:
    """The intervals of a run: `intervals.json`. Properties without one are left out."""

    level: float
    properties: tuple[Interval, ...]

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level}: give a share between 0 and 1")

    def half_width(
        self, properties: Sequence[Property], values: np.ndarray, spread: np.ndarray | None
    ) -> np.ndarray:
        """How far the intervals reach to either side of `values` [C, V], in their unit: [C, V].

        `spread` [C, V] is an ensemble's. NaN for a property without intervals.
        """
        own = {interval.name: interval for interval in self.properties}
        half = np.full(values.shape, np.nan)
        for p, columns in zip(properties, value_slices(properties), strict=True):
            if p.name in own:
                floor, quantile = own[p.name].floor, own[p.name].quantile
                scale = 1.0 if floor is None or spread is None else spread[:, columns] + floor
                half[:, columns] = quantile * scale
        return half


def fit_intervals(
    properties: Sequence[Property],
    predicted: np.ndarray,
    target: np.ndarray,
    spread: np.ndarray | None,
    level: float = LEVEL,
) -> Intervals:
    """Intervals from validation crystals: values [C, V], targets (NaN: unknown) [C, T], spreads.

    A classification has none: its probability says how sure it is. Nor has a property that too few
    crystals have a target of (fewer than 9 for 90 %).
    """
    found = []
    for t, (p, own) in enumerate(zip(properties, value_slices(properties), strict=True)):
        if p.task == "classification":
            continue
        known = np.isfinite(target[:, t])
        error = np.abs(predicted[known, own.start] - target[known, t])
        # The median spread: it looks at no error, so that the promise holds, and a crystal the
        # members happen to agree on gets no interval of nearly nothing.
        wide = None if spread is None else spread[known, own.start]
        floor = None if wide is None or not len(error) else float(np.median(wide))
        scale = 1.0 if wide is None or floor is None else wide + floor
        quantile = conformal_quantile(error / np.maximum(scale, np.finfo(float).tiny), level)
        if math.isfinite(quantile):
            found.append(Interval(p.name, quantile, floor, len(error)))
    return Intervals(level, tuple(found))


def conformal_quantile(scores: np.ndarray, level: float) -> float:
    """The ⌈(n + 1) level⌉-th smallest of n scores; infinite if n is less than that."""
    # Rounded first: 10 × 0.9 must not become 10 for a 9.000000000000002.
    rank = math.ceil(round((len(scores) + 1) * level, 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def inside(half_width: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Whether true values lie within the intervals: 1 or 0, NaN where either is unknown.

    Arrays of one shape.
    """
    error = np.abs(predicted - target)
    return np.where(np.isnan(error + half_width), np.nan, error <= half_width)
