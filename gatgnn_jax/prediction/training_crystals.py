"""How far a crystal is from those that a model was trained on, and what that is worth.

A run keeps some of its training crystals as points: each one as the vector that the network's last
layers read, and each of its elements in its surroundings (`data_prep.surroundings`). The distance
from a new crystal's point to the nearest of its kind is compared with the same distances of the
kept crystals among themselves: p is the share of them that are as far or farther. A crystal's
strangeness is −ln p of its elements' surroundings, averaged over its atoms, and a part of −ln p of
its vector. Which strangeness deserves a warning, and how much larger errors are beyond it, is
measured on the validation crystals. docs/experiments.md says what else was tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from data_prep.elements import element_features
from data_prep.graph import CrystalGraph
from data_prep.surroundings import DISTANCES, Surroundings, surroundings

MOST_CRYSTALS = 4000
"""Training crystals that are kept, chosen at random: as a file a megabyte at most."""

COMPONENTS = 24
"""Principal components that a point is kept by."""

ELEMENT_COMPONENTS = 25
"""Principal components of the table of elements, all made equally large."""

VECTOR_SHARE = 0.2
"""How much the crystal vector counts beside the surroundings."""

WARNED = 0.06
"""The share of validation crystals that a warning is given for: docs/experiments.md."""

FEWEST = 50
"""Validation crystals for a warning to be measured; with fewer there is none."""


class Neighbor(NamedTuple):
    """The training crystal that is nearest to a crystal, of those that are kept.

    Attributes:
        id: of the training crystal.
        formula: reduced.
        values: its true values [T], transformed; NaN where unknown.
        distance: between the crystals' vectors; 1 is usual among training crystals.
    """

    id: str
    formula: str
    values: np.ndarray
    distance: float


@dataclass(frozen=True, eq=False)
class Points:
    """Points of D numbers that others are compared with.

    Attributes:
        mean: what a point is counted from, float32 [F].
        components: F numbers to D of them, float32 [F, D].
        kind: points are compared with those of their kind only, int [N].
        points: float16 [N, D].
        spacing: from each point to the nearest other of its kind, float32 [N]; infinite: none.
    """

    mean: np.ndarray
    components: np.ndarray
    kind: np.ndarray
    points: np.ndarray
    spacing: np.ndarray

    @classmethod
    def fit(
        cls, features: np.ndarray, kind: np.ndarray, basis: np.ndarray | None = None
    ) -> "Points":
        """Points of `features` [N, F]; of a `basis` [F, B] only what lies in it counts."""
        seen = features.astype(np.float64)
        basis = np.eye(seen.shape[1]) if basis is None else basis
        mean = seen.mean(0)
        scale = ((seen - mean) @ basis).std(0)
        # What is the same everywhere tells nothing.
        to_standard = basis / np.where(scale > 1e-9, scale, np.inf)
        main = np.linalg.svd((seen - mean) @ to_standard, full_matrices=False)[2][:COMPONENTS].T
        components = (to_standard @ main).astype(np.float32)
        points = ((seen - mean) @ components).astype(np.float16)
        none = np.full(len(points), np.inf, np.float32)
        own = cls(mean.astype(np.float32), components, kind, points, none)
        spacing = own._search(points.astype(np.float64), kind, 2)[0][:, 1].astype(np.float32)
        return cls(own.mean, components, kind, points, spacing)

    def nearest(self, features: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance to the nearest point of the same kind, and its number; infinite and -1: none."""
        distance, number = self.nearest_few(features, kind, 1)
        return distance[:, 0], number[:, 0]

    def nearest_few(
        self, features: np.ndarray, kind: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`, of the k nearest points: [R, k] each."""
        points = (features.astype(np.float64) - self.mean) @ self.components
        return self._search(points, kind, k)

    def strangeness(self, distance: np.ndarray, kind: np.ndarray) -> np.ndarray:
        """−ln of the share of points of the same kind whose spacing is a `distance` [R] or more."""
        result = np.zeros(len(distance))
        for own in np.unique(kind):
            spacing = np.sort(self.spacing[self.kind == own])
            chosen = kind == own
            farther = len(spacing) - np.searchsorted(spacing, distance[chosen])
            result[chosen] = -np.log((farther + 1) / (len(spacing) + 1))
        # Of a kind that is not there at all nothing can be said; it gets a warning of its own.
        return result

    def _search(
        self, points: np.ndarray, kind: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances and numbers of the k nearest points of the same kind [R, k]."""
        distance = np.full((len(points), k), np.inf)
        number = np.full((len(points), k), -1)
        for own in np.unique(kind):
            rows = np.flatnonzero(self.kind == own)
            if len(rows):
                tree = cKDTree(self.points[rows].astype(np.float64))
                chosen = np.flatnonzero(kind == own)
                found, where = tree.query(points[chosen], range(1, k + 1))
                distance[chosen] = found
                number[chosen] = np.where(np.isfinite(found), np.r_[rows, -1][where], -1)
        return distance, number


@dataclass(frozen=True, eq=False)
class TrainingCrystals:
    """Some of a run's training crystals, and how errors grow with the distance from them.

    Attributes:
        ids: of the kept crystals [K].
        formulas: reduced [K].
        values: true values, transformed, float64 [K, T]; NaN where unknown.
        vectors: the crystals' vectors, all of one kind.
        elements: the surroundings of each element in each crystal; the kind is the atomic number.
        limit: the strangeness that few of the validation crystals surpass; infinite: unknown.
        risk: mean error of these divided by that of all.
    """

    ids: np.ndarray
    formulas: np.ndarray
    values: np.ndarray
    vectors: Points
    elements: Points
    limit: float
    risk: float

    @property
    def warns(self) -> bool:
        """Whether it is known which crystals are far."""
        return bool(np.isfinite(self.limit))

    def neighbors(self, crystal_vector: np.ndarray) -> list[Neighbor]:
        """The nearest training crystal for each of some vectors [C, F]."""
        return [own[0] for own in self.several_neighbors(crystal_vector, 1)]

    def several_neighbors(self, crystal_vector: np.ndarray, k: int) -> list[list[Neighbor]]:
        """The k nearest training crystals for each of some vectors [C, F]; the nearest first."""
        alike = np.zeros(len(crystal_vector), int)
        distances, numbers = self.vectors.nearest_few(crystal_vector, alike, min(k, len(self.ids)))
        usual = np.median(self.vectors.spacing)
        usual = usual if np.isfinite(usual) and usual > 0 else 1.0  # a crystal alone, or all alike
        return [
            [
                Neighbor(str(self.ids[n]), str(self.formulas[n]), self.values[n], float(d / usual))
                for d, n in zip(distance, number, strict=True)
            ]
            for distance, number in zip(distances, numbers, strict=True)
        ]

    def strangeness(self, crystal_vector: np.ndarray, around: Surroundings) -> np.ndarray:
        """How unlike the training crystals others are, from vectors and surroundings: [C]."""
        distance, _ = self.elements.nearest(around.features, around.element)
        own = self.elements.strangeness(distance, around.element)
        count = len(crystal_vector)
        atoms = np.bincount(around.crystal, around.atoms, count)
        mean = np.bincount(around.crystal, around.atoms * own, count) / atoms
        alike = np.zeros(count, int)
        distance, _ = self.vectors.nearest(crystal_vector, alike)
        return mean + VECTOR_SHARE * self.vectors.strangeness(distance, alike)

    def remarks(self, crystal_vector: np.ndarray, graphs: Sequence[CrystalGraph]) -> list[str]:
        """A warning for each crystal that is far from the training crystals, else nothing."""
        if not self.warns:
            return [""] * len(graphs)
        far = self.strangeness(crystal_vector, surroundings(graphs)) > self.limit
        text = "farther from the training crystals than nearly all validation crystals"
        if self.risk >= 1.05:
            text += f": errors there were {self.risk:.1f} times the usual"
        return [text if own else "" for own in far]


def fit_training_crystals(
    ids: np.ndarray,
    formulas: np.ndarray,
    values: np.ndarray,
    crystal_vector: np.ndarray,
    around: Surroundings,
) -> TrainingCrystals:
    """The crystals to keep [K], as points; what a distance is worth is measured afterwards."""
    basis = np.kron(np.eye(len(DISTANCES)), element_basis())
    return TrainingCrystals(
        ids=ids,
        formulas=formulas,
        values=values,
        vectors=Points.fit(crystal_vector, np.zeros(len(ids), np.uint8)),
        elements=Points.fit(around.features, around.element.astype(np.uint8), basis),
        limit=np.inf,
        risk=1.0,
    )


def element_basis() -> np.ndarray:
    """What tells neighbours apart: their number, and the main components of the elements' table.

    Float64 [1 + features of an element, 1 + components].
    """
    table = element_features()[1:].astype(np.float64)
    main = np.linalg.svd(table - table.mean(0), full_matrices=False)[2][:ELEMENT_COMPONENTS].T
    basis = np.zeros((1 + len(main), 1 + ELEMENT_COMPONENTS))
    basis[0, 0], basis[1:, 1:] = 1, main
    basis[0, 1:] = -table.mean(0) @ main  # the mean goes with each neighbour
    return basis


def measured_risk(strangeness: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """The limit that few validation crystals surpass, and how much larger errors are there.

    `error` [C, T] has no sign; NaN where the truth is unknown. Of several properties the ratios'
    mean. Too few crystals: an infinite limit.
    """
    if len(strangeness) < FEWEST:
        return np.inf, 1.0
    limit = float(np.quantile(strangeness, 1 - WARNED))
    far = strangeness > limit
    ratios = [
        np.nanmean(own[far]) / usual
        for own in error.T
        if np.isfinite(own[far]).any() and (usual := np.nanmean(own)) > 0
    ]
    return (limit, float(np.mean(ratios))) if ratios else (np.inf, 1.0)
