"""The estimators of scikit-learn, on crystals: its own checks, and its own tools."""

import numpy as np
import pytest
from flax import nnx
from pymatgen.core import Lattice, Structure
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from gatgnn_jax import GATGNNClassifier, GATGNNRegressor, api
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.pipeline import create

TINY = {
    "num_layers": 1,
    "neurons": 4,
    "heads": 1,
    "epochs": 1,
    "settings": {"hidden_layers": 0, "max_neighbors": 2, "radius": 6.0},
}


def crystal(row: np.ndarray) -> Structure:
    """A crystal made of a row of numbers, one for each."""
    share = 1 / (1 + np.exp(-np.resize(row, 3) / 10))
    return Structure(Lattice.orthorhombic(*(3 + share)), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])


class _Rows:
    """Rows of numbers in the place of crystals, as the checks of scikit-learn have them."""

    def fit(self, X, y, groups=None):
        X = validate_data(self, X)
        return super().fit([crystal(row) for row in X], y, groups)

    def _predicted(self, X):
        X = validate_data(self, X, reset=False)
        return super()._predicted([crystal(row) for row in X])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        tags.input_tags.string = tags.input_tags.dict = False
        tags.regressor_tags and setattr(tags.regressor_tags, "poor_score", True)
        tags.classifier_tags and setattr(tags.classifier_tags, "poor_score", True)
        return tags


class RowRegressor(_Rows, GATGNNRegressor):
    """Crystals of rows."""


class RowClassifier(_Rows, GATGNNClassifier):
    """Crystals of rows."""


@pytest.fixture
def untrained(monkeypatch):
    """Fitting ends with the initial weights: the many checks are of the interface."""

    def created(request, place, how):
        run = create(request, place, how)
        _, params, stats = nnx.split(run.config().new_model(), nnx.Param, nnx.BatchStat)
        run.save_best(ModelState(params, stats))
        return run

    monkeypatch.setattr(api, "_trained", created)


@parametrize_with_checks([RowRegressor(**TINY), RowClassifier(**TINY)])
def test_the_checks_of_scikit_learn(estimator, check, untrained):
    check(estimator)
