"""Starting from a trained model, and keeping parts of a model as they are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp

from data_prep.errors import UserError
from data_prep.properties import Property
from gatgnn_jax.config import as_option
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.optimizer import NEW_PART, part_of


def trained_run(path: Path, config: RunConfig) -> RunDirectory:
    """The run to start from, whose graphs and network must be those of the new run's settings.

    Raises:
        UserError: no run, or one of other settings.
    """
    run = RunDirectory.open(path)
    trained = run.config()
    model = replace(trained.model, precision=config.model.precision)  # no part of the weights
    for own, other in ((config.model, model), (config.graph, trained.graph)):
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
            something else than the trained one.

    Members start from the trained run's, which are taken in turn if they are fewer.

    Raises:
        UserError: no trained run, or one of other settings.
    """
    trained, _, model = trained_run(path, config).load_best()
    own, theirs = config.train.ensemble, trained.train.ensemble
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(model)]
    if theirs > 1:
        leaves = [leaf[jnp.arange(own) % theirs if own > 1 else 0] for leaf in leaves]
    elif own > 1:  # each its own copy
        leaves = [jnp.broadcast_to(leaf, (own, *leaf.shape)) for leaf in leaves]
    model = jax.tree.unflatten(jax.tree.structure(start), leaves)
    params = model.params
    if not same_properties(config.properties, trained.properties):
        params = jax.tree_util.tree_map_with_path(
            lambda path, own, taken: own if part_of(path) == NEW_PART else taken,
            start.params,
            params,
        )
    return ModelState(params, model.stats)
