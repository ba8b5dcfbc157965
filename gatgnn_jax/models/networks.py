"""From settings to a network: the one place where a model's name becomes a module."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flax import nnx

from data_prep.config import GraphConfig
from gatgnn_jax.config import ATTENTION_ONLY, ModelConfig
from gatgnn_jax.models.base import Network
from gatgnn_jax.models.cgcnn import CGCNN
from gatgnn_jax.models.gated import GatedGATGNN
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.models.global_attention import GLOBAL_ATTENTIONS
from gatgnn_jax.models.layers import LAYERS
from gatgnn_jax.models.megnet import MEGNet


@dataclass(frozen=True)
class Kind:
    """A network that can be chosen by name.

    Attributes:
        network: its class.
        fixed: settings that cannot be chosen in it, and what stands there instead.
        attentive: whether its layers attend to neighbours, so that there is something to explain.
    """

    network: Callable[..., Network]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    attentive: bool = False


NETWORKS: dict[str, Kind] = {
    "gated-gatgnn": Kind(
        GatedGATGNN, {"residual": False, "concat_composition": False}, attentive=True
    ),
    "cgcnn": Kind(CGCNN, ATTENTION_ONLY),
    "megnet": Kind(MEGNet, ATTENTION_ONLY | {"hidden_layers": 2, "hidden_neurons": 0}),
}
"""Beside GATGNN, which goes by the names of its layers (`layers.LAYERS`)."""


def kind_of(name: str) -> Kind:
    """The network of a name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name in LAYERS:
        return Kind(GATGNN, attentive=True)
    if name in NETWORKS:
        return NETWORKS[name]
    raise ValueError(
        f"model is '{name}': choose one of {', '.join([*LAYERS, *NETWORKS])}, or name a layer as "
        "FILE.py:CLASS"
    )


def graph_for(models: Iterable[ModelConfig], graph: GraphConfig) -> GraphConfig:
    """The graph settings with all that models need: clusters where one attends to them."""
    attentions = [GLOBAL_ATTENTIONS.get(model.global_attention) for model in models]
    needed = any(attention is not None and attention.clusters for attention in attentions)
    return replace(graph, clusters=graph.clusters or needed)


def new_network(
    config: ModelConfig, graph: GraphConfig, num_outputs: int, *, rngs: nnx.Rngs
) -> Network:
    """The network with its initial weights, for graphs of those settings.

    `num_outputs` counts one for a regression and one for each class of a classification.

    Raises:
        ValueError: there is no such network, or it does not have what the settings ask for.
    """
    kind = kind_of(config.model)
    for name, value in kind.fixed.items():
        if getattr(config, name) != value:
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"{config.model} has no {option} to choose: leave it out ({name} is {value} here)"
            )
    if kind.network is not GATGNN and config.layer_options:
        raise ValueError(f"{config.model} has no --layer-options to choose: leave them out")
    return kind.network(config, graph, num_outputs, rngs=rngs)
