"""MEGNet (Chen et al., Chem. Mater. 31, 3564 (2019)): edges, nodes and a state update each other.

With F features throughout (published: 32), the published program's layers are

    element → 16, bond → Gaussians                          embed
    dense 2F → F of nodes, bonds and state                  before the first block
    3 blocks: [dense 2F → F] → edge, node, state updates, and the block's input added to its output
    set2set of the nodes and of the edges, F/2 each         readout
    [nodes ‖ edges ‖ state] → dense F → F/2 → output

with `softplus2(x) = softplus(x) - log 2` behind every layer but the last one of an update. Crystals
come without a state of their own, so that it starts as one learned vector, the same for all.
"""

import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.elements import MAX_ATOMIC_NUMBER
from gatgnn_jax.batches.layout import Neighborhoods, crystal_of_nodes
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import Output, in_own_precision, linear
from gatgnn_jax.models.ops import GaussianBasis, glorot_uniform, softplus

SET2SET_PASSES = 3


def softplus2(x: jax.Array) -> jax.Array:
    """A softplus that is 0 at 0."""
    return softplus(x) - math.log(2)


class Dense(nnx.Module):
    """Layers of the given widths, softplus2 behind each."""

    def __init__(self, widths: list[int], *, rngs: nnx.Rngs):
        self.layers = nnx.List([linear(a, b, rngs) for a, b in pairwise(widths)])

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., first width] → [..., last width]."""
        for layer in self.layers:
            x = softplus2(layer(x))
        return x


class Update(nnx.Module):
    """φ(part_1 ‖ part_2 ‖ …): layers 2F → 2F → F, the last one linear (eq. 1, 3 and 6).

    In two steps, so that each part meets its share of the first layer's weights where it has the
    fewest rows, and is moved and added to the others afterwards.
    """

    def __init__(self, parts: int, features: int, *, rngs: nnx.Rngs):
        self.parts = parts
        shape = (parts * features, 2 * features)
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(2 * features))
        self.second = linear(2 * features, 2 * features, rngs)
        self.last = linear(2 * features, features, rngs)

    def project(self, *parts: jax.Array) -> list[jax.Array]:
        """Each part [..., F] by its share of the first layer: [..., 2F]."""
        kernels = jnp.split(self.kernel[...], self.parts)
        return [part @ kernel for part, kernel in zip(parts, kernels, strict=True)]

    def finish(self, total: jax.Array) -> jax.Array:
        """The sum of the projected parts [..., 2F] → [..., F]."""
        return self.last(softplus2(self.second(softplus2(total + self.bias[...]))))


class Block(nnx.Module):
    """One round: edges from their ends, nodes from their edges, the state from both (eq. 1-7)."""

    def __init__(self, features: int, *, has_dense: bool, rngs: nnx.Rngs):
        self.has_dense = has_dense
        if has_dense:
            widths = [features, 2 * features, features]
            self.dense_node, self.dense_edge, self.dense_state = (
                Dense(widths, rngs=rngs) for _ in range(3)
            )
        self.edge = Update(4, features, rngs=rngs)
        self.node = Update(3, features, rngs=rngs)
        self.state = Update(3, features, rngs=rngs)

    def __call__(
        self,
        v: jax.Array,
        e: jax.Array,
        u: jax.Array,
        neighborhoods: Neighborhoods,
        crystal: jax.Array,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """New features of nodes [N, F], edges [edges, F] and state [G, F].

        Every mean counts multiplicities; `crystal` [N] is each node's graph.
        """
        node_weight, edge_weight = neighborhoods.node_weight, neighborhoods.edge_weight
        before = v, e, u
        if self.has_dense:
            v, e, u = self.dense_node(v), self.dense_edge(e), self.dense_state(u)

        sender, receiver, own, state = self.edge.project(v, v, e, u)
        ends = neighborhoods.to_senders(sender)
        ends += neighborhoods.to_receivers(receiver + state[crystal])
        new_e = self.edge.finish(ends + own)

        total_e = neighborhoods.sum(edge_weight[..., None] * new_e)
        num_edges = neighborhoods.sum(edge_weight[..., None])
        edges, own, state = self.node.project(total_e / jnp.maximum(num_edges, 1), v, u)
        new_v = self.node.finish(edges + own + state[crystal])

        def mean(total: jax.Array, count: jax.Array) -> jax.Array:
            """Over a crystal, of nodes' totals [N, F] and counts [N, 1]: [G, F]."""
            weighted = node_weight[:, None] * jnp.concatenate([total, count], 1)
            sums = jax.ops.segment_sum(weighted, crystal, u.shape[0])
            return sums[:, :-1] / jnp.maximum(sums[:, -1:], 1)

        means = mean(total_e, num_edges), mean(new_v, jnp.ones_like(num_edges))
        edges, nodes, own = self.state.project(*means, u)
        new_u = self.state.finish(edges + nodes + own)
        return before[0] + new_v, before[1] + new_e, before[2] + new_u


