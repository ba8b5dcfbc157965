"""GATGNN (Louis et al. 2020): embed → attention layers → global attention → readout."""

from typing import Any

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.elements import COMPOSITION_SIZE, element_features
from gatgnn_jax.batches.layout import Neighborhoods
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import (
    Output,
    constructor_options,
    in_own_precision,
    linear,
    read_out,
    readout_layers,
)
from gatgnn_jax.models.global_attention import Atoms, atom_weights, new_global_attention
from gatgnn_jax.models.layers import LAYERS
from gatgnn_jax.models.ops import GaussianBasis


class GATGNN(nnx.Module):
    """The network of Figure 1, for any number of layers, heads, neurons and outputs."""

    def __init__(
        self, config: ModelConfig, graph: GraphConfig, num_outputs: int, *, rngs: nnx.Rngs
    ):
        """`num_outputs` counts one for a regression and one for each class of a classification."""
        neurons = config.neurons
        self.precision = config.precision
        self.expand = GaussianBasis(graph.radius, config.gaussian_step)

        self.embed_atom = linear(element_features().shape[1], neurons, rngs)
        layer, options = _layer_and_options(config)
        if getattr(layer, "reads_bonds", True):
            self.embed_bond = linear(len(self.expand), neurons, rngs)
        self.layers = nnx.List(
            [layer(neurons, config.heads, **options, rngs=rngs) for _ in range(config.num_layers)]
        )
        self.global_attention = new_global_attention(config, rngs)
        if config.concat_composition:
            self.embed_composition = linear(COMPOSITION_SIZE, neurons, rngs)
        width = neurons * (2 if config.concat_composition else 1)
        self.hidden, self.out = readout_layers(width, config, num_outputs, rngs)

    @in_own_precision
    def __call__(
        self,
        graph: jraph.GraphsTuple,
        *,
        train: bool = False,
        key: jax.Array | None = None,
        axis_name: str | None = None,
    ) -> Output:
        """Predict every crystal of a batch (laid out as in `gatgnn_jax.batches.layout`).

        Args:
            graph: the batch.
            train: batch statistics instead of running ones.
            key: for random clusters; in evaluation a fixed key makes predictions repeatable.
            axis_name: devices' axis over which batch statistics are summed.
        """
        neighborhoods = Neighborhoods.of(graph, axis_name)

        # Every element's embedding, then a look-up: 101 rows of the matmul instead of one a node.
        x = self.embed_atom(jnp.asarray(element_features()))[graph.nodes["atomic_number"]]
        e = None
        if hasattr(self, "embed_bond"):
            gaussians = self.expand(graph.globals["bond_distance"])
            e = nnx.leaky_relu(self.embed_bond(gaussians), 0.2)
        edge_attention = []
        for layer in self.layers:
            x, attention = layer(x, e, neighborhoods, train=train)
            edge_attention.append(attention)

        atoms = Atoms.of(graph, train)
        x = x[graph.globals["atom_node"]]
        weight = atom_weights(self.global_attention, x, atoms, key)
        if self.global_attention is None:
            # XLA would put the last layer into the loop that sums the atoms, one by one: a CPU
            # trains a third faster without.
            x = jax.lax.optimization_barrier(x)
        crystal_vector = atoms.sum(weight[:, None] * x)

        y = crystal_vector
        if hasattr(self, "embed_composition"):
            composition = nnx.leaky_relu(self.embed_composition(atoms.composition), 0.2)
            y = jnp.concatenate([y, composition], -1)
        prediction = read_out(y, self.hidden, self.out)
        return Output(prediction, weight, crystal_vector, tuple(edge_attention))


def _layer_and_options(config: ModelConfig) -> tuple[type[Any], dict[str, Any]]:
    """The class of the layers, and what its constructor is given beside its sizes."""
    layer = LAYERS[config.model]
    options = constructor_options(layer, config.layer_options)
    if config.residual:
        try:
            options |= constructor_options(layer, ["residual=True"])
        except ValueError:
            raise ValueError(f"{config.model} has no --residual to choose: leave it out") from None
    return layer, options
