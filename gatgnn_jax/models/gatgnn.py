"""GATGNN (Louis et al. 2020): embed → attention layers → global attention → readout."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from data_prep.clusters import N_CLUSTER
from data_prep.config import GraphConfig
from data_prep.elements import COMPOSITION_SIZE, element_features
from gatgnn_jax.batches.layout import Neighborhoods
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import Output, linear
from gatgnn_jax.models.global_attention import (
    Atoms,
    ClusterAttention,
    CompositionAttention,
    LearnableClusterAttention,
)
from gatgnn_jax.models.layers import AGATLayer, GATLayer
from gatgnn_jax.models.ops import gaussian_expansion, softplus

LAYERS = {"gatgnn": AGATLayer, "gat": GATLayer}


class GATGNN(nnx.Module):
    """The network of Figure 1, for any number of layers, heads, neurons and outputs."""

    def __init__(
        self, config: ModelConfig, graph: GraphConfig, num_outputs: int, *, rngs: nnx.Rngs
    ):
        """`num_outputs` counts one for a regression and one for each class of a classification."""
        neurons = config.neurons
        self.gaussian_centers = tuple(graph.gaussian_centers.tolist())
        self.gaussian_step = graph.gaussian_step

        self.embed_atom = linear(element_features().shape[1], neurons, rngs)
        if config.model != "gat":
            self.embed_bond = linear(len(self.gaussian_centers), neurons, rngs)
        options = {"residual": True} if config.residual else {}
        self.layers = nnx.List(
            [
                LAYERS[config.model](neurons, config.heads, **options, rngs=rngs)
                for _ in range(config.num_layers)
            ]
        )
        self.global_attention = _global_attention(config, rngs)
        if config.concat_composition:
            self.embed_composition = linear(COMPOSITION_SIZE, neurons, rngs)
        width = neurons * (2 if config.concat_composition else 1)
        widths = [width] + config.hidden_layers * [config.hidden_neurons or width]
        self.hidden = nnx.List([linear(a, b, rngs) for a, b in pairwise(widths)])
        self.out = linear(widths[-1], num_outputs, rngs)

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
            distance = graph.globals["bond_distance"]
            gaussians = gaussian_expansion(distance, self.gaussian_centers, self.gaussian_step)
            e = nnx.leaky_relu(self.embed_bond(gaussians), 0.2)
        edge_attention = []
        for layer in self.layers:
            x, attention = layer(x, e, neighborhoods, train=train)
            edge_attention.append(attention)

        atoms = self._atoms(graph, train)
        x = x[graph.globals["atom_node"]]
        if self.global_attention is None:
            weight = jnp.ones(x.shape[0])
            # XLA would put the last layer into the loop that sums the atoms, one by one: a CPU
            # trains a third faster without.
            x = jax.lax.optimization_barrier(x)
        else:
            weight = atoms.softmax(self.global_attention(x, atoms, key))
        crystal_vector = atoms.sum(weight[:, None] * x)

        y = crystal_vector
        if hasattr(self, "embed_composition"):
            composition = nnx.leaky_relu(self.embed_composition(atoms.composition), 0.2)
            y = jnp.concatenate([y, composition], -1)
        for layer in self.hidden:
            y = softplus(layer(y))
        return Output(self.out(y), weight, crystal_vector, tuple(edge_attention))

    def _atoms(self, graph: jraph.GraphsTuple, train: bool) -> Atoms:
        num_crystals = graph.n_node.shape[0]
        crystal = graph.globals["atom_graph"]
        element = graph.nodes["atomic_number"][graph.globals["atom_node"]]
        # Element Z at Z - 1; padding (Z = 0) lands in the padding graph and is never read.
        slot = crystal * COMPOSITION_SIZE + jnp.maximum(element, 1) - 1
        count = jax.ops.segment_sum(
            jnp.ones(slot.shape[0]), slot, num_crystals * COMPOSITION_SIZE
        ).reshape(num_crystals, COMPOSITION_SIZE)
        return Atoms(
            crystal=crystal,
            index=graph.globals["atom_number" if train else "atom_index"],
            cluster=graph.globals["cluster"],
            composition=count / jnp.maximum(count.sum(1, keepdims=True), 1),
            num_crystals=num_crystals,
            num_clusters=N_CLUSTER,
        )


def _global_attention(
    config: ModelConfig, rngs: nnx.Rngs
) -> CompositionAttention | ClusterAttention | LearnableClusterAttention | None:
    match config.global_attention:
        case "composition":
            return CompositionAttention(config.neurons, COMPOSITION_SIZE, rngs=rngs)
        case "cluster-fixed" | "cluster-random":
            is_random = config.global_attention == "cluster-random"
            return ClusterAttention(config.neurons, random=is_random, rngs=rngs)
        case "cluster-learnable":
            return LearnableClusterAttention(config.neurons, N_CLUSTER, rngs=rngs)
        case "none":
            return None
