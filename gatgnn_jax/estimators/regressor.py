"""`GATGNNRegressor`: values of crystals."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import assert_all_finite, check_array

from data_prep.properties import Task
from data_prep.reading.given import Crystals
from gatgnn_jax.estimators.base import CrystalEstimator


class GATGNNRegressor(RegressorMixin, CrystalEstimator):
    """A property of crystals, learned from examples; an estimator of scikit-learn::

        model = GATGNNRegressor(property="bulk_modulus", epochs=200)
        cross_val_score(model, structures, y, scoring="neg_mean_absolute_error")

    Args:
        property: what the values are, as `bulk_modulus`: known properties have their unit and
            transform (y and predictions are in GPa, the logarithm is trained on).
        preset: settings to start from.
        epochs: passes over the training crystals; None here and below: the preset's.
        batch_size: crystals a step, at most.
        learning_rate: the highest rate.
        num_layers: attention layers.
        neurons: features of an atom in every layer.
        heads: attention heads.
        ensemble: networks trained at once, whose mean is the prediction.
        settings: any further settings of graph, model or training by name.
        validation_fraction: the share of the crystals that chooses the best epoch.
        random_state: seed of the initial weights, the batches, and the validation crystals.
        device: what to run on.
        workers: processes that prepare the data; all cores by default.
        quiet: show errors only.

    Attributes:
        predictor_: the trained `Predictor`, for intervals, warnings and explanations.
        run_dir_: its run directory; it goes with the estimator, `save` keeps it.
    """

    _task: ClassVar[Task] = "regression"

    def fit(
        self,
        X: Crystals,
        y: Any,
        groups: Sequence[Any] | None = None,
        sample_weight: Sequence[float] | np.ndarray | None = None,
    ) -> Self:
        """Train on crystals X [C] and their values y [C], or [C, T] of several properties.

        With `groups` [C] the validation crystals are of other groups than the training crystals.
        By `sample_weight` [C] their losses count in training; 0: not learned from.

        Raises:
            UserError: crystals and values that do not fit together, or too few of them.
        """
        if y is not None:
            y = check_array(y, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan")
            if y.ndim == 1 or y.shape[1] == 1:  # of several some may be missing
                assert_all_finite(y, input_name="y")
        return self._fit(X, y, groups, sample_weight)

    def predict(self, X: Crystals) -> np.ndarray:
        """Values in the unit of y: float64 [C], or [C, T] of several properties.

        Raises:
            UserError: a crystal that cannot be predicted.
        """
        values = self._predicted(X).values
        return values[:, 0] if values.shape[1] == 1 else values

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
