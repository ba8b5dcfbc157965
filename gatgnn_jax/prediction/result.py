"""Predictions as a typed result, and what is said about each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Element

from data_prep.errors import Skipped
from data_prep.graph import CrystalGraph
from data_prep.properties import Property
from gatgnn_jax.prediction.columns import in_own_unit, prediction_columns, unit_of

RARE = 10
"""Elements in fewer training crystals than this get a warning."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says about C crystals, a row each, in the order in which they were given.

    Attributes:
        ids: [C]: a file's name without its suffix, an entry's id, or a structure's position.
        properties: the T properties predicted.
        transformed: float64 [C, T]: the values the model works with, log10(GPa) for a modulus; of
            a classification the probability of class 1. NaN for a crystal that was left out.
        warnings: [C]: which elements the model saw rarely or never; empty if none.
        reasons: [C]: why a crystal was left out; empty if it was not.
        uncertainty: float64 [C, T]: standard deviation of `transformed` over an ensemble's
            members; None for a single model.
    """

    ids: tuple[str, ...]
    properties: tuple[Property, ...]
    transformed: np.ndarray
    warnings: tuple[str, ...]
    reasons: tuple[str, ...]
    uncertainty: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def values(self) -> np.ndarray:
        """Values in the properties' own `units`, as GPa: float64 [C, T]."""
        columns = zip(self.properties, self.transformed.T, strict=True)
        return np.stack([in_own_unit(p, column) for p, column in columns], axis=1)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of `values` [T]; empty for numbers without one."""
        return tuple(p.unit for p in self.properties)

    @property
    def transformed_units(self) -> tuple[str, ...]:
        """Units of `transformed` [T]: `log10(GPa)` for a modulus."""
        return tuple(unit_of(p) for p in self.properties)

    @property
    def skipped(self) -> list[Skipped]:
        """The crystals that were left out, each with the reason."""
        rows = zip(self.ids, self.reasons, strict=True)
        return [Skipped(name, reason) for name, reason in rows if reason]

    def to_dataframe(self) -> pd.DataFrame:
        """The columns of `predictions.csv`, and `skipped`, the reason where there is one."""
        predicted = np.array([not reason for reason in self.reasons], bool)
        spread = None if self.uncertainty is None else self.uncertainty[predicted]
        table = prediction_columns(self.properties, self.transformed[predicted], uncertainty=spread)
        # A crystal that was left out has no class either: its row is missing throughout.
        table = table.set_index(np.flatnonzero(predicted)).reindex(range(len(self)))
        table.insert(0, "id", list(self.ids))
        table["warning"] = list(self.warnings)
        table["skipped"] = list(self.reasons)
        return table


def element_warning(graph: CrystalGraph, element_counts: Mapping[str, int]) -> str:
    """Which elements of a crystal the model knows little or nothing of; empty if there are none.

    `element_counts` are the training crystals with each element, by symbol; if they are not known
    (empty) there is no warning.
    """
    if not element_counts:
        return ""
    symbols = [Element.from_Z(int(z)).symbol for z in sorted(set(graph.atomic_number.tolist()))]
    unseen = [symbol for symbol in symbols if element_counts.get(symbol, 0) == 0]
    rare = [symbol for symbol in symbols if 0 < element_counts.get(symbol, 0) < RARE]
    parts = []
    if unseen:
        parts.append(f"not in the training crystals: {' '.join(unseen)}")
    if rare:
        parts.append(f"in fewer than {RARE} training crystals: {' '.join(rare)}")
    return "; ".join(parts)
