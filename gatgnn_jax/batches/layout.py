"""How a batch of crystals is laid out as one `jraph.GraphsTuple`, and how layers move over it.

Sizes: G graphs, N nodes, E edges, B bonds, A atoms, T targets. The last graph is padding, as in
jraph: it holds the rows that fill the batch up to its fixed shape.

| field                      | shape     | dtype   | meaning                                       |
|----------------------------|-----------|---------|-----------------------------------------------|
| `nodes["atomic_number"]`   | [N]       | int32   | 1 to 100; 0 for padding                       |
| `nodes["multiplicity"]`    | [N]       | float32 | atoms the node stands for; 0 for padding      |
| `edges["bond"]`            | [E]       | int32   | row of `bond_distance` that is its length     |
| `edges["multiplicity"]`    | [E]       | float32 | neighbours it stands for; 0 for padding       |
| `senders`                  | [E]       | int32   | the neighbour                                 |
| `receivers`                | [E], None | int32   | the centre; None: as many edges for each node |
| `n_node`, `n_edge`         | [G]       | int32   | nodes and edges of each graph                 |
| `globals["bond_distance"]` | [B]       | float32 | Å                                             |
| `globals["atom_node"]`     | [A]       | int32   | the node that stands for the atom             |
| `globals["atom_graph"]`    | [A]       | int32   | the graph the atom is in; G - 1 for padding   |
| `globals["atom_index"]`    | [A]       | int32   | 0, 1, … within its crystal                    |
| `globals["atom_number"]`   | [A]       | int32   | 0, 1, … within its dataset                    |
| `globals["cluster"]`       | [A]       | int32   | 0, 1 or 2: the atom's group by position       |
| `globals["target"]`        | [G, T]    | float32 | targets as `network_targets`; NaN if missing  |

Where crystals have weights, they are a last column of the targets.

Three things are kept apart that are one in a plain graph, because each is computed once however
often it is used. Nodes and atoms differ where indistinguishable atoms are merged
(`data_prep.quotient`): attention layers work on N nodes, the readout on A ≥ N atoms. Edges and
bonds differ because a crystal has few different interatomic distances: whatever depends on the
distance alone is computed for B ≤ E bonds and looked up by the edges.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import jraph


def crystal_of_nodes(graph: jraph.GraphsTuple) -> jax.Array:
    """The graph that each node is in, [N] int32; `G - 1` for padding."""
    num_graphs, num_nodes = graph.n_node.shape[0], graph.nodes["atomic_number"].shape[0]
    numbers = jnp.arange(num_graphs, dtype=jnp.int32)
    return jnp.repeat(numbers, graph.n_node, total_repeat_length=num_nodes)


def masked(logits: jax.Array, multiplicity: jax.Array) -> jax.Array:
    """Logits [edges, H] with the lowest number there is in unused slots (multiplicity 0)."""
    return jnp.where(multiplicity[..., None] > 0, logits, jnp.finfo(logits.dtype).min)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("senders", "receivers", "bonds", "node_weight", "edge_weight"),
    meta_fields=("axis_name",),
)
@dataclass(frozen=True)
class Neighborhoods:
    """Moves features between nodes [N, …] and edges, whatever the graph's layout.

    Edge features have leading axes [N, K] when the graph has `receivers=None` (then everything
    about receivers is a broadcast or a sum over an axis, not a scatter), else [E].

    Attributes:
        senders: the neighbour's node [edges].
        receivers: the centre's node [E]; None in the layout [N, K].
        bonds: the row of the bond features [edges].
        node_weight: atoms each node stands for, 0 for padding [N].
        edge_weight: neighbours each edge stands for, 0 for an unused slot [edges].
        axis_name: the devices' axis over which sums over all nodes or edges run; None for none.
    """

    senders: jax.Array
    receivers: jax.Array | None
    bonds: jax.Array
    node_weight: jax.Array
    edge_weight: jax.Array
    axis_name: str | None = None

    @classmethod
    def of(cls, graph: jraph.GraphsTuple, axis_name: str | None = None) -> "Neighborhoods":
        """The neighbourhoods of all nodes of `graph`."""
        node_weight = graph.nodes["multiplicity"]

        def laid_out(flat: jax.Array) -> jax.Array:
            return flat if graph.receivers is not None else flat.reshape(len(node_weight), -1)

        return cls(
            laid_out(graph.senders),
            graph.receivers,
            laid_out(graph.edges["bond"]),
            node_weight,
            laid_out(graph.edges["multiplicity"]),
            axis_name,
        )

    @property
    def num_nodes(self) -> int:
        """N, padding included."""
        return self.node_weight.shape[0]

    @property
    def total_edge_weight(self) -> jax.Array:
        """Edges of the full graph that each edge stands for [edges]."""
        return self.edge_weight * self.to_receivers(self.node_weight)

    def to_receivers(self, nodes: jax.Array) -> jax.Array:
        """Each edge's receiving node's features (broadcastable against edge features)."""
        return nodes[:, None] if self.receivers is None else nodes[self.receivers]

    def to_senders(self, nodes: jax.Array) -> jax.Array:
        """Each edge's sending node's features."""
        return nodes[self.senders]

    def to_edges(self, bonds: jax.Array) -> jax.Array:
        """Each edge's bond's features."""
        return bonds[self.bonds]

    def sum(self, edges: jax.Array) -> jax.Array:
        """Sum over the edges that each node receives: [N, …]."""
        if self.receivers is None:
            return edges.sum(axis=1)
        return jax.ops.segment_sum(edges, self.receivers, self.num_nodes)

    def max(self, edges: jax.Array) -> jax.Array:
        """The largest among the edges that each node receives: [N, …]; without, the lowest number.

        It passes no gradient: a softmax does not depend on it.
        """
        edges = jax.lax.stop_gradient(edges)
        if self.receivers is None:
            highest = edges.max(axis=1)
        else:
            highest = jax.ops.segment_max(edges, self.receivers, self.num_nodes)
        return jnp.maximum(highest, jnp.finfo(edges.dtype).min)

    def softmax(self, logits: jax.Array) -> jax.Array:
        """Share of each edge among those its node receives, [edges, H] → [edges, H].

        An edge that stands for m equal bonds has m times the share of one; an unused slot has none.
        A node without edges gets zeros.
        """
        logits = masked(logits, self.edge_weight)
        highest = self.max(logits)
        weights = self.edge_weight[..., None] * jnp.exp(logits - self.to_receivers(highest))
        # Nodes without edges have a sum of 0; the smallest share that counts is far above 1e-16.
        return weights / (self.to_receivers(self.sum(weights)) + 1e-16)
