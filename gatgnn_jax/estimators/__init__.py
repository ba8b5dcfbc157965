"""The models as estimators of scikit-learn: `GATGNNRegressor` and `GATGNNClassifier`.

They train as `fit` does and work where scikit-learn's own do: `cross_val_score`, `GridSearchCV`,
`Pipeline`, `clone`. X are crystals instead of rows of numbers: a list, an array or a Series of
structures or paths, or a table with a column of them.
"""

from gatgnn_jax.estimators.classifier import GATGNNClassifier
from gatgnn_jax.estimators.regressor import GATGNNRegressor

__all__ = ["GATGNNClassifier", "GATGNNRegressor"]
