"""The optimizer, the schedule of its rate, and which parts of a network keep their weights."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from data_prep.errors import UserError
from gatgnn_jax.config import TrainConfig

ALIASES = {"agat": "layers", "embed": "embed_"}
"""What `freeze` calls parts of a model; any other name is a parameter's own, or starts it."""


NEW_PART = "out"
"""What a run has of its own that starts from one of another property: the last layer."""

MOMENTUM = 0.9
"""Of SGD: how much of the last step's direction the next one keeps."""

WARM_UP = 0.3
"""The share of a cycle's steps in which the learning rate rises, from a 25th of its peak."""


def learning_rate(config: TrainConfig, steps_per_epoch: int) -> optax.Schedule:
    """The learning rate of each step, counted from 0: what training uses and what it logs."""
    peak, steps = config.learning_rate, config.epochs * steps_per_epoch
    match config.schedule:
        case "piecewise":
            # In a short training two milestones may be one epoch.
            count = Counter(config.milestone_epochs)
            drops = {epoch * steps_per_epoch: config.decay**n for epoch, n in count.items()}
            return optax.piecewise_constant_schedule(peak, drops)
        case "one-cycle":  # Smith & Topin 2018, with the shape of torch's OneCycleLR
            return optax.cosine_onecycle_schedule(steps, peak, WARM_UP)
        case "cosine":
            return optax.cosine_decay_schedule(peak, steps)


def rate_of_epoch(config: TrainConfig, steps_per_epoch: int, epoch: int) -> float:
    """The learning rate of the first step of an epoch (counted from 0), as tables show it."""
    rate = learning_rate(config, steps_per_epoch)(epoch * steps_per_epoch)
    return float(f"{float(rate):.6g}")  # float32 has seven digits, the last of them noise


def make_optimizer(config: TrainConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """What the settings name, with their schedule and decay."""
    schedule = learning_rate(config, steps_per_epoch)
    optimizer = _optimizer(config, schedule)
    if config.taken_rate < 1 or config.warm_up:
        alone = round(config.warm_up * config.epochs) * steps_per_epoch

        def of_taken(step: jax.Array) -> jax.Array:
            # Weight decay counts by the rate too, so that at 0 nothing moves.
            return jnp.where(step < alone, 0, schedule(step) * config.taken_rate)

        kinds = {"new": optimizer, "taken": _optimizer(config, of_taken)}
        optimizer = optax.partition(kinds, _new_or_taken)
    return freeze(optimizer, config.frozen_parts) if config.frozen_parts else optimizer


def _optimizer(config: TrainConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    mask = None if config.decay_norms else decayed
    match config.optimizer:
        case "adamw":
            optimizer = optax.adamw(schedule, weight_decay=config.weight_decay, mask=mask)
        case "sgd":  # with AdamW's decay, beside the gradient: SGDW of Loshchilov & Hutter 2019
            optimizer = optax.chain(
                optax.trace(MOMENTUM),
                optax.add_decayed_weights(config.weight_decay, mask),
                optax.scale_by_learning_rate(schedule),
            )
    # As one vector: an update an array would be half of all the kernels that XLA compiles.
    return optimizer if mask else optax.flatten(optimizer)


def _new_or_taken(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "new" if part_of(path) == NEW_PART else "taken", params
    )


def decayed(params: Any) -> Any:
    """For each parameter whether it is neither a bias nor of a batch norm."""

    def is_matrix(path: Any, _: Any) -> bool:
        name = [str(step.key) for step in path if hasattr(step, "key")][-1]
        return name not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(is_matrix, params)


def freeze(optimizer: optax.GradientTransformation, parts: Sequence[str]) -> Any:
    """The optimizer with no updates for the parts named (as in `ALIASES`).

    Only parameters stay as they are; running statistics of batch norms still follow the data.

    Raises:
        UserError: (on init) the model has no such part.
    """
    prefixes = tuple(ALIASES.get(part, part) for part in parts)

    def labels(params: Any) -> Any:
        paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        names = sorted({part_of(path) for path in paths})
        for part, prefix in zip(parts, prefixes, strict=True):
            if not any(name.startswith(prefix) for name in names):
                raise UserError(f"--freeze {part}: choose from {', '.join([*ALIASES, *names])}")
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "frozen" if part_of(path).startswith(prefixes) else "trained", params
        )

    return optax.partition({"trained": optimizer, "frozen": optax.set_to_zero()}, labels)


def part_of(path: Any) -> str:
    """The attribute of the model, or of an ensemble's members, that a leaf belongs to."""
    names = (step.key for step in path if isinstance(step.key, str))  # others number networks
    return next(name for name in names if name not in ("members", "groups"))
