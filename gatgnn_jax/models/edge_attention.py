"""The part of an AGAT layer that works on edges, written so that it stays in a CPU's cache.

Per edge, head and neuron there are two softplus, and the arrays they fill, [edges, H, F], are by
far the largest of the model: 29 MB each for 256 crystals of nine atoms. So they are never stored.
Edges are taken in blocks of about a megabyte (`BLOCK_EDGES`), one after another, and the backward
pass, written by hand, computes them again: a look-up and a softplus cost less than a trip to memory
and back. What is kept for it is of the size of [edges, H].
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim

from gatgnn_jax.batches.layout import Neighborhoods
from gatgnn_jax.models.ops import softplus

BLOCK_EDGES = {"cpu": 1024}
"""Edges a block by platform; elsewhere `DEFAULT_BLOCK_EDGES`, as accelerators want large ones."""

DEFAULT_BLOCK_EDGES = 1 << 17

Weigh = Callable[[jax.Array, Neighborhoods, Any], tuple[jax.Array, Any]]
"""`(logits [edges, H], neighborhoods, inputs) → (attention [edges, H], anything else)`"""


def attend(
    weigh: Weigh,
    neighborhoods: Neighborhoods,
    nodes: jax.Array,
    bonds: jax.Array,
    vectors: jax.Array,
    inputs: Any,
) -> tuple[jax.Array, jax.Array, Any]:
    """Sum what each node's neighbours send, weighted by attention.

        h_i = softplus(nodes_i + bonds_ij)        h_j = softplus(nodes_j + bonds_ij)
        α, … = weigh(h_i · vectors_0 + h_j · vectors_1)
        m_i = Σ_heads Σ_j α h_j

    Args:
        weigh: turns logits into attention; may look at all edges at once (batch norm, softmax).
        neighborhoods: where the edges start and end.
        nodes: projected node features [N, H, F].
        bonds: projected bond features [B, H, F].
        vectors: what the centre and the neighbour are multiplied with, [2, H, F].
        inputs: any pytree of float arrays that `weigh` depends on.

    Returns:
        m [N, F], α [edges, H] and what else `weigh` returns.
    """
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return _attend(weigh, precision, neighborhoods, nodes, bonds, vectors, inputs)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(weigh: Weigh, precision: str | None, *arrays: Any) -> tuple[jax.Array, jax.Array, Any]:
    return _forward(weigh, precision, *arrays)[0]


class _Rows(NamedTuple):
    """Edges in rows of one receiver each: a node's K edges, or one edge of a list (K = 1)."""

    receivers: jax.Array
    """[rows]"""
    senders: jax.Array
    """[rows, K]"""
    bonds: jax.Array
    """[rows, K]"""

    @classmethod
    def of(cls, neighborhoods: Neighborhoods) -> "_Rows":
        senders, bonds = neighborhoods.senders, neighborhoods.bonds
        if neighborhoods.receivers is not None:
            return cls(neighborhoods.receivers, senders[:, None], bonds[:, None])
        return cls(jnp.arange(neighborhoods.num_nodes, dtype=senders.dtype), senders, bonds)

    def centre(self, nodes: jax.Array, bonds: jax.Array) -> jax.Array:
        """h_i of each edge [rows, K, H, F]."""
        return softplus(nodes[self.receivers][:, None] + bonds[self.bonds])

    def neighbour(self, nodes: jax.Array, bonds: jax.Array) -> jax.Array:
        """h_j of each edge [rows, K, H, F]."""
        return softplus(nodes[self.senders] + bonds[self.bonds])


