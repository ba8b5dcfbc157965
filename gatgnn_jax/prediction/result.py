"""Predictions as a typed result, and what is said about each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pymatgen.core import Element

from data_prep.errors import Skipped
from data_prep.graph import CrystalGraph
from data_prep.properties import Property
from gatgnn_jax.objective import every_probability, value_slices
from gatgnn_jax.prediction.columns import prediction_columns
from gatgnn_jax.prediction.training_crystals import Neighbor

RARE = 10
"""Elements in fewer training crystals than this get a warning."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """What a model says about C crystals, a row each, in the order in which they were given.

    Attributes:
        ids: [C]: a file's name without its suffix, an entry's id, or a structure's position.
        properties: the T properties predicted.
        transformed: float64 [C, V]: the values the model works with, log10(GPa) for a modulus; of
            two classes the probability of class 1, of more that of each, a column a class. NaN for
            a crystal that was left out.
        warnings: [C]: what is doubtful: elements that training never saw, a crystal far from the
            training crystals; empty if nothing is.
        reasons: [C]: why a crystal was left out; empty if it was not.
        uncertainty: float64 [C, V]: standard deviation of `transformed` over an ensemble's
            members; None for a single model.
        half_width: float64 [C, V]: `transformed` ± this holds 90 % of true values; NaN for a
            property without intervals (a classification), None for a model without.
        neighbors: [C]: the nearest training crystal of each, None for one that was left out; None
            for a model that has kept none.
    """

    ids: tuple[str, ...]
    properties: tuple[Property, ...]
    transformed: np.ndarray
    warnings: tuple[str, ...]
    reasons: tuple[str, ...]
    uncertainty: np.ndarray | None = None
    half_width: np.ndarray | None = None
    neighbors: tuple[Neighbor | None, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        """How many there are, and in which units they stand in `values` and in the table."""
        left_out = len(self.skipped)
        count = f"Predictions of {len(self) - left_out:,} crystals"
        lines = [f"{count}, {left_out:,} left out: see skipped" if left_out else count]
        for p in self.properties:
            if p.task == "classification":
                lines.append(f"{p.name}: a class in the table, probabilities in values")
                continue
            line = f"{p.name}: values in {p.unit or 'its own unit'}"
            if p.is_rescaled:
                line += (
                    f", as prediction_{p.own_suffix} in the table; prediction there and "
                    f"transformed in {p.trained_unit}"
                )
            lines.append(line)
        return "\n  ".join(lines)

    @property
    def values(self) -> np.ndarray:
        """Values in the properties' own `units`, as GPa: float64 [C, V]; see `transformed`."""
        columns = zip(self.properties, value_slices(self.properties), strict=True)
        return np.concatenate([p.in_own_unit(self.transformed[:, own]) for p, own in columns], 1)

    @property
    def probabilities(self) -> dict[str, pd.DataFrame]:
        """By classification the probability of each class: a row a crystal, a column a class."""
        columns = zip(self.properties, value_slices(self.properties), strict=True)
        return {
            p.name: pd.DataFrame(
                every_probability(self.transformed[:, own]), columns=list(p.class_names)
            )
            for p, own in columns
            if p.task == "classification"
        }

    @property
    def lower(self) -> np.ndarray | None:
        """Lower ends of the 90 % intervals, in the properties' own `units`: float64 [C, V]."""
        return self._end(-1)

    @property
    def upper(self) -> np.ndarray | None:
        """Upper ends of the 90 % intervals, in the properties' own `units`: float64 [C, V]."""
        return self._end(+1)

    def _end(self, side: int) -> np.ndarray | None:
        if self.half_width is None:
            return None
        ends = self.transformed + side * self.half_width
        return replace(self, transformed=ends, half_width=None).values

    @property
    def units(self) -> tuple[str, ...]:
        """Units of `values` [T]; empty for numbers without one."""
        return tuple(p.unit for p in self.properties)

    @property
    def transformed_units(self) -> tuple[str, ...]:
        """Units of `transformed` [T]: `log10(GPa)` for a modulus."""
        return tuple(p.trained_unit for p in self.properties)

    @property
    def skipped(self) -> list[Skipped]:
        """The crystals that were left out, each with the reason."""
        rows = zip(self.ids, self.reasons, strict=True)
        return [Skipped(name, reason) for name, reason in rows if reason]

    def to_dataframe(self) -> pd.DataFrame:
        """The columns of `predictions.csv`, and `skipped`, the reason where there is one.

        `prediction` is in the unit that the column `unit` says, which is the one trained on; of a
        modulus `prediction_gpa` has what `values` has.
        """
        predicted = np.array([not reason for reason in self.reasons], bool)
        given = {"uncertainty": self.uncertainty, "half_width": self.half_width}
        own = {name: None if array is None else array[predicted] for name, array in given.items()}
        table = prediction_columns(self.properties, self.transformed[predicted], **own)
        if self.neighbors is not None:
            add_neighbors(table, [own for own in self.neighbors if own is not None])
        # A crystal that was left out has no class either: its row is missing throughout.
        table = table.set_index(np.flatnonzero(predicted)).reindex(range(len(self)))
        table.insert(0, "id", list(self.ids))
        table["warning"] = list(self.warnings)
        table["skipped"] = list(self.reasons)
        return table


def add_neighbors(table: pd.DataFrame, neighbors: Sequence[Neighbor]) -> None:
    """Add the columns `nearest`, a training crystal's id, and `distance` to a table."""
    table["nearest"] = [own.id for own in neighbors]
    table["distance"] = [own.distance for own in neighbors]


def element_warning(
    graph: CrystalGraph, element_counts: Mapping[str, int], tell_rare: bool = True
) -> str:
    """Which elements of a crystal the model knows little or nothing of; empty if there are none.

    `element_counts` are the training crystals with each element, by symbol; if they are not known
    (empty) there is no warning. Nor is there one of rare elements without `tell_rare`.
    """
    if not element_counts:
        return ""
    symbols = [Element.from_Z(int(z)).symbol for z in sorted(set(graph.atomic_number.tolist()))]
    unseen = [symbol for symbol in symbols if element_counts.get(symbol, 0) == 0]
    rare = [symbol for symbol in symbols if 0 < element_counts.get(symbol, 0) < RARE]
    parts = []
    if unseen:
        parts.append(f"not in the training crystals: {' '.join(unseen)}")
    if rare and tell_rare:
        parts.append(f"in fewer than {RARE} training crystals: {' '.join(rare)}")
    return "; ".join(parts)
