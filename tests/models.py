"""Small models and batches for the tests of the model."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from flax import nnx
from pymatgen.core import Structure

from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.graph import build_graph
from data_prep.packing import pack
from gatgnn_jax.batches.arrays import BatchShape, CrystalArrays, crystal_arrays
from gatgnn_jax.batches.gathering import gather_batch
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import Network, Output
from gatgnn_jax.models.gatgnn import GATGNN
from gatgnn_jax.models.layers import AGATLayer
from gatgnn_jax.models.networks import new_network
from gatgnn_jax.presets import PUBLISHED_SIZES

GLOBAL_ATTENTIONS: tuple[str, ...] = (
    "composition",
    "cluster-fixed",
    "cluster-random",
    "cluster-learnable",
    "none",
)


def dataset_of(structures: Sequence[Structure], config: GraphConfig) -> GraphDataset:
    """The graphs of some structures, without targets."""
    graphs = [build_graph(structure, config) for structure in structures]
    return pack(graphs, [str(i) for i in range(len(graphs))], {}, config)


def arrays_of(dataset: GraphDataset, target: np.ndarray | None = None) -> CrystalArrays:
    """A dataset's flat arrays, with zeros for targets unless given."""
    return crystal_arrays(dataset, np.zeros((len(dataset), 1)) if target is None else target)


def batch_of(
    data: CrystalArrays, crystals: Sequence[int] | None = None, extra: int = 1
) -> jraph.GraphsTuple:
    """Crystals in that order, padded by `extra` crystals, nodes, edges, bonds and atoms each."""
    rows = np.arange(len(data.target)) if crystals is None else np.array(crystals)
    nodes, edges, bonds, atoms = (int(n) + extra for n in data.num_rows[rows].sum(0))
    if data.receiver is None:
        edges = nodes * (len(data.sender) // len(data.atomic_number))
    shape = BatchShape(len(rows) + extra - 1, nodes, edges, bonds, atoms)
    padded = np.concatenate([rows, np.full(extra - 1, -1)]).astype(np.int32)
    return _gather(data, padded, shape)


def small_model(
    config: GraphConfig, global_attention: str = "composition", **settings: Any
) -> GATGNN:
    """Two layers of eight neurons, with running statistics that are not those of a new model."""
    settings = {"num_layers": 2, "neurons": 8, "heads": 2} | settings
    model = GATGNN(
        ModelConfig(global_attention=global_attention, **settings), config, 1, rngs=nnx.Rngs(0)
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for norm in (layer.attention_norm, layer.norm) if isinstance(layer, AGATLayer) else ():
            for stat, shift in ((norm.mean, 0.0), (norm.var, 1.0)):
                noise = rng.uniform(-0.3, 0.3, stat[...].shape)
                stat[...] = jnp.asarray(shift + noise, jnp.float32)
    return model


def small_network(name: str, config: GraphConfig, **settings: Any) -> Network:
    """Two layers of eight neurons of any network, where no bias is 0 and no statistic that of a
    new model."""
    settings = {"num_layers": 2, "neurons": 8} | settings
    sizes = dataclasses.replace(PUBLISHED_SIZES[name], **settings)
    network = new_network(sizes, config, 1, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    for _, variable in nnx.to_flat_state(nnx.state(network)):
        if variable[...].ndim == 1:
            variable[...] += rng.uniform(-0.3, 0.3, variable.shape).astype(np.float32)
    return network


_gather = jax.jit(gather_batch, static_argnums=2)


@partial(jax.jit, static_argnums=0)
def _apply(graphdef: nnx.GraphDef, state: Any, graph: jraph.GraphsTuple) -> Output:
    return nnx.merge(graphdef, state)(graph, key=jax.random.key(0))


def outputs(model: Network, graph: jraph.GraphsTuple) -> Output:
    """All outputs for a batch in evaluation mode."""
    return _apply(*nnx.split(model), graph)


def predictions(model: Network, graph: jraph.GraphsTuple, count: int) -> np.ndarray:
    """Predictions of the first `count` crystals of a batch in evaluation mode."""
    return np.asarray(outputs(model, graph).prediction[:count, 0])


@partial(jax.jit, static_argnums=(0, 4))
def _training_pass(
    graphdef: nnx.GraphDef, params: Any, stats: Any, graph: jraph.GraphsTuple, count: int
) -> tuple[Any, Any, Any]:
    def loss(params: Any) -> tuple[jax.Array, Any]:
        copy = nnx.merge(graphdef, params, stats, copy=True)
        output = copy(graph, train=True, key=jax.random.key(0))
        return jnp.square(output.prediction[:count]).sum(), nnx.state(copy, nnx.BatchStat)

    (value, new_stats), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    return value, gradient, new_stats


def loss_and_gradient(model: Network, graph: jraph.GraphsTuple, count: int) -> tuple[Any, Any, Any]:
    """Loss, gradients and batch statistics of one pass in training mode."""
    graphdef, *states = nnx.split(model, nnx.Param, nnx.BatchStat)
    return _training_pass(graphdef, *states, graph, count)


def assert_trees_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Every array within `tolerance` of the largest entry of the whole expected tree."""
    largest = max(float(np.abs(x).max()) for x in jax.tree.leaves(expected))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * largest, rtol=0)


def crystal_mask(graph: jraph.GraphsTuple) -> jax.Array:
    """True for the graphs that are crystals, False for padding: [G] bool."""
    is_last = jnp.arange(graph.n_node.shape[0]) == graph.n_node.shape[0] - 1
    return (graph.n_node > 0) & ~is_last


def with_receivers(graph: jraph.GraphsTuple) -> jraph.GraphsTuple:
    """The same graph with its receivers written out, for the general segment path."""
    num_nodes = graph.nodes["atomic_number"].shape[0]
    slots = graph.senders.shape[0] // num_nodes
    return graph._replace(receivers=jnp.repeat(jnp.arange(num_nodes, dtype=jnp.int32), slots))
