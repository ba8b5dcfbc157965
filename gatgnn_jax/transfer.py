"""Starting from a trained model, and keeping parts of a model as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from data_prep.errors import UserError
from data_prep.properties import Property
from gatgnn_jax.config import as_option
from gatgnn_jax.run_directory import ModelState, RunConfig, RunDirectory

ALIASES = {"agat": "layers", "embed": "embed_"}
"""What `freeze` calls parts of a model; any other name is a parameter's own, or starts it."""


def trained_run(path: Path, config: RunConfig) -> RunDirectory:
    """The run to start from, whose graphs and network must be those of the new run's settings.

    Raises:
        UserError: no run, or one of other settings.
    """
    run = RunDirectory.open(path)
    trained = run.config()
    if trained.train.ensemble > 1:
        raise UserError(f"--init-from {path} is an ensemble: give a run of a single network")
    for own, other in ((config.graph, trained.graph), (config.model, trained.model)):
        if different := [
            as_option(name, getattr(other, name))
            for name in vars(own)
            if getattr(own, name) != getattr(other, name)
        ]:
            raise UserError(f"--init-from {path} was trained with {' '.join(different)}: add that")
    return run


def same_properties(own: Sequence[Property], others: Sequence[Property]) -> bool:
    """Whether two models predict the same, output for output."""
    return len(own) == len(others) and all(map(Property.is_same_as, own, others))


def initial_from(path: Path, config: RunConfig, start: ModelState) -> ModelState:
    """A new model's weights, taken from a trained run.

    Args:
        path: the trained run.
        config: the new run's settings.
        start: the new model's own initial weights; its last layer keeps them if it predicts
            something else than the trained one. The members of an ensemble differ in it alone.

    Raises:
        UserError: no trained run, or one of other settings.
    """
    trained, _, model = trained_run(path, config).load_best()
    members = config.train.ensemble
    if members > 1:  # each its own copy
        model = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (members, *leaf.shape)), model)
        structures = jax.tree.structure(start)
        model = jax.tree.unflatten(structures, jax.tree.leaves(model))
    params = model.params
    if not same_properties(config.properties, trained.properties):
        params = jax.tree_util.tree_map_with_path(
            lambda path, own, taken: own if _part(path) == "out" else taken, start.params, params
        )
    return ModelState(params, model.stats)


def freeze(optimizer: optax.GradientTransformation, parts: Sequence[str]) -> Any:
    """The optimizer with no updates for the parts named (as in `ALIASES`).

    Only parameters stay as they are; running statistics of batch norms still follow the data.

    Raises:
        UserError: (on init) the model has no such part.
    """
    prefixes = tuple(ALIASES.get(part, part) for part in parts)

    def labels(params: Any) -> Any:
        paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        names = sorted({_part(path) for path in paths})
        for part, prefix in zip(parts, prefixes, strict=True):
            if not any(name.startswith(prefix) for name in names):
                raise UserError(f"--freeze {part}: choose from {', '.join([*ALIASES, *names])}")
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "frozen" if _part(path).startswith(prefixes) else "trained", params
        )

    return optax.partition({"trained": optimizer, "frozen": optax.set_to_zero()}, labels)


def _part(path: Any) -> str:
    """The attribute of the model, or of an ensemble's members, that a leaf belongs to."""
    return next(str(step.key) for step in path if str(step.key) != "members")
