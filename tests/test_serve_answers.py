"""What the served page is told of predictions: of classes and of several properties."""

import json

import numpy as np
import pytest

from data_prep.properties import Property
from gatgnn_jax.prediction.evidence import Evidence
from gatgnn_jax.prediction.result import Predictions
from gatgnn_jax.prediction.training_crystals import Neighbor
from gatgnn_jax.serving.answers import csv_rows, value_data

METAL = Property("is_metal", "is_metal", task="classification")
SYSTEM = Property("system", "system", task="classification", classes=("cubic", "other", "none"))
MODULUS = Property("bulk_modulus", "bulk_modulus", unit="GPa", transform="log10")


@pytest.fixture
def said() -> tuple[Predictions, Evidence]:
    """Two networks on one crystal: P(metal) 0.25, "other" 0.7, and 10 GPa."""
    low, high = [0.2, 0.2, 0.6, 0.2, 0.5], [0.3, 0.0, 0.8, 0.2, 1.5]
    known = [np.array([1.0, 0.0, 2.0]), np.array([np.nan, np.nan, np.nan])]
    nearest = tuple(
        Neighbor(f"n{k}", "NaCl", values, k / 2) for k, values in enumerate(known, start=1)
    )
    predictions = Predictions(
        ids=("x",),
        properties=(METAL, SYSTEM, MODULUS),
        transformed=np.array([[0.25, 0.1, 0.7, 0.2, 1.0]]),
        warnings=("far",),
        reasons=("",),
        half_width=np.array([[np.nan, np.nan, np.nan, np.nan, 1.0]]),
        neighbors=(nearest[0],),
    )
    members = np.array([low, high])
    return predictions, Evidence(members, {"Na": 3}, nearest, np.nan, np.inf)


def test_values(said: tuple[Predictions, Evidence]) -> None:
    """Of three classes the likeliest, with its name; moduli in GPa."""
    found = list(value_data(*said))
    assert [(own["property"], own["value"], own["unit"]) for own in found] == [
        ("is metal = 1", "0.25", "probability"),
        ("system = other", "0.7", "probability"),
        ("bulk modulus", "10", "GPa"),
    ]
    assert [own["interval"] for own in found] == ["", "", "1 to 100 GPa"]
    assert [own["networks"] for own in found[:2]] == [[0.2, 0.3], [0.6, 0.8]]
    np.testing.assert_allclose(found[2]["networks"], [10**0.5, 10**1.5])
    assert [[near["value"] for near in own["nearest"]] for own in found] == [
        ["1", None],
        ["cubic", None],
        [100.0, None],
    ]
    assert found[0]["strangeness"] is found[0]["limit"] is None
    json.dumps(found, allow_nan=False)  # as it is sent


def test_rows_of_the_table(said: tuple[Predictions, Evidence]) -> None:
    rows = list(csv_rows(said[0]))
    assert [own["property"] for own in rows] == [
        "is_metal = 1",
        "system = cubic",
        "system = other",
        "system = none",
        "bulk_modulus",
    ]
    assert [own["value"] for own in rows] == [0.25, 0.1, 0.7, 0.2, 10.0]
    assert (rows[-1]["lower"], rows[-1]["upper"]) == pytest.approx((1, 100))
    assert {own["nearest"] for own in rows} == {"n1"}
