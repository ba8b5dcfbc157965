"""What is learned and how well: losses and metrics of regression and classification targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit, softmax

from data_prep.properties import Property, ending_of


def output_slices(properties: Sequence[Property]) -> list[slice]:
    """Which of the model's outputs belong to each property: one, or a logit for each class."""
    return _slices([p.num_outputs for p in properties])


def value_slices(properties: Sequence[Property]) -> list[slice]:
    """Which columns of predicted values belong to each property: see `Property.num_values`."""
    return _slices([p.num_values for p in properties])


def _slices(widths: Sequence[int]) -> list[slice]:
    ends = np.cumsum(widths).tolist()
    return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


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

    Cross-entropy for classification, of each class with its weight; for regression Huber's loss in
    the units of the network's output, which with a `huber_delta` of 1 is the paper's SmoothL1
    (section 2.4). `prediction` [G, outputs], `target` [G, T] as of `network_targets`; a further
    column has weights of the crystals, by which their losses count.
    """
    totals = []
    # Padding has NaN there too, and NaN times 0 is NaN in gradients.
    weight = jnp.nan_to_num(target[:, -1]) if target.shape[1] > len(properties) else None
    for t, (p, outputs) in enumerate(zip(properties, output_slices(properties), strict=True)):
        known = ~jnp.isnan(target[:, t])
        # The unknown ones become 0 before, not after: NaN times 0 would still be NaN.
        value = jnp.where(known, target[:, t], 0.0)
        output = prediction[:, outputs]
        if p.task == "classification":
            label = value.astype(jnp.int32)
            loss = optax.softmax_cross_entropy_with_integer_labels(output, label)
            if p.class_weights:
                loss = loss * jnp.asarray(p.class_weights)[label]
            error = (output.argmax(-1) != label).astype(jnp.float32)
        else:
            size = jnp.abs(output[:, 0] - value)
            linear = huber_delta * (size - huber_delta / 2)  # optax's rounds small gradients off
            loss = jnp.where(size <= huber_delta, size**2 / 2, linear)
            error = size * p.scale
        if weight is not None:
            loss = loss * weight
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
    """Outputs [C, M, outputs] → [C, V]: the M members' mean of transformed values.

    Of two classes it is P(class 1), of more the P of each; V is T if there are none such.
    """
    return member_values(prediction, properties).mean(axis=1)


def member_spread(prediction: np.ndarray, properties: Sequence[Property]) -> np.ndarray | None:
    """Standard deviation over the members of [C, M, outputs]: [C, V]; None of a single one."""
    values = member_values(prediction, properties)
    return values.std(axis=1, ddof=1) if values.shape[1] > 1 else None


def member_values(prediction: np.ndarray, properties: Sequence[Property]) -> np.ndarray:
    """Outputs […, outputs] → transformed values or probabilities, as `predicted_values`, […, V]."""
    columns = []
    for p, outputs in zip(properties, output_slices(properties), strict=True):
        output = prediction[..., outputs].astype(np.float64)
        if p.task == "regression":
            columns.append(output * p.scale + p.mean)
        elif p.num_outputs == 2:
            columns.append(expit(output[..., 1:] - output[..., :1]))
        else:
            columns.append(softmax(output, axis=-1))
    return np.concatenate(columns, axis=-1)


def class_of(probability: np.ndarray) -> np.ndarray:
    """The likeliest class, int [C]: of probabilities of class 1 [C], or of each class [C, K]."""
    if probability.ndim == 1:
        return (probability > 0.5).astype(int)
    return probability.argmax(axis=1)


def every_probability(probability: np.ndarray) -> np.ndarray:
    """The probability of each class [C, K], of two from that of class 1 [C] or [C, 1]."""
    if probability.ndim == 2 and probability.shape[1] > 1:
        return probability
    return np.stack([1 - probability.ravel(), probability.ravel()], axis=1)


def deviations(
    predicted: np.ndarray, target: np.ndarray, properties: Sequence[Property]
) -> np.ndarray:
    """How far predictions [C, V] are from the truth [C, T], float64 [C, T]; NaN if it is unknown.

    The absolute error of a regression; of a classification what the probability of the true class
    lacks of 1.
    """
    columns = []
    for t, (p, own) in enumerate(zip(properties, value_slices(properties), strict=True)):
        truth, values = target[:, t], predicted[:, own]
        if p.num_values == 1:
            columns.append(np.abs(values[:, 0] - truth))
        else:
            number = np.nan_to_num(truth).astype(int)[:, None]
            right = np.take_along_axis(values, number, axis=1)[:, 0]
            columns.append(np.where(np.isnan(truth), np.nan, 1 - right))
    return np.stack(columns, axis=1)


class Metric(NamedTuple):
    """A figure of merit, of true values [n] and predicted ones [n].

    Of classes: of their true numbers [n], and of probabilities as `class_of` takes them.
    """

    label: str
    of: Callable[[np.ndarray, np.ndarray], float]


def _r2(target: np.ndarray, predicted: np.ndarray) -> float:
    spread = np.square(target - target.mean()).sum()
    return 1 - np.square(predicted - target).sum() / spread if spread > 0 else np.nan


def _auc(target: np.ndarray, probability: np.ndarray) -> float:
    # Imported where needed: it costs a second and 90 MB, and regressions do without.
    from sklearn.metrics import roc_auc_score

    if len(np.unique(target)) < 2:
        return np.nan
    if probability.ndim == 1:
        return roc_auc_score(target, probability)
    # One against the rest, the mean over the classes that there are.
    present = np.unique(target).astype(int)
    return float(np.mean([roc_auc_score(target == k, probability[:, k]) for k in present]))


def _log_loss(target: np.ndarray, probability: np.ndarray, weights: Sequence[float] = ()) -> float:
    """The log loss; with weights of the classes their weighted mean."""
    from sklearn.metrics import log_loss

    every = every_probability(probability)
    own = np.asarray(weights)[target.astype(int)] if weights else None
    if own is not None and not own.any():
        return np.nan
    return log_loss(target, every, labels=range(every.shape[1]), sample_weight=own)


def _balanced_accuracy(target: np.ndarray, probability: np.ndarray) -> float:
    from sklearn.metrics import recall_score

    # Not balanced_accuracy_score, which warns of a class that is predicted and not there.
    said, present = class_of(probability), np.unique(target)
    return recall_score(target, said, labels=present, average="macro", zero_division=0)


def _f1(target: np.ndarray, probability: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    said = class_of(probability)
    if probability.ndim == 1:
        return f1_score(target, said, zero_division=0)
    present = np.unique(np.concatenate([target, said]))
    return f1_score(target, said, labels=present, average="macro", zero_division=0)


METRICS: dict[str, dict[str, Metric]] = {
    "regression": {
        "mae": Metric("MAE", lambda y, z: np.abs(z - y).mean()),
        "rmse": Metric("RMSE", lambda y, z: np.sqrt(np.square(z - y).mean())),
        "r2": Metric("R²", _r2),
    },
    "classification": {
        "accuracy": Metric("accuracy", lambda y, z: np.mean(class_of(z) == y)),
        "balanced_accuracy": Metric("balanced accuracy", _balanced_accuracy),
        "f1": Metric("F1", _f1),
        "auc": Metric("AUC", _auc),
        "log_loss": Metric("log loss", _log_loss),
    },
}
"""By task and name; whatever stands here is in summaries, in `evaluate` and in reports.

