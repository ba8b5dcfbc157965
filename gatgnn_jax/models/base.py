"""What every network is: how it is called, what it gives, and what training changes of it."""

from typing import NamedTuple, Protocol

import jax
import jraph
from flax import nnx

from gatgnn_jax.models.ops import glorot_uniform


class Output(NamedTuple):
    """What a network says about a batch, whichever network it is.

    Attributes:
        prediction: [G, outputs]: a regression's value, a classification's logits; padding too.
        atom_attention: [A]: each atom's weight; sums to 1 over a crystal (1 each without global
            attention; the same for all atoms of a crystal in CGCNN, which takes their mean).
        crystal_vector: [G, F]: what the fully connected layers read: the weighted sum of the atoms'
            features (MEGNet: the readouts of atoms and edges and the state).
        edge_attention: for each layer, α of each edge and head; empty for networks without.
    """

    prediction: jax.Array
    atom_attention: jax.Array
    crystal_vector: jax.Array
    edge_attention: tuple[jax.Array, ...]


class Network(Protocol):
    """A module from a batch to its `Output`; training, prediction and checkpoints know no more."""

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
            train: batch statistics instead of running ones, which are updated.
            key: for what is random; in evaluation a fixed key makes predictions repeatable.
            axis_name: devices' axis over which batch statistics are summed.
        """


class ModelState(NamedTuple):
    """What prediction needs of a network, apart from its structure."""

    params: nnx.State
    stats: nnx.State


def linear(in_features: int, out_features: int, rngs: nnx.Rngs) -> nnx.Linear:
    """An affine layer with Glorot-uniform weights and zero bias."""
    return nnx.Linear(
        in_features,
        out_features,
        kernel_init=lambda key, shape, dtype, out_sharding=None: glorot_uniform(key, shape),
        rngs=rngs,
    )


def parameter_count(network: Network) -> int:
    """How many trainable numbers a network has."""
    return sum(p.size for p in jax.tree.leaves(nnx.state(network, nnx.Param)))
