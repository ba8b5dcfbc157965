"""`GATGNNClassifier`: classes of crystals."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

from data_prep.properties import Task
from data_prep.reading.given import Crystals
from gatgnn_jax.estimators.base import CrystalEstimator


class GATGNNClassifier(ClassifierMixin, CrystalEstimator):
    """A class of crystals, learned from examples; an estimator of scikit-learn::

        model = GATGNNClassifier(epochs=200).fit(structures, ["metal", "insulator", ...])
        model.predict_proba(others)

    Its parameters are those of `GATGNNRegressor`.

    Attributes:
        classes_: the classes, in the order of `predict_proba`.
        predictor_: the trained `Predictor`, which speaks of the classes by their numbers.
        run_dir_: its run directory; it goes with the estimator, `save` keeps it.
    """

    _task: ClassVar[Task] = "classification"

    def fit(
        self,
        X: Crystals,
        y: Any,
        groups: Sequence[Any] | None = None,
        sample_weight: Sequence[float] | np.ndarray | None = None,
    ) -> Self:
        """Train on crystals X [C] and their classes y [C]: numbers, words, or true and false.

        With `groups` [C] the validation crystals are of other groups than the training crystals.
        By `sample_weight` [C] their losses count in training; 0: not learned from.

        Raises:
            UserError: crystals and classes that do not fit together, or too few of them.
        """
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only, {classes[0]!r}: give two or more")
        self._fit(X, numbers, groups, sample_weight)
        # A class whose crystals could all not be read is none that the model knows.
        (p,) = self.predictor_.config.properties
        self.classes_ = classes[[int(name) for name in p.class_names]]
        return self

    def predict_proba(self, X: Crystals) -> np.ndarray:
        """The probability of each of the K classes: float64 [C, K].

        Raises:
            UserError: a crystal that cannot be predicted.
        """
        values = self._predicted(X).transformed
        return np.hstack([1 - values, values]) if values.shape[1] == 1 else values

    def predict(self, X: Crystals) -> np.ndarray:
        """The most probable class of each crystal [C].

        Raises:
            UserError: a crystal that cannot be predicted.
        """
        share = self.predict_proba(X)
        return self.classes_[share.argmax(axis=1)]