F1 is that of class 1, of more than two classes their mean; AUC then is the mean of each class'
against the rest.
"""


def metrics(
    predicted: np.ndarray, target: np.ndarray, properties: Sequence[Property]
) -> dict[str, float]:
    """The `METRICS` over the known targets [C, T], of `predicted` values [C, V].

    Those of a regression are of the transformed values. With more than one property each name ends
    in the property's. What cannot be computed (no targets, one class only) is NaN.
    """
    result: dict[str, float] = {}
    for t, p in enumerate(properties):
        y, z = known_pairs(predicted, target, properties, t)
        ending = ending_of(p, properties)
        for name, metric in METRICS[p.task].items():
            result[name + ending] = float(metric.of(y, z)) if len(y) else np.nan
    return result


def known_pairs(
    predicted: np.ndarray, target: np.ndarray, properties: Sequence[Property], t: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of property number t the known targets, float64 [n], and their predictions [n] or [n, K]."""
    known = ~np.isnan(target[:, t])
    values = predicted[known, value_slices(properties)[t]].astype(np.float64)
    return target[known, t].astype(np.float64), values[:, 0] if values.shape[1] == 1 else values


def confusion(target: np.ndarray, probability: np.ndarray, p: Property) -> np.ndarray:
    """How often each class [row] is taken for each [column]: int [K, K]; as of `known_pairs`."""
    from sklearn.metrics import confusion_matrix

    every = range(p.num_outputs)
    if not len(target):
        return np.zeros((len(every), len(every)), int)
    return confusion_matrix(target.astype(int), class_of(probability), labels=every)


def selection_score(
    predicted: np.ndarray, target: np.ndarray, properties: Sequence[Property], scale: np.ndarray
) -> float:
    """What early stopping and the best checkpoint go by; smaller is better.

    The mean absolute error of a single regression (section 2.4: "lowest validation error"), the log
    loss of a single classification, with its weights of classes. Of several properties: the mean,
    each regression's error in units of `scale` [T], the training targets' mean deviation.
    """
    scores = []
    for t, p in enumerate(properties):
        y, z = known_pairs(predicted, target, properties, t)
        if not len(y):
            scores.append(np.nan)
        elif p.task == "classification":
            scores.append(_log_loss(y, z, p.class_weights))
        else:
            mae = METRICS[p.task]["mae"].of(y, z)
            scores.append(mae / (scale[t] if len(properties) > 1 else 1.0))
    return float(np.nanmean(scores))
