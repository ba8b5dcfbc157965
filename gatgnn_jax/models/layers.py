"""Graph attention layers: the augmented one of the paper (AGAT) and the original (GAT).

`LAYERS` has them by name, and `register_layer` adds others. A layer is made as
`layer(neurons, heads, rngs=rngs)`, further parameters of its constructor being its options, and is
called as those here are.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from gatgnn_jax.batches.layout import Neighborhoods, masked
from gatgnn_jax.models.batch_norm import BatchNorm
from gatgnn_jax.models.edge_attention import attend
from gatgnn_jax.models.ops import glorot_uniform, softplus


class AGATLayer(nnx.Module):
    """Augmented graph attention (eq. 1-3): attention over neighbours and the bonds to them.

    For each edge and head, with ‖ for concatenation (eq. 3 puts the bond into both ends):

        h_i = softplus([x_i ‖ e_ij] W)        h_j = softplus([x_j ‖ e_ij] W)
        α   = softmax_j(softplus(BatchNorm(softplus([h_i ‖ h_j] · a))))
        x_i ← softplus(BatchNorm(mean over heads of Σ_j α h_j + b))

    A residual layer (not in the paper) has `x_i ← softplus(x_i + BatchNorm(…))`, as CGCNN's do.

    `[x ‖ e] W` is computed as `x W_node + e W_edge`, so that matmuls take one row a node and one a
    bond, not one an edge.
    """

    def __init__(self, neurons: int, heads: int, *, residual: bool = False, rngs: nnx.Rngs):
        self.heads = heads
        self.residual = residual
        shape = (2 * neurons, heads * neurons)
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), shape))
        self.attention = nnx.Param(glorot_uniform(rngs.params(), (heads, 2 * neurons)))
        self.bias = nnx.Param(jnp.zeros(neurons))
        self.attention_norm = BatchNorm(heads)
        self.norm = BatchNorm(neurons)

    def __call__(
        self,
        x: jax.Array,
        e: jax.Array,
        neighborhoods: Neighborhoods,
        *,
        train: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """One round of attention.

        Args:
            x: node features [N, F].
            e: bond features [B, F].
            neighborhoods: where the edges start and end, and what nodes and edges stand for.
            train: use the batch's statistics and update the running ones.

        Returns:
            New node features [N, F] and the attention α of each edge and head [edges, H], which
            sums to 1 over the bonds of a node.
        """
        heads_shape = (self.heads, x.shape[-1])
        node_kernel, bond_kernel = jnp.split(self.kernel[...], 2)
        nodes = (x @ node_kernel).reshape(-1, *heads_shape)
        bonds = (e @ bond_kernel).reshape(-1, *heads_shape)
        vectors = jnp.stack(jnp.split(self.attention[...], 2, axis=1))
        axis_name = neighborhoods.axis_name
        if axis_name is not None:  # each device has its own gradient of them, to be summed
            vectors = jax.lax.pcast(vectors, axis_name, to="varying")
        # `attend` differentiates by hand, so what it calls must be pure: the norm is taken apart.
        structure, norm_state = nnx.split(self.attention_norm)

        def weigh(
            logits: jax.Array, neighborhoods: Neighborhoods, norm_state: Any
        ) -> tuple[jax.Array, nnx.State]:
            norm = nnx.merge(structure, norm_state, copy=True)
            weight = neighborhoods.total_edge_weight
            logits = norm(softplus(logits), weight, train=train, axis_name=axis_name)
            return neighborhoods.softmax(softplus(logits)), nnx.state(norm, nnx.BatchStat)

        message, attention, norm_stats = attend(
            weigh, neighborhoods, nodes, bonds, vectors, norm_state
        )
        if train:
            nnx.update(self.attention_norm, norm_stats)
        bias = self.bias[...]
        if train:
            # The norm takes it out again, so that its gradient is rounding noise, which Adam would
            # blow up to steps of full size; the running mean lags behind them.
            bias = jax.lax.stop_gradient(bias)
        update = message / self.heads + bias
        update = self.norm(update, neighborhoods.node_weight, train=train, axis_name=axis_name)
        return softplus(x + update if self.residual else update), attention


class GATLayer(nnx.Module):
    """The original graph attention (Veličković et al. 2018; eq. 1-2), Table 4's baseline.

        α_ij = softmax_j(leaky_relu([W x_i ‖ W x_j] · a))     over the neighbours and i itself
        x_i  ← elu(mean over heads of Σ_j α_ij W x_j + b)

    It sees which atoms are neighbours, but not how far away they are. Eq. 2 has a sigmoid where the
    original layer has its elu; five sigmoids in a row learn nothing from the bundled crystals.
    """

    reads_bonds = False

    def __init__(self, neurons: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (neurons, heads * neurons)))
        self.attention = nnx.Param(glorot_uniform(rngs.params(), (heads, 2 * neurons)))
        self.bias = nnx.Param(jnp.zeros(neurons))

    def __call__(
        self,
        x: jax.Array,
        e: jax.Array | None,
        neighborhoods: Neighborhoods,
        *,
        train: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """As `AGATLayer.__call__`; `e` is not used, and α leaves out the share of i itself."""
        projected = (x @ self.kernel[...]).reshape(-1, self.heads, x.shape[-1])
        centre_attention, neighbour_attention = jnp.split(self.attention[...], 2, axis=1)
        centre = (projected * centre_attention).sum(-1)
        neighbour = (projected * neighbour_attention).sum(-1)

        own_logit = nnx.leaky_relu(centre + neighbour, 0.2)
        pairs = neighborhoods.to_receivers(centre) + neighborhoods.to_senders(neighbour)
        edge_weight = neighborhoods.edge_weight
        logits = masked(nnx.leaky_relu(pairs, 0.2), edge_weight)
        # Each node's own: one for all would leave a node of low logits with 0 / 0.
        highest = jnp.maximum(neighborhoods.max(logits), jax.lax.stop_gradient(own_logit))
        own = jnp.exp(own_logit - highest)
        share = edge_weight[..., None] * jnp.exp(logits - neighborhoods.to_receivers(highest))
        total = own + neighborhoods.sum(share)
        attention = share / neighborhoods.to_receivers(total)

        message = neighborhoods.sum(attention[..., None] * neighborhoods.to_senders(projected))
        message += (own / total)[..., None] * projected
        return jax.nn.elu(message.mean(axis=-2) + self.bias[...]), attention


LAYERS: dict[str, type[Any]] = {"gatgnn": AGATLayer, "gat": GATLayer}
"""The layers that GATGNN can have, by the name that `--model` takes."""


def register_layer(name: str, layer: type[Any]) -> None:
    """Let `--model name`, or `fit(model=name)`, train GATGNN with layers of this class."""
    LAYERS[name] = layer
