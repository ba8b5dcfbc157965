"""What every network is: how it is called, what it gives, and what training changes of it."""

import ast
import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import jax
import jraph
from flax import nnx

from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.ops import glorot_uniform, softplus

_NO_OPTIONS = ("self", "neurons", "heads", "rngs")
"""What every layer and every global attention is given."""


class Output(NamedTuple):
    """What a network says about a batch, whichever network it is.

    Attributes:
        prediction: [G, outputs]: a regression's value, a classification's logits; padding too.
        atom_attention: [A]: each atom's weight; sums to 1 over a crystal (1 each without global
            attention; the same for all atoms of a crystal in CGCNN, which takes their mean).
        crystal_vector: [G, F]: what the fully connected layers read: the weighted sum of the atoms'
            features (gated GATGNN: their mean beside it; MEGNet: the readouts of atoms and edges
            and the state).
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


def in_own_precision(call: Callable[..., Output]) -> Callable[..., Output]:
    """Let a network's `__call__` multiply in its `precision`, whatever JAX's own setting is.

    JAX would round the inputs of matmuls, on NVIDIA GPUs to TF32 and on TPUs to bfloat16. What is
    chosen here is written into each matmul as it is traced, so that gradients have it too and a
    compiled program loses no time by it.
    """

    @wraps(call)
    def called(network: Any, *arguments: Any, **settings: Any) -> Output:
        with jax.default_matmul_precision(network.precision):
            return call(network, *arguments, **settings)

    return called


def linear(in_features: int, out_features: int, rngs: nnx.Rngs) -> nnx.Linear:
    """An affine layer with Glorot-uniform weights and zero bias."""
    return nnx.Linear(
        in_features,
        out_features,
        kernel_init=lambda key, shape, dtype, out_sharding=None: glorot_uniform(key, shape),
        rngs=rngs,
    )


def readout_layers(
    features: int, config: ModelConfig, num_outputs: int, rngs: nnx.Rngs
) -> tuple[nnx.List, nnx.Linear]:
    """The hidden layers from a crystal vector of so many features on, and the output behind them.

    `num_outputs` counts one for a regression and one for each class of a classification.
    """
    widths = [features] + config.hidden_layers * [config.hidden_neurons or features]
    hidden = nnx.List([linear(a, b, rngs) for a, b in pairwise(widths)])
    return hidden, linear(widths[-1], num_outputs, rngs)


def read_out(y: jax.Array, hidden: nnx.List, out: nnx.Linear) -> jax.Array:
    """Crystal vectors [G, F] → [G, outputs], with a softplus behind every hidden layer."""
    for layer in hidden:
        y = softplus(layer(y))
    return out(y)


def constructor_options(part: type[Any], given: Sequence[str]) -> dict[str, Any]:
    """Options of a part as its constructor takes them, from texts such as `width=3`.

    Values are Python literals, or else words.

    Raises:
        ValueError: the constructor has no such parameter, or a text is no option.
    """
    # Of __init__: NNX modules have a metaclass whose own signature says nothing.
    parameters = inspect.signature(part.__init__).parameters
    own = [name for name in parameters if name not in _NO_OPTIONS]
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in own:
            raise ValueError(
                f"{text!r} is no option of {part.__name__}: give NAME=VALUE, "
                f"with a name among {', '.join(own) or 'none, as it has no options'}"
            )
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    return options


def parameter_count(network: Network) -> int:
    """How many trainable numbers a network has."""
    return sum(p.size for p in jax.tree.leaves(nnx.state(network, nnx.Param)))
