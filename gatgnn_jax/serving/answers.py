"""What the page is told of a file: predictions, what they rest on, and the models' attention."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from data_prep.errors import BadCrystal, UserError, one_line
from data_prep.labels import formula
from data_prep.properties import Property
from data_prep.reading.contents import items_in
from data_prep.reading.sources import read_item
from gatgnn_jax.objective import value_slices
from gatgnn_jax.pages.explain_page import (
    ExplainedCrystal,
    View,
    explain_data,
    interval_text,
)
from gatgnn_jax.prediction.columns import digits_of, to_csv
from gatgnn_jax.prediction.evidence import Evidence
from gatgnn_jax.prediction.explanation import Explanation, why_unexplained
from gatgnn_jax.prediction.predictor import Predictor
from gatgnn_jax.prediction.result import Predictions

MAX_BYTES = 10_000_000
"""Of a file, packed or not."""

MAX_CRYSTALS = 20
"""Of a file; more than that nobody looks at."""

MAX_ATOMS = 500
"""Of a crystal: larger ones take longer than a page can wait."""

WARM = (16, 32, 64)
"""Atoms of the crystals that programs are compiled for at the start."""

COLUMNS = [
    *("id", "model", "property", "value", "unit", "lower", "upper"),
    *("nearest", "distance", "warning"),
]
"""Of the table to download: a row for each value, in the property's own unit; probabilities have
none."""


class Models:
    """Trained models by name, asked by one thread at a time."""

    def __init__(self, predictors: Mapping[str, Predictor]):
        self.predictors = predictors
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Compile what crystals of common sizes need."""
        copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]])
        for atoms in WARM:
            cell = copper * (atoms // 4, 1, 1)
            for predictor in self.predictors.values():
                self._ask(predictor, cell)

    def answer(self, name: str, content: bytes, chosen: Sequence[str]) -> dict[str, Any]:
        """All that the chosen models (none named: all) say about the crystals of a file.

        Returns:
            `crystals`, and `skipped`: id and reason of those that cannot be predicted.

        Raises:
            UserError: no crystals, too many of them, or a model that is not here.
        """
        if unknown := set(chosen) - self.predictors.keys():
            raise UserError(f"no model {one_line(min(unknown))!r} here: load the page again")
        items = items_in(name, content, MAX_BYTES)
        if len(items) > MAX_CRYSTALS:
            raise UserError(
                f"{len(items):,} crystals are more than the {MAX_CRYSTALS} that a page shows: "
                "use gatgnn-jax predict"
            )
        crystals, skipped = [], []
        for record, structure in map(read_item, items):
            try:
                if isinstance(structure, BadCrystal):
                    raise structure
                crystals.append(self._crystal(record.id, structure, chosen or [*self.predictors]))
            except BadCrystal as error:
                skipped.append([record.id, error.reason])
        return {"crystals": crystals, "skipped": skipped}

    def _crystal(self, name: str, structure: Structure, chosen: Sequence[str]) -> dict[str, Any]:
        if len(structure) > MAX_ATOMS:
            raise BadCrystal(
                f"{len(structure):,} atoms are more than the {MAX_ATOMS} that a page waits for: "
                "use gatgnn-jax predict"
            )
        values: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        explained: dict[str, Any] = {}
        digits = 8
        for model in chosen:
            predictor = self.predictors[model]
            prediction, evidence, explanation = self._ask(predictor, structure)
            if not np.isfinite(prediction.values).all():
                raise BadCrystal(f"what {model} says is no finite number")
            digits = max(digits, digits_of(prediction.properties))
            values += [{"model": model, **own} for own in value_data(prediction, evidence)]
            rows += [{"id": name, "model": model, **own} for own in csv_rows(prediction)]
            if explanation is not None:
                attention = predictor.config.model.global_attention
                crystal = ExplainedCrystal(name, [View(model, attention, explanation)])
                explained[model] = explain_data([crystal], [])["crystals"][0]
        return {
            "id": name,
            "formula": formula(structure.composition),
            "atoms": len(structure),
            "values": values,
            "explained": explained,
            "csv": to_csv(pd.DataFrame(rows, columns=COLUMNS), header=False, digits=digits),
        }

    def _ask(
        self, predictor: Predictor, structure: Structure
    ) -> tuple[Predictions, Evidence, Explanation | None]:
        """Prediction, evidence and, of a model with attention, explanation."""
        with self._lock:
            try:
                if not why_unexplained(predictor.config):
                    found = predictor.explain(structure)
                    return found.prediction, found.evidence, found
                evidence = predictor.evidence(structure)
                return predictor.predict(structure, workers=1), evidence, None
            except BadCrystal:
                raise
            except Exception as error:  # whatever it is, the other crystals go on
                reason = f"no prediction: {type(error).__name__}: {one_line(error)}"
                raise BadCrystal(reason) from None


def value_data(prediction: Predictions, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Of each property of one crystal: value, unit, interval, warning and evidence.

    Of a classification the probability of the likeliest class, of two that of class 1.
    """
    slices = value_slices(prediction.properties)
    for t, (p, own) in enumerate(zip(prediction.properties, slices, strict=True)):
        column = own.start + int(prediction.transformed[0, own].argmax())
        yield {
            "property": named_columns(p)[column - own.start].replace("_", " "),
            "value": f"{prediction.values[0, column]:.4g}",
            "interval": interval_text(prediction, t),
            "warning": prediction.warnings[0],
            "unit": "probability" if p.task == "classification" else p.unit,
            "networks": p.in_own_unit(evidence.members[:, column]).tolist(),
            "elements": list(evidence.element_counts.items()),
            "strangeness": _finite(evidence.strangeness),
            "limit": _finite(evidence.limit),
            "nearest": [
                {
                    "id": near.id,
                    "formula": near.formula,
                    "value": true_value(p, float(near.values[t])),
                    "distance": near.distance,
                }
                for near in evidence.nearest
            ],
        }


def csv_rows(prediction: Predictions) -> Iterator[dict[str, Any]]:
    """The `COLUMNS` of each value of one crystal, but for id and model."""
    nearest = prediction.neighbors and prediction.neighbors[0]
    names = [(p, name) for p in prediction.properties for name in named_columns(p)]
    for column, (p, name) in enumerate(names):
        yield {
            "property": name,
            "value": prediction.values[0, column],
            "unit": p.unit,
            "lower": np.nan if prediction.lower is None else prediction.lower[0, column],
            "upper": np.nan if prediction.upper is None else prediction.upper[0, column],
            "nearest": nearest.id if nearest else "",
            "distance": nearest.distance if nearest else np.nan,
            "warning": prediction.warnings[0],
        }


def named_columns(p: Property) -> list[str]:
    """What each of a property's values is: the property, or that it is of a class."""
    if p.task == "regression":
        return [p.name]
    return [f"{p.name} = {name}" for name in p.class_names[-p.num_values :]]


def true_value(p: Property, known: float) -> float | str | None:
    """A training crystal's value in its own unit, or its class; None if it is not known."""
    if p.task == "classification":
        return p.class_names[int(known)] if np.isfinite(known) else None
    return _finite(float(p.in_own_unit(np.array(known))))


def _finite(number: float) -> float | None:
    """A number as JSON has it: None where it is none."""
    return number if np.isfinite(number) else None
