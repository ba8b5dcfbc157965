"""What is done to the values of a property before training, and how it is undone: one table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Transform:
    """Values as they are given ↔ values as they are trained on, arrays of any shape.

    Attributes:
        forward: the values to train on.
        inverse: the values in the property's own unit.
        usable: which values it takes.
        needs: which those are, for a message.
        unit: of the trained values, with `{}` for the property's own.
        task: the only one that it serves; None for any.
    """

    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]
    usable: Callable[[Array], Array]
    needs: str
    unit: str = "{}"
    task: Literal["regression", "classification"] | None = None


def _unchanged(values: Array) -> Array:
    return values


TRANSFORMS: dict[str, Transform] = {
    "none": Transform(_unchanged, _unchanged, np.isfinite, "a number"),
    "log10": Transform(
        np.log10,
        lambda values: 10.0**values,
        lambda values: values > 0,
        "a value above 0",
        "log10({})",
        "regression",
    ),
    # A metal has no band gap. There is no way back: which band gap a class 0 has is not known.
    "is_zero": Transform(
        lambda values: (values == 0).astype(float),
        _unchanged,
        np.isfinite,
        "a number",
        task="classification",
    ),
}
