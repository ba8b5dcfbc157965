"""What an ensemble's uncertainty is worth: its members' spread beside the errors that were made."""

from typing import Any

import numpy as np
from scipy.stats import norm

from data_prep.properties import Property

SMALLEST_GROUP = 10
"""Crystals that a root mean square is taken of, at least where there are so many."""

MOST_GROUPS = 10


def calibration_numbers(
    p: Property, predicted: np.ndarray, target: np.ndarray, uncertainty: np.ndarray
) -> dict[str, Any]:
    """What the report draws of the test crystals; arrays [C], `target` NaN where there is none.

    `curve`: as in `calibration.png`; `groups`: as `spread_groups`; `within`: the shares of errors
    that are no larger than the uncertainty, and than twice of it. Of no crystals all are empty.
    """
    known = np.isfinite(target)
    if not known.any():
        return {"curve": [], "groups": [], "within": []}
    value, truth, spread = predicted[known], target[known], uncertainty[known]
    error = np.abs(value - truth)
    is_class = p.task == "classification"
    curve = reliability(value, truth) if is_class else coverage(error, spread)
    return {
        "curve": np.transpose(curve),
        "groups": spread_groups(error, spread),
        "within": [np.mean(error <= spread), np.mean(error <= 2 * spread)],
    }


def coverage(error: np.ndarray, uncertainty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of normal errors that intervals should hold, and the shares they do hold.

    `error` and `uncertainty` (a standard deviation) are [C].
    """
    expected = np.linspace(0.05, 0.95, 19)
    within = error[:, None] <= uncertainty[:, None] * norm.ppf((1 + expected) / 2)
    return expected, within.mean(axis=0)


def reliability(probability: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability of class 1 in each tenth of its range that has some, and how often it is."""
    tenth = np.digitize(probability, np.linspace(0, 1, 11)[1:-1])
    groups = [tenth == number for number in np.unique(tenth)]
    said = np.array([probability[group].mean() for group in groups])
    return said, np.array([target[group].mean() for group in groups])


def spread_groups(error: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Root mean square of uncertainty and of error, from the surest crystals to the least sure.

    Errors and uncertainties are [C]; the groups, as many as ten, are of equal size.

    Returns:
        [groups, 2]; of errors that the uncertainty describes both columns are alike.
    """
    count = min(max(len(error) // SMALLEST_GROUP, 1), MOST_GROUPS)
    parts = np.array_split(np.argsort(uncertainty, kind="stable"), count)
    return np.array(
        [[np.sqrt(np.mean(own[part] ** 2)) for own in (uncertainty, error)] for part in parts]
    )
