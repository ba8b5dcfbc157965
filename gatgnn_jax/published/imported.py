"""What a checkpoint of another program is turned into: settings and weights of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from data_prep.config import GraphConfig
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.models.networks import new_network

Path = tuple[Any, ...]
"""Where a variable stands in our model: attribute names and list indices."""

CLASSES = 2
"""Logits of a classification, in both published programs."""


@dataclass(frozen=True)
class Imported:
    """What a state dict says.

    Attributes:
        model: the network.
        graph: the published graphs, fake edges included.
        num_outputs: 1, or 2 logits of a classification.
        weights: parameters and running statistics.
        unused: the tensors that the network has no use for, by name.
    """

    model: ModelConfig
    graph: GraphConfig
    num_outputs: int
    weights: ModelState
    unused: dict[str, np.ndarray]


def network_state(
    model: ModelConfig, graph: GraphConfig, num_outputs: int, values: Mapping[Path, np.ndarray]
) -> ModelState:
    """The network's parameters and running statistics, with the values at their paths."""
    network = nnx.eval_shape(lambda: new_network(model, graph, num_outputs, rngs=nnx.Rngs(0)))
    _, *states = nnx.split(network, nnx.Param, nnx.BatchStat)

    def fill(state: nnx.State) -> nnx.State:
        variables = nnx.to_flat_state(state)
        return nnx.from_flat_state([(p, v.replace(jnp.asarray(values[p]))) for p, v in variables])

    return ModelState(*map(fill, states))
