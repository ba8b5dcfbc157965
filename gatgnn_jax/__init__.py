"""GATGNN, the global-attention graph network for crystal properties, in pure JAX."""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from gatgnn_jax.api import Predictor, fit
    from gatgnn_jax.estimators import GATGNNClassifier, GATGNNRegressor
    from gatgnn_jax.models.global_attention import register_global_attention
    from gatgnn_jax.models.layers import register_layer
    from gatgnn_jax.prediction.explanation import Explanation
    from gatgnn_jax.prediction.result import Predictions

_HOMES = {
    "GATGNNClassifier": "gatgnn_jax.estimators",
    "GATGNNRegressor": "gatgnn_jax.estimators",
    "register_global_attention": "gatgnn_jax.models.global_attention",
    "register_layer": "gatgnn_jax.models.layers",
    "Explanation": "gatgnn_jax.prediction.explanation",
    "Predictions": "gatgnn_jax.prediction.result",
    "Predictor": "gatgnn_jax.api",
    "fit": "gatgnn_jax.api",
}

__all__ = [
    "Explanation",
    "GATGNNClassifier",
    "GATGNNRegressor",
    "Predictions",
    "Predictor",
    "fit",
    "register_global_attention",
    "register_layer",
]


def __getattr__(name: str) -> Any:
    # On first use only: what JAX runs on can be chosen until it is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
