"""What is learned and how well: losses and metrics of regression and classification targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit

from data_prep.properties import Property


def output_slices(properties: Sequence[Property]) -> list[slice]:
    """Which of the model's outputs belong to each property: one, or a logit for each class."""
    slices, start = [], 0
    for p in properties:
        width = 2 if p.task == "classification" else 1
        slices.append(slice(start, start + width))
        start += width
    return slices


def num_outputs(properties: Sequence[Property]) -> int:
    """How many outputs the model needs."""
    return output_slices(properties)[-1].stop


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sums:
    """Totals over the targets of some crystals, [T] each; the members' mean."""

    loss: jax.Array
    error: jax.Array
    """absolute errors (regression) or wrong classes (classification)"""
    count: jax.Array


def loss_sums(
    prediction: jax.Array,
    target: jax.Array,
    properties: Sequence[Property],
    huber_delta: float = 1.0,
) -> Sums:
    """Loss and error over a batch; targets that are NaN do not count.

    Cross-entropy for classification; for regression Huber's loss in the units of the network's
    output, which with a `huber_delta` of 1 is the paper's SmoothL1 (section 2.4). `prediction`
    [G, outputs], `target` [G, T] as of `network_targets`.
    """
    totals = []
    for t, (p, outputs) in enumerate(zip(properties, output_slices(properties), strict=True)):
        known = ~jnp.isnan(target[:, t])
        # The unknown ones become 0 before, not after: NaN times 0 would still be NaN.
        value = jnp.where(known, target[:, t], 0.0)
        output = prediction[:, outputs]
        if p.task == "classification":
            label = value.astype(jnp.int32)
            loss = optax.softmax_cross_entropy_with_integer_labels(output, label)
            error = (output.argmax(-1) != label).astype(jnp.float32)
        else:
            difference = output[:, 0] - value
            loss = optax.huber_loss(difference, delta=huber_delta)
            error = jnp.abs(difference) * p.scale
        totals.append([jnp.where(known, x, 0.0).sum() for x in (loss, error, 1.0)])
    return Sums(*jnp.asarray(totals).T)


def mean_loss_sums(
    prediction: jax.Array, target: jax.Array, properties: Sequence[Property], huber_delta: float
) -> Sums:
    """The mean of `loss_sums` over the members of `prediction` [G, M, outputs]."""
    members = [
        loss_sums(own, target, properties, huber_delta) for own in jnp.moveaxis(prediction, 1, 0)
    ]
    return jax.tree.map(lambda *own: sum(own) / len(own), *members)


def network_targets(target: np.ndarray, properties: Sequence[Property]) -> np.ndarray:
    """What the network is to give for transformed targets [C, T]: in units of `scale` above `mean`.

    The step back of `predicted_values`. It is made in float64: of energies that differ little,
    far from 0, float32 would leave nothing but steps.
    """
    mean, scale = (np.array([getattr(p, name) for p in properties]) for name in ("mean", "scale"))
    return ((target - mean) / scale).astype(np.float32)


def predicted_values(prediction: np.ndarray, properties: Sequence[Property]) -> np.ndarray:
    """Outputs [C, M, outputs] → [C, T]: the M members' mean of transformed values.

    For a classification it is P(class 1).
    """
    return _values(prediction, properties).mean(axis=1)


def member_spread(prediction: np.ndarray, properties: Sequence[Property]) -> np.ndarray | None:
    """Standard deviation over the members of [C, M, outputs]: [C, T]; None of a single one."""
    values = _values(prediction, properties)
    return values.std(axis=1, ddof=1) if values.shape[1] > 1 else None


def _values(prediction: np.ndarray, properties: Sequence[Property]) -> np.ndarray:
    """Outputs […, outputs] → […, T]."""
    columns = []
    for p, outputs in zip(properties, output_slices(properties), strict=True):
        output = prediction[..., outputs].astype(np.float64)
        if p.task == "classification":
            columns.append(expit(output[..., 1] - output[..., 0]))
        else:
            columns.append(output[..., 0] * p.scale + p.mean)
    return np.stack(columns, axis=-1)


class Metric(NamedTuple):
    """A figure of merit, of true values [n] and predicted ones or probabilities of class 1 [n]."""

    label: str
    of: Callable[[np.ndarray, np.ndarray], float]


def _r2(target: np.ndarray, predicted: np.ndarray) -> float:
    spread = np.square(target - target.mean()).sum()
    return 1 - np.square(predicted - target).sum() / spread if spread > 0 else np.nan


def _auc(target: np.ndarray, probability: np.ndarray) -> float:
    # Imported where needed: it costs a second and 90 MB, and regressions do without.
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(target, probability) if len(np.unique(target)) == 2 else np.nan


def _log_loss(target: np.ndarray, probability: np.ndarray) -> float:
    from sklearn.metrics import log_loss

    return log_loss(target, probability, labels=[0, 1])


METRICS: dict[str, dict[str, Metric]] = {
    "regression": {
        "mae": Metric("MAE", lambda y, z: np.abs(z - y).mean()),
        "rmse": Metric("RMSE", lambda y, z: np.sqrt(np.square(z - y).mean())),
        "r2": Metric("R²", _r2),
    },
    "classification": {
        "accuracy": Metric("accuracy", lambda y, z: np.mean((z > 0.5) == (y == 1))),
        "auc": Metric("AUC", _auc),
        "log_loss": Metric("log loss", _log_loss),
    },
}
"""By task and name; whatever stands here is in summaries, in `evaluate` and in reports."""


def metrics(
    predicted: np.ndarray, target: np.ndarray, properties: Sequence[Property]
) -> dict[str, float]:
    """The `METRICS` over the known targets; `predicted` and `target` [C, T].

    Those of a regression are of the transformed values. With more than one property each name ends
    in the property's. What cannot be computed (no targets, one class only) is NaN.
    """
    result: dict[str, float] = {}
    for t, p in enumerate(properties):
        known = ~np.isnan(target[:, t])
        y, z = target[known, t].astype(np.float64), predicted[known, t].astype(np.float64)
        ending = f"_{p.name}" if len(properties) > 1 else ""
        for name, metric in METRICS[p.task].items():
            result[name + ending] = float(metric.of(y, z)) if len(y) else np.nan
    return result


def selection_score(
    predicted: np.ndarray, target: np.ndarray, properties: Sequence[Property], scale: np.ndarray
) -> float:
    """What early stopping and the best checkpoint go by; smaller is better.

    The mean absolute error of a single regression (section 2.4: "lowest validation error"), the log
    loss of a single classification. Of several properties: the mean, each regression's error in
    units of `scale` [T], the training targets' mean deviation.
    """
    scores = []
    for t, p in enumerate(properties):
        own = metrics(predicted[:, [t]], target[:, [t]], [p])
        if p.task == "classification":
            scores.append(own["log_loss"])
        else:
            scores.append(own["mae"] / (scale[t] if len(properties) > 1 else 1.0))
    return float(np.nanmean(scores))
