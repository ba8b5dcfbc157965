"""From settings to a network: the one place where a model's name becomes a module."""

from flax import nnx

from data_prep.config import GraphConfig
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import Network
from gatgnn_jax.models.cgcnn import CGCNN
from gatgnn_jax.models.gated import GatedGATGNN
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.models.megnet import MEGNet

NETWORKS = {
    "gatgnn": GATGNN,
    "gat": GATGNN,
    "gated-gatgnn": GatedGATGNN,
    "cgcnn": CGCNN,
    "megnet": MEGNet,
}

ATTENTIVE = ("gatgnn", "gat", "gated-gatgnn")
"""Those whose layers attend to neighbours, so that there is something to explain."""


def new_network(
    config: ModelConfig, graph: GraphConfig, num_outputs: int, *, rngs: nnx.Rngs
) -> Network:
    """The network with its initial weights, for graphs of those settings.

    `num_outputs` counts one for a regression and one for each class of a classification.
    """
    return NETWORKS[config.model](config, graph, num_outputs, rngs=rngs)
