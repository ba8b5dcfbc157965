"""GATGNN, the global-attention graph network for crystal properties, in pure JAX."""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from gatgnn_jax.api import Predictor, fit
    from gatgnn_jax.prediction.explanation import Explanation
    from gatgnn_jax.prediction.result import Predictions

_HOMES = {
    "Explanation": "gatgnn_jax.prediction.explanation",
    "Predictions": "gatgnn_jax.prediction.result",
    "Predictor": "gatgnn_jax.api",
    "fit": "gatgnn_jax.api",
}

__all__ = ["Explanation", "Predictions", "Predictor", "fit"]


def __getattr__(name: str) -> Any:
    # On first use only: what JAX runs on can be chosen until it is imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
