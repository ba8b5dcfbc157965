"""Several networks trained as one: their mean is the prediction, their spread its uncertainty.

Members see the same batches, so that a batch is gathered once. Nothing else need know: to the
optimizer and the checkpoint an ensemble is a network, and as no parameter is shared, the gradient
of the summed loss is each member's own. Those that differ in their initial weights only have their
arrays stacked, with a member axis in front; different networks stand beside one another.
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
    if isinstance(model, Ensemble | MixedEnsemble):
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


class MixedEnsemble(nnx.Module):
    """Different networks, or ensembles of each, called like one network."""

    def __init__(self, groups: Sequence[Network]):
        """The networks, and ensembles of equal ones, in the order of the member axis."""
        self.groups = nnx.List(groups)

    def __call__(self, graph: jraph.GraphsTuple, **arguments: Any) -> Output:
        """Every member's predictions [G, M, outputs]; arguments as of `Network`.

        The vectors of a crystal, which differ in length, are one: [G, 1, F of all members]. The
        attention to atoms is the members' mean; that to neighbours has no meaning in common.
        """
        outputs = [call_members(group, graph, **arguments) for group in self.groups]
        members = [output.prediction.shape[1] for output in outputs]
        attention = jnp.stack([output.atom_attention for output in outputs])
        vectors = [output.crystal_vector for output in outputs]
        return Output(
            prediction=jnp.concatenate([output.prediction for output in outputs], axis=1),
            atom_attention=jnp.average(attention, axis=0, weights=jnp.array(members)),
            crystal_vector=jnp.concatenate(
                [vector.reshape(len(vector), 1, -1) for vector in vectors], axis=2
            ),
            edge_attention=(),
        )
