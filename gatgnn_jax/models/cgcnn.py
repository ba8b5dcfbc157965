"""CGCNN (Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018)): gated convolutions, then a mean."""

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from data_prep.config import GraphConfig
from data_prep.elements import element_features
from gatgnn_jax.batches.layout import Neighborhoods, crystal_of_nodes
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import Output, in_own_precision, linear, read_out, readout_layers
from gatgnn_jax.models.batch_norm import BatchNorm
from gatgnn_jax.models.ops import GaussianBasis, glorot_uniform, softplus


class GatedConvolution(nnx.Module):
    """A convolution over neighbours, each with a gate for every feature (eq. 5).

    With `z_ij = [v_i ‖ v_j ‖ u_ij]`, σ the sigmoid, and the batch norms of the published program,
    over the edges and over the nodes:

        v_i ← softplus(v_i + BatchNorm(Σ_j σ(BatchNorm(z_ij W_f)) · softplus(BatchNorm(z_ij W_s))))

    `z W` is computed as `v_i W_1 + v_j W_2 + u_ij W_3`, so that matmuls take one row a node and one
    a bond, not one an edge. It has no bias, which the batch norm would take away again.
    """

    def __init__(self, neurons: int, bond_features: int, *, rngs: nnx.Rngs):
        shape = (2 * neurons + bond_features, 2 * neurons)
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), shape))
        self.edge_norm = BatchNorm(2 * neurons)
        self.norm = BatchNorm(neurons)

    def __call__(
        self,
        v: jax.Array,
        u: jax.Array,
        neighborhoods: Neighborhoods,
        *,
        train: bool,
    ) -> jax.Array:
        """Node features [N, F] and bond features [B, D] → new node features [N, F].

        Arguments as in `layers.AGATLayer`.
        """
        neurons = v.shape[-1]
        centre, neighbour, bond = jnp.split(self.kernel[...], [neurons, 2 * neurons])
        z = neighborhoods.to_receivers(v @ centre) + neighborhoods.to_senders(v @ neighbour)
        z += neighborhoods.to_edges(u @ bond)
        axis_name = neighborhoods.axis_name
        weight = neighborhoods.total_edge_weight
        z = self.edge_norm(z, weight, train=train, axis_name=axis_name)
        gate, core = jnp.split(z, 2, axis=-1)
        message = neighborhoods.edge_weight[..., None] * jax.nn.sigmoid(gate) * softplus(core)
        total = neighborhoods.sum(message)
        total = self.norm(total, neighborhoods.node_weight, train=train, axis_name=axis_name)
        return softplus(v + total)


class CGCNN(nnx.Module):
    """Embed → gated convolutions → mean over the atoms → fully connected layers.

    The published sizes are 3 convolutions of 64 features and one hidden layer of 128; its graphs
    have 12 neighbours within 8 Å (`GraphConfig()`; the published program fills missing neighbours
    with fake edges). In between stand the published program's activations: a softplus on the mean
    and one behind every hidden layer. Its dropout of one half before the output of a classification
    is left out.
    """

    def __init__(
        self, config: ModelConfig, graph: GraphConfig, num_outputs: int, *, rngs: nnx.Rngs
    ):
        """`num_outputs` counts one for a regression and one for each class of a classification."""
        self.precision = config.precision
        self.expand = GaussianBasis(graph.radius, config.gaussian_step)

        neurons = config.neurons
        self.embed_atom = linear(element_features().shape[1], neurons, rngs)
        self.convolutions = nnx.List(
            [
                GatedConvolution(neurons, len(self.expand), rngs=rngs)
                for _ in range(config.num_layers)
            ]
        )
        self.hidden, self.out = readout_layers(neurons, config, num_outputs, rngs)

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
            key: not used; nothing here is random.
            axis_name: devices' axis over which batch statistics are summed.
        """
        neighborhoods = Neighborhoods.of(graph, axis_name)
        node_weight = neighborhoods.node_weight

        v = self.embed_atom(jnp.asarray(element_features()))[graph.nodes["atomic_number"]]
        u = self.expand(graph.globals["bond_distance"])
        for convolution in self.convolutions:
            v = convolution(v, u, neighborhoods, train=train)

        crystal, num_crystals = crystal_of_nodes(graph), graph.n_node.shape[0]
        num_atoms = jax.ops.segment_sum(node_weight, crystal, num_crystals)
        share = 1 / jnp.maximum(num_atoms, 1)
        weighted = (node_weight * share[crystal])[:, None] * v
        crystal_vector = jax.ops.segment_sum(weighted, crystal, num_crystals)

        prediction = read_out(softplus(crystal_vector), self.hidden, self.out)
        return Output(prediction, share[graph.globals["atom_graph"]], crystal_vector, ())
