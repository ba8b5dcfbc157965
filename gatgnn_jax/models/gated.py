"""Gated GATGNN: messages with a gate and attention, bonds that learn from their ends.

Of GATGNN it has the attention over neighbours and the global attention over atoms, of CGCNN the
gate on every feature and the sum that grows with the neighbours, of MEGNet (and the edge-gated
convolutions of Bresson & Laurent, 2017) bonds that every layer updates.
"""

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.elements import element_features
from gatgnn_jax.batches.layout import Neighborhoods
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import Output, in_own_precision, linear, read_out, readout_layers
from gatgnn_jax.models.batch_norm import BatchNorm
from gatgnn_jax.models.global_attention import Atoms, atom_weights, new_global_attention
from gatgnn_jax.models.ops import GaussianBasis, glorot_uniform, softplus


class GatedAttentionLayer(nnx.Module):
    """Gated, attentive messages between atoms, and an update of the bonds between them.

    With ‖ for concatenation, σ the sigmoid, ⊙ the product feature by feature, and n_i neighbours:

        [c_ij ‖ g_ij ‖ b_ij] = BatchNorm([x_i ‖ x_j ‖ e_ij] W)        core, gate, bond
        α_ij = softmax_j(softplus(c_ij) · a)                          in each head
        x_i  ← softplus(x_i + BatchNorm(Σ_j n_i α_ij σ(g_ij) ⊙ softplus(c_ij)))
        e_ij ← e_ij + silu(b_ij)

    Heads share out the features: each has a softmax for its own F / H of them. As α sums to 1, n_i
    keeps what a mean would lose: how many neighbours there are. `[x_i ‖ x_j ‖ e] W` is computed as
    `x_i W_1 + x_j W_2 + e W_3`, so that two of the matmuls take one row a node, not one an edge. It
    has no bias, which the batch norm would take away again.
    """

    def __init__(self, neurons: int, heads: int, *, updates_bonds: bool, rngs: nnx.Rngs):
        """`heads` divides `neurons`; a last layer need not update bonds that nobody reads."""
        width = (3 if updates_bonds else 2) * neurons
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (3 * neurons, width)))
        self.attention = nnx.Param(glorot_uniform(rngs.params(), (heads, neurons // heads)))
        self.edge_norm = BatchNorm(width)
        self.norm = BatchNorm(neurons)

    def __call__(
        self,
        x: jax.Array,
        e: jax.Array,
        neighborhoods: Neighborhoods,
        *,
        train: bool,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """One round of messages.

        Args:
            x: node features [N, F].
            e: edge features [edges, F].
            neighborhoods: where the edges start and end, and what nodes and edges stand for.
            train: use the batch's statistics and update the running ones.

        Returns:
            New node features [N, F], new edge features [edges, F], and the attention α of each edge
            and head [edges, H], which sums to 1 over the edges of a node.
        """
        axis_name = neighborhoods.axis_name
        centre, neighbour, bond = jnp.split(self.kernel[...], 3)
        z = neighborhoods.to_receivers(x @ centre) + neighborhoods.to_senders(x @ neighbour)
        z += e @ bond
        weight = neighborhoods.total_edge_weight
        z = self.edge_norm(z, weight, train=train, axis_name=axis_name)
        core, gate, *update = jnp.split(z, z.shape[-1] // x.shape[-1], axis=-1)

        core = softplus(core)
        by_head = (*core.shape[:-1], *self.attention.shape)
        logits = (core.reshape(by_head) * self.attention[...]).sum(-1)
        attention = neighborhoods.softmax(logits)
        num_neighbors = neighborhoods.sum(neighborhoods.edge_weight[..., None])
        share = attention * neighborhoods.to_receivers(num_neighbors)
        message = (core * jax.nn.sigmoid(gate)).reshape(by_head) * share[..., None]
        total = neighborhoods.sum(message.reshape(core.shape))
        total = self.norm(total, neighborhoods.node_weight, train=train, axis_name=axis_name)
        if update:
            e = e + jax.nn.silu(update[0])
        return softplus(x + total), e, attention


class GatedGATGNN(nnx.Module):
    """Embed → gated attention layers → mean and attended sum of the atoms → fully connected layers.

    The crystal vector has the mean of the atoms beside GATGNN's sum weighted by global attention,
    and passes a softplus, as CGCNN's does.
    """

    def __init__(
        self, config: ModelConfig, graph: GraphConfig, num_outputs: int, *, rngs: nnx.Rngs
    ):
        """`num_outputs` counts one for a regression and one for each class of a classification."""
        self.precision = config.precision
        self.expand = GaussianBasis(graph.radius, config.gaussian_step)

        neurons, last = config.neurons, config.num_layers - 1
        if neurons % config.heads:
            raise ValueError(
                f"heads is {config.heads}: {config.model} divides its {neurons} neurons among them"
            )
        self.embed_atom = linear(element_features().shape[1], neurons, rngs)
        self.embed_bond = linear(len(self.expand), neurons, rngs)
        self.layers = nnx.List(
            [
                GatedAttentionLayer(neurons, config.heads, updates_bonds=i < last, rngs=rngs)
                for i in range(config.num_layers)
            ]
        )
        self.global_attention = new_global_attention(config, rngs)
        self.hidden, self.out = readout_layers(2 * neurons, config, num_outputs, rngs)

    @in_own_precision
    def __call__(
        self,
        graph: jraph.GraphsTuple,
        *,
        train: bool = False,
        key: jax.Array | None = None,
        axis_name: str | None = None,
    ) -> Output:
        """Predict every crystal of a batch; arguments as those of `models.base.Network`."""
        neighborhoods = Neighborhoods.of(graph, axis_name)

        x = self.embed_atom(jnp.asarray(element_features()))[graph.nodes["atomic_number"]]
        gaussians = self.expand(graph.globals["bond_distance"])
        # One row an edge from here on: what a bond learns depends on its two ends.
        e = neighborhoods.to_edges(nnx.leaky_relu(self.embed_bond(gaussians), 0.2))
        edge_attention = []
        for layer in self.layers:
            x, e, attention = layer(x, e, neighborhoods, train=train)
            edge_attention.append(attention)

        atoms = Atoms.of(graph, train)
        # Without the barrier XLA puts the last layer into the loops that sum the atoms one by one.
        x = jax.lax.optimization_barrier(x[graph.globals["atom_node"]])
        weight = atom_weights(self.global_attention, x, atoms, key)
        num_atoms = jnp.maximum(atoms.sum(jnp.ones(x.shape[0])), 1)
        mean = atoms.sum(x) / num_atoms[:, None]
        crystal_vector = jnp.concatenate([mean, atoms.sum(weight[:, None] * x)], -1)

        prediction = read_out(softplus(crystal_vector), self.hidden, self.out)
        return Output(prediction, weight, crystal_vector, tuple(edge_attention))
