"""Do intervals hold as much as they promise, for small and large crystals and values alike?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from data_prep.properties import Property
from gatgnn_jax.prediction.intervals import inside

ELEMENTS = (1, 2, 3, 4, 5)
ATOMS = (1, 5, 9, 17, 33, 65)
"""Where groups of crystals begin, by their elements and by the atoms of their cell."""

THIRDS = ("lowest", "middle", "highest")


def coverage_groups(
    p: Property,
    predicted: np.ndarray,
    target: np.ndarray,
    half_width: np.ndarray,
    cells: Sequence[Composition],
) -> pd.DataFrame:
    """Error and coverage of one property by groups of crystals; all given [C].

    Returns:
        A row a group: `property`, `by` (all, elements, atoms, prediction), `group`, `crystals` with
        a known value, `mae` and mean `half_width` in the unit trained on, and `coverage`, the share
        of true values within the intervals.
    """
    within = inside(half_width, predicted, target)
    known = np.flatnonzero(np.isfinite(within))
    elements = np.array([len(cells[int(row)]) for row in known], dtype=np.int64)
    atoms = np.array([round(cells[int(row)].num_atoms) for row in known], dtype=np.int64)
    groups = [("all", "all", np.arange(len(known)))]
    for by, values, starts in (("elements", elements, ELEMENTS), ("atoms", atoms, ATOMS)):
        ends = [*starts[1:], np.inf]
        for start, end in zip(starts, ends, strict=True):
            name = f"{start}" if end == start + 1 else f"{start}–{end - 1:.0f}"
            rows = np.flatnonzero((values >= start) & (values < end))
            groups.append((by, f"{start} or more" if np.isinf(end) else name, rows))
    order = np.argsort(predicted[known], kind="stable")
    for name, rows in zip(THIRDS, np.array_split(order, len(THIRDS)), strict=True):
        groups.append(("prediction", f"{name} third", rows))
    return pd.DataFrame(
        [
            _row(p, by, name, known[rows], predicted, target, half_width, within)
            for by, name, rows in groups
            if len(rows)
        ]
    )


def _row(
    p: Property,
    by: str,
    name: str,
    rows: np.ndarray,
    predicted: np.ndarray,
    target: np.ndarray,
    half_width: np.ndarray,
    within: np.ndarray,
) -> dict[str, Any]:
    return {
        "property": p.name,
        "by": by,
        "group": name,
        "crystals": len(rows),
        "mae": float(np.abs(predicted - target)[rows].mean()),
        "half_width": float(half_width[rows].mean()),
        "coverage": float(within[rows].mean()),
    }
