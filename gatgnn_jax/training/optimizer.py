"""AdamW with its learning-rate schedule, and which parts of a network keep their weights."""

from collections.abc import Sequence
from typing import Any

import jax
import optax

from data_prep.errors import UserError
from gatgnn_jax.config import TrainConfig

ALIASES = {"agat": "layers", "embed": "embed_"}
"""What `freeze` calls parts of a model; any other name is a parameter's own, or starts it."""


def make_optimizer(config: TrainConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """AdamW (decay on every parameter, as torch's) with a piecewise constant learning rate."""
    drops = {epoch * steps_per_epoch: config.decay for epoch in config.milestone_epochs}
    schedule = optax.piecewise_constant_schedule(config.learning_rate, drops)
    # As one vector: an update an array would be half of all the kernels that XLA compiles.
    optimizer = optax.flatten(optax.adamw(schedule, weight_decay=config.weight_decay))
    return freeze(optimizer, config.frozen_parts) if config.frozen_parts else optimizer


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
    return next(str(step.key) for step in path if str(step.key) != "members")