def _blocks(tree: Any, slots: int) -> Any:
    """Arrays [rows, …] cut into even blocks [blocks, rows, …], the last one filled up with zeros.

    Blocks of the full size would leave up to a whole one of nothing: 3,340 edges would be worked on
    as 4,096. The rows filled up with add nothing to any sum, as their attention and gradients are
    zero.
    """
    size = max(BLOCK_EDGES.get(jax.default_backend(), DEFAULT_BLOCK_EDGES) // slots, 1)

    def cut(x: jax.Array) -> jax.Array:
        if is_symbolic_dim(x.shape[0]):  # a program for crystals of any size: one block of all
            return x[None]
        blocks = max(-(-x.shape[0] // size), 1)
        rows = max(-(-x.shape[0] // blocks), 1)
        x = jnp.pad(x, [(0, -x.shape[0] % rows)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(-1, rows, *x.shape[1:])

    return jax.tree.map(cut, tree)


def _join(blocks: jax.Array, like: jax.Array) -> jax.Array:
    """Undo `_blocks`: [blocks, rows, K, H] → [edges, H] in the layout of `like`, [edges]."""
    rows = blocks.reshape(-1, *blocks.shape[2:])[: like.shape[0]]
    return rows.reshape(*like.shape, rows.shape[-1])


def _forward(weigh: Weigh, precision: str | None, *arrays: Any) -> tuple[Any, Any]:
    # Like `_backward`, traced when the network's call, and with it its precision, may have ended.
    with jax.default_matmul_precision(precision):
        return _messages(weigh, *arrays)


def _messages(
    weigh: Weigh,
    neighborhoods: Neighborhoods,
    nodes: jax.Array,
    bonds: jax.Array,
    vectors: jax.Array,
    inputs: Any,
) -> tuple[tuple[jax.Array, jax.Array, Any], Any]:
    edges = _Rows.of(neighborhoods)
    slots = edges.senders.shape[1]
    blocks = _blocks(edges, slots)

    def logits_of(block: _Rows) -> jax.Array:
        centre, neighbour = block.centre(nodes, bonds), block.neighbour(nodes, bonds)
        return _dot(centre, vectors[0]) + _dot(neighbour, vectors[1])

    def add_message(total: jax.Array, xs: tuple[_Rows, jax.Array]) -> tuple[jax.Array, None]:
        block, attention = xs
        neighbour = block.neighbour(nodes, bonds)
        message = jnp.einsum("rkh,rkhf->rf", attention, neighbour)
        return total.at[block.receivers].add(message), None

    logits = _join(jax.lax.map(logits_of, blocks), neighborhoods.senders)
    (attention, other), pull_back = jax.vjp(
        lambda logits, inputs: weigh(logits, neighborhoods, inputs), logits, inputs
    )
    weights = _blocks(attention.reshape(*edges.senders.shape, -1), slots)
    message, _ = jax.lax.scan(add_message, jnp.zeros_like(nodes[:, 0]), (blocks, weights))
    residuals = neighborhoods, nodes, bonds, vectors, attention, pull_back
    return (message, attention, other), residuals


def _backward(weigh: Weigh, precision: str | None, residuals: Any, cotangents: Any) -> Any:
    with jax.default_matmul_precision(precision):
        return _gradients(residuals, cotangents)


def _gradients(residuals: Any, cotangents: Any) -> Any:
    """The chain rule of `attend`, with d_y for the gradient by y, and ⟨·,·⟩ over the features F:

    m_i = Σ α_ij h_j           d_α_ij = ⟨d_m_i, h_j⟩ + d_α from outside      first sweep
    α = weigh(l)               d_l = weigh's own, by `pull_back`             all edges at once
    l_ij = ⟨h_i, v_0⟩ + ⟨h_j, v_1⟩,  h = softplus(z)                         second sweep:
                               d_z_i = d_l v_0 (1 - exp(-h_i))
                               d_z_j = (d_l v_1 + α d_m_i) (1 - exp(-h_j))
    z_i = nodes_i + bonds_ij   d_nodes sums d_z_i at centres, d_z_j at neighbours; d_bonds both
    """
    neighborhoods, nodes, bonds, vectors, attention, pull_back = residuals
    d_message, d_attention, d_other = cotangents
    edges = _Rows.of(neighborhoods)
    slots = edges.senders.shape[1]
    blocks = _blocks(edges, slots)

    def attention_gradient(block: _Rows) -> jax.Array:
        neighbour = block.neighbour(nodes, bonds)
        return jnp.einsum("rkhf,rf->rkh", neighbour, d_message[block.receivers])

    def add_gradients(total: Any, xs: tuple[_Rows, jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        d_nodes, d_bonds = total
        block, attention, d_logits = xs[0], xs[1][..., None], xs[2][..., None]
        centre, neighbour = block.centre(nodes, bonds), block.neighbour(nodes, bonds)
        received = d_message[block.receivers][:, None, None]
        d_centre = d_logits * vectors[0] * (1 - jnp.exp(-centre))
        d_neighbour = (d_logits * vectors[1] + attention * received) * (1 - jnp.exp(-neighbour))
        d_nodes = d_nodes.at[block.receivers].add(d_centre.sum(1))
        d_nodes = d_nodes.at[block.senders].add(d_neighbour)
        d_bonds = d_bonds.at[block.bonds].add(d_centre + d_neighbour)
        d_vectors = jnp.stack([(d_logits * h).sum((0, 1)) for h in (centre, neighbour)])
        return (d_nodes, d_bonds), d_vectors

    d_attention += _join(jax.lax.map(attention_gradient, blocks), neighborhoods.senders)
    d_logits, d_inputs = pull_back((d_attention, d_other))
    per_edge = [x.reshape(*edges.senders.shape, -1) for x in (attention, d_logits)]
    (d_nodes, d_bonds), d_vectors = jax.lax.scan(
        add_gradients,
        (jnp.zeros_like(nodes), jnp.zeros_like(bonds)),
        (blocks, *_blocks(per_edge, slots)),
    )
    return None, d_nodes, d_bonds, d_vectors.sum(0), d_inputs


_attend.defvjp(_forward, _backward)


def _dot(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Each head's dot product, [rows, K, H, F] · [H, F] → [rows, K, H].

    As one matmul with a block-diagonal matrix: on a CPU a batched product over so small an axis is
    several times slower.
    """
    heads, features = weights.shape
    blocks = weights[:, :, None] * jnp.eye(heads, dtype=weights.dtype)[:, None]
    flat = x.reshape(*x.shape[:-2], heads * features)
    return flat @ blocks.reshape(heads * features, heads)
