"""From settings to a network: the one place where a model's name becomes a module.

Every network is called alike, `network(graph, train=..., key=..., axis_name=...) → Output`
(see `gatgnn_jax.model`), so that training, prediction and checkpoints know nothing of which it is.
"""

from flax import nnx

from data_prep.config import GraphConfig
from gatgnn_jax.cgcnn import CGCNN
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.megnet import MEGNet
from gatgnn_jax.model import GATGNN

Network = GATGNN | CGCNN | MEGNet


def new_network(
    config: ModelConfig, graph: GraphConfig, num_outputs: int, *, rngs: nnx.Rngs
) -> Network:
    """The network with its initial weights, for graphs of those settings.

    `num_outputs` counts one for a regression and one for each class of a classification.
    """
    match config.model:
        case "cgcnn":
            return CGCNN(config, graph, num_outputs, rngs=rngs)
        case "megnet":
            return MEGNet(config, graph, num_outputs, rngs=rngs)
        case _:
            return GATGNN(config, graph, num_outputs, rngs=rngs)
