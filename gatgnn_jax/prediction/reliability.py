"""What a run knows of how good its predictions are, and the two files it keeps that in.

    intervals.json     how wide intervals must be (`gatgnn_jax.prediction.intervals`)
    neighbors.npz      training crystals as points (`gatgnn_jax.prediction.training_crystals`)

Runs of earlier versions and converted ones have neither: their predictions come without.
"""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import UserError
from data_prep.files import replacing
from data_prep.graph import CrystalGraph
from data_prep.settings import from_dict
from data_prep.surroundings import SIZE
from gatgnn_jax.prediction.intervals import Intervals
from gatgnn_jax.prediction.result import element_warning
from gatgnn_jax.prediction.training_crystals import Points, TrainingCrystals
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory

INTERVALS, NEIGHBORS = "intervals.json", "neighbors.npz"

_TEXTS = ("ids", "formulas")
_POINTS = {"vectors": None, "elements": SIZE}
"""The two kinds of points, and how many features they are made of where that is known."""


@dataclass(frozen=True)
class Reliability:
    """What predictions are judged by; None: it is not known."""

    intervals: Intervals | None = None
    training: TrainingCrystals | None = None

    @property
    def knows_far(self) -> bool:
        """Whether crystals that are far from the training crystals get a warning."""
        return self.training is not None and self.training.warns

    def warnings(
        self,
        crystal_vector: np.ndarray,
        graphs: Sequence[CrystalGraph],
        element_counts: Mapping[str, int],
    ) -> list[str]:
        """What is doubtful about each of some crystals; vectors are [C, F].

        Elements that training never saw, and crystals that are far from its crystals; where that is
        not known, elements that it saw rarely.
        """
        far = [""] * len(graphs)
        if self.training is not None:
            far = self.training.remarks(crystal_vector, graphs)
        elements = [
            element_warning(graph, element_counts, tell_rare=not self.knows_far) for graph in graphs
        ]
        return ["; ".join(filter(None, own)) for own in zip(elements, far, strict=True)]


UNKNOWN = Reliability()


def write_reliability(run: RunDirectory, reliability: Reliability) -> None:
    """Write the files of a run, each whole or not at all."""
    if reliability.intervals is not None:
        text = json.dumps(dataclasses.asdict(reliability.intervals), indent=1)
        run.write_text(INTERVALS, text + "\n")
    if reliability.training is not None:
        with replacing(run.path / NEIGHBORS) as file:
            np.savez_compressed(file, **_arrays(reliability.training))


def read_reliability(run: RunDirectory) -> Reliability:
    """What a run knows.

    Raises:
        UserError: a file is damaged, or that of another run.
    """
    config = run.config()
    intervals, neighbors = run.path / INTERVALS, run.path / NEIGHBORS
    return Reliability(
        _read_intervals(intervals, config) if intervals.exists() else None,
        _read_neighbors(neighbors, config) if neighbors.exists() else None,
    )


def _read_intervals(path: Path, config: RunConfig) -> Intervals:
    try:
        intervals = from_dict(Intervals, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}\nput it back from a copy") from None
    names = {p.name for p in config.properties}
    is_ensemble = config.train.members > 1
    for own in intervals.properties:
        if own.name not in names or (own.floor is not None) != is_ensemble:
            raise UserError(f"{path} is that of another run: put it back from a copy")
    return intervals


def _read_neighbors(path: Path, config: RunConfig) -> TrainingCrystals:
    try:
        # Opened here: NumPy leaves a file open that is no archive.
        with path.open("rb") as file, np.load(file) as archive:
            arrays = {name: archive[name] for name in archive.files}
        training = _training(arrays)
        _check(training, len(config.properties))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}\nput it back from a copy") from None
    return training


def _arrays(training: TrainingCrystals) -> dict[str, Any]:
    """As named arrays."""
    arrays = {name: getattr(training, name) for name in (*_TEXTS, "values")}
    for place in _POINTS:
        points = getattr(training, place)
        own = {field.name: getattr(points, field.name) for field in dataclasses.fields(points)}
        arrays |= {f"{place}_{name}": array for name, array in own.items()}
    return arrays | {"limit_and_risk": np.array([training.limit, training.risk])}


def _training(arrays: dict[str, np.ndarray]) -> TrainingCrystals:
    """From named arrays."""
    names = [field.name for field in dataclasses.fields(Points)]
    points: dict[str, Any] = {
        place: Points(**{name: arrays[f"{place}_{name}"] for name in names}) for place in _POINTS
    }
    limit, risk = map(float, arrays["limit_and_risk"])
    own: dict[str, Any] = {name: arrays[name] for name in (*_TEXTS, "values")}
    return TrainingCrystals(**own, **points, limit=limit, risk=risk)


def _check(training: TrainingCrystals, num_properties: int) -> None:
    """Make sure that the arrays fit together.

    Raises:
        ValueError: they do not.
    """
    count = len(training.ids)
    fits = count > 0 and training.values.shape == (count, num_properties)
    fits &= all(getattr(training, name).shape == (count,) for name in _TEXTS)
    fits &= all(getattr(training, name).dtype.kind == "U" for name in _TEXTS)
    fits &= len(training.vectors.points) == count and not np.isnan(training.limit)
    for place, size in _POINTS.items():
        points: Points = getattr(training, place)
        rows = len(points.points)
        features, components = points.components.shape
        fits &= size in (None, features) and points.mean.shape == (features,)
        fits &= points.points.shape == (rows, components)
        fits &= points.kind.shape == points.spacing.shape == (rows,)
        numbers = (points.mean, points.components, points.points)
        fits &= all(bool(np.isfinite(own).all()) for own in numbers)
    if not fits:
        raise ValueError("its arrays do not fit together, or are of another run")
