"""Several networks trained as one: their mean is the prediction, their spread its uncertainty.

Members differ in their initial weights only and see the same batches, so that a batch is gathered
once. Nothing else need know: to the optimizer and the checkpoint an ensemble is a network whose
arrays have a member axis in front, and as no parameter is shared, the gradient of the summed loss
is each member's own.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from gatgnn_jax.models.base import Network, Output


def call_members(model: Network, graph: jraph.GraphsTuple, **arguments: Any) -> Output:
    """Every member's outputs, of an ensemble or of a network alone, which is its only member.

    Predictions are [G, M, outputs] and crystal vectors [G, M, F]; arguments as of `Network`.
    """
    output = model(graph, **arguments)
    if isinstance(model, Ensemble):
        return output
    return output._replace(
        prediction=output.prediction[:, None], crystal_vector=output.crystal_vector[:, None]
    )


class Ensemble(nnx.Module):
    """Members of one shape, called like one network."""

    def __init__(self, members: Sequence[Network]):
        """The members with their initial weights; at least one."""
        split = [nnx.split(member, nnx.Param, nnx.BatchStat) for member in members]
        graphdefs, states = zip(*((graphdef, own) for graphdef, *own in split), strict=True)
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        self.size = len(members)
        self.members: Network = nnx.merge(graphdefs[0], *stacked)

    def __call__(
        self,
        graph: jraph.GraphsTuple,
        *,
        train: bool = False,
        key: jax.Array | None = None,
        axis_name: str | None = None,
    ) -> Output:
        """Every member's predictions [G, M, outputs] and crystal vectors [G, M, F].

        The attentions are the members' means.
        """
        graphdef, *states = nnx.split(self.members, nnx.Param, nnx.BatchStat)

        def call(states: list[nnx.State]) -> tuple[Output, nnx.State]:
            member = nnx.merge(graphdef, *states, copy=True)
            output = member(graph, train=train, key=key, axis_name=axis_name)
            return output, nnx.state(member, nnx.BatchStat)

        # One after the other on a CPU, whose caches hold one member's step; a GPU has room for all.
        at_once = None if jax.default_backend() == "cpu" else self.size
        output, stats = jax.lax.map(call, states, batch_size=at_once)
        if train:
            nnx.update(self.members, stats)
        return Output(
            prediction=jnp.moveaxis(output.prediction, 0, 1),
            atom_attention=output.atom_attention.mean(0),
            crystal_vector=jnp.moveaxis(output.crystal_vector, 0, 1),
            edge_attention=tuple(layer.mean(0) for layer in output.edge_attention),
        )