class Set2Set(nnx.Module):
    """A set of vectors as one vector, whatever their order (Vinyals et al., ICLR 2016, eq. 3-7).

    An LSTM asks what to attend to, three times; each answer is the weighted mean of the set, and
    goes into the next question.
    """

    def __init__(self, features: int, hidden: int, *, rngs: nnx.Rngs):
        self.hidden = hidden
        self.memory = linear(features, hidden, rngs)
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (2 * hidden, 4 * hidden)))
        # As is usual, the LSTM remembers to begin with.
        self.bias = nnx.Param(jnp.zeros(4 * hidden).at[hidden : 2 * hidden].set(1))

    def __call__(
        self, x: jax.Array, weight: jax.Array, crystal: jax.Array, num_crystals: int
    ) -> tuple[jax.Array, jax.Array]:
        """One vector [G, 2H] a crystal, and the last attention.

        Args:
            x: [rows, F].
            weight: [rows]: how many members of the set a row stands for, 0 for padding.
            crystal: [rows]: the crystal of each.
            num_crystals: G, the padding graph included.

        Returns:
            The last question and answer side by side [G, 2H], and each row's share of the answer
            [rows], which sums to 1 over a crystal.
        """
        memory = self.memory(x)
        recalled = jnp.zeros((num_crystals, 2 * self.hidden))
        cell = jnp.zeros((num_crystals, self.hidden))
        for _ in range(SET2SET_PASSES):
            gates = recalled @ self.kernel[...] + self.bias[...]
            write, keep, new, show = jnp.split(gates, 4, axis=1)
            cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(write) * jnp.tanh(new)
            question = jax.nn.sigmoid(show) * jnp.tanh(cell)

            logits = (memory * question[crystal]).sum(1)
            # Padding must not set the highest logit, nor overflow above it.
            logits = jnp.where(weight > 0, logits, jnp.finfo(logits.dtype).min)
            highest = jax.ops.segment_max(logits, crystal, num_crystals)
            share = weight * jnp.exp(logits - jax.lax.stop_gradient(highest)[crystal])
            total = jax.ops.segment_sum(share, crystal, num_crystals)
            # At least 1 in a crystal, as its highest logit is among them; 0 in padding.
            share = share / jnp.maximum(total, 0.5)[crystal]
            answer = jax.ops.segment_sum(share[:, None] * memory, crystal, num_crystals)
            recalled = jnp.concatenate([question, answer], 1)
        return recalled, share


class MEGNet(nnx.Module):
    """The network of the paper's Figure 2, for any number of blocks and features.

    Published are 3 blocks of 32 features (`ModelConfig.neurons`); the other widths follow from
    those. An edge that stands for several counts as often, in every mean and in the attention of
    the readout.
    """

    def __init__(
        self, config: ModelConfig, graph: GraphConfig, num_outputs: int, *, rngs: nnx.Rngs
    ):
        """`num_outputs` counts one for a regression and one for each class of a classification."""
        self.precision = config.precision
        self.expand = GaussianBasis(graph.radius, config.gaussian_step)

        features = config.neurons
        half = max(features // 2, 1)
        self.embed_atom = nnx.Embed(MAX_ATOMIC_NUMBER + 1, half, rngs=rngs)
        self.dense_node = Dense([half, 2 * features, features], rngs=rngs)
        self.dense_bond = Dense([len(self.expand), 2 * features, features], rngs=rngs)
        self.state = nnx.Param(jnp.zeros(features))
        self.blocks = nnx.List(
            [Block(features, has_dense=i > 0, rngs=rngs) for i in range(config.num_layers)]
        )
        self.read_nodes = Set2Set(features, half, rngs=rngs)
        self.read_edges = Set2Set(features, half, rngs=rngs)
        self.hidden = Dense([4 * half + features, features, half], rngs=rngs)
        self.out = linear(half, num_outputs, rngs)

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

        The other arguments are those of all networks and are not used: nothing here is random or
        depends on other crystals of the batch.
        """
        neighborhoods = Neighborhoods.of(graph)
        crystal, num_crystals = crystal_of_nodes(graph), graph.n_node.shape[0]
        node_weight, weight = neighborhoods.node_weight, neighborhoods.total_edge_weight

        embedded = self.dense_node(self.embed_atom.embedding[...])  # a row an element
        v = embedded[graph.nodes["atomic_number"]]
        gaussians = self.expand(graph.globals["bond_distance"])
        e = neighborhoods.to_edges(self.dense_bond(gaussians))
        u = jnp.broadcast_to(self.state[...], (num_crystals, v.shape[1]))
        for block in self.blocks:
            v, e, u = block(v, e, u, neighborhoods, crystal)

        edge_crystal = jnp.broadcast_to(neighborhoods.to_receivers(crystal), weight.shape)
        edges, _ = self.read_edges(
            e.reshape(-1, e.shape[-1]), weight.reshape(-1), edge_crystal.reshape(-1), num_crystals
        )
        nodes, share = self.read_nodes(v, node_weight, crystal, num_crystals)
        crystal_vector = jnp.concatenate([nodes, edges, u], 1)
        atom_share = (share / jnp.maximum(node_weight, 1))[graph.globals["atom_node"]]
        return Output(self.out(self.hidden(crystal_vector)), atom_share, crystal_vector, ())
