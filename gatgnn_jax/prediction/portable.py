"""A trained model as one function of plain arrays, which any program that has JAX can call.

It is serialized by `jax.export` as StableHLO, weights included, and takes crystals of any size:

| argument        | shape | dtype   | meaning                                                |
|-----------------|-------|---------|--------------------------------------------------------|
| `atomic_number` | [N]   | int32   | of all atoms, crystal after crystal                    |
| `n_atoms`       | [C]   | int32   | atoms of each crystal                                  |
| `center`        | [E]   | int32   | the atom whose neighbour it is: a row of `atomic_number` |
| `neighbor`      | [E]   | int32   | the neighbour's                                        |
| `distance`      | [E]   | float32 | between them (Å)                                       |

An atom's neighbours are its `max_neighbors` nearest ones within `radius`, periodic images counted
one by one; the order of the pairs does not matter. What comes back is float32 [C, V]: a value for
each property in its own unit, of two classes the probability of class 1, of more that of each.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jraph
from flax import nnx
from jax import export

from data_prep.config import GraphConfig
from data_prep.errors import UserError
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.models.ensemble import call_members
from gatgnn_jax.objective import output_slices
from gatgnn_jax.runs.config import RunConfig

PLATFORMS = ("cpu", "cuda", "tpu")


def portable(config: RunConfig, graphdef: nnx.GraphDef, model: ModelState) -> bytes:
    """The serialized function of a model as `RunDirectory.load_best` gives it.

    Raises:
        UserError: its global attention needs groups of atoms, which the arrays do not have.
    """
    if config.graph.clusters:
        raise UserError(
            f"a model with the global attention {config.model.global_attention} cannot be exported:"
            " it needs the atoms grouped by position, which only this package does"
        )
    atoms, crystals, pairs = export.symbolic_shape("n, c, e")

    def argument(size: Any, dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size,), dtype)

    exported = export.export(jax.jit(predictor(config, graphdef, model)), platforms=PLATFORMS)(
        argument(atoms, jnp.int32),
        argument(crystals, jnp.int32),
        argument(pairs, jnp.int32),
        argument(pairs, jnp.int32),
        argument(pairs, jnp.float32),
    )
    return bytes(exported.serialize())


def predictor(
    config: RunConfig, graphdef: nnx.GraphDef, model: ModelState
) -> Callable[..., jax.Array]:
    """The function itself, of the arrays above."""

    def predict(
        atomic_number: jax.Array,
        n_atoms: jax.Array,
        center: jax.Array,
        neighbor: jax.Array,
        distance: jax.Array,
    ) -> jax.Array:
        graph = as_batch(atomic_number, n_atoms, center, neighbor, distance, config.graph)
        network = nnx.merge(graphdef, model.params, model.stats, copy=True)
        output = call_members(network, graph).prediction[:-1]  # [C, M, outputs]
        columns: list[jax.Array] = []
        for p, outputs in zip(config.properties, output_slices(config.properties), strict=True):
            own = output[..., outputs]
            if p.task == "regression":
                # The mean over members is that of what was trained on: in that, as everywhere.
                trained: Any = (own * p.scale + p.mean).mean(axis=1)
                columns.append(jnp.asarray(p.in_own_unit(trained)))
            else:
                share = jax.nn.softmax(own).mean(axis=1)
                columns.append(share[:, 1:] if share.shape[1] == 2 else share)
        return jnp.concatenate(columns, axis=1)

    return predict


def as_batch(
    atomic_number: jax.Array,
    n_atoms: jax.Array,
    center: jax.Array,
    neighbor: jax.Array,
    distance: jax.Array,
    config: GraphConfig,
) -> jraph.GraphsTuple:
    """Plain arrays as a batch (`gatgnn_jax.batches.layout`) whose padding is one empty atom."""
    atoms = atomic_number.shape[0]
    crystal = jnp.repeat(
        jnp.arange(n_atoms.shape[0], dtype=jnp.int32), n_atoms, total_repeat_length=atoms
    )
    multiplicity = jnp.ones(center.shape, jnp.float32)
    if config.fake_edges:  # from the crystal's first atom, as many as neighbours are missing
        first = (jnp.cumsum(n_atoms) - n_atoms)[crystal].astype(jnp.int32)
        found = jnp.zeros(atoms, jnp.float32).at[center].add(1.0)
        center = jnp.concatenate([center, jnp.arange(atoms, dtype=jnp.int32)])
        neighbor = jnp.concatenate([neighbor, first])
        distance = jnp.concatenate([distance, jnp.full(atoms, config.radius + 1, jnp.float32)])
        multiplicity = jnp.concatenate([multiplicity, config.max_neighbors - found])
    order = jnp.argsort(center)
    pairs = jnp.zeros(n_atoms.shape, jnp.int32).at[crystal[center]].add(1)
    every = jnp.arange(atoms + 1, dtype=jnp.int32)

    def with_padding(values: jax.Array, padding: float) -> jax.Array:
        return jnp.append(values, jnp.asarray([padding], values.dtype))

    return jraph.GraphsTuple(
        nodes={
            "atomic_number": with_padding(atomic_number, 0),
            "multiplicity": with_padding(jnp.ones(atoms, jnp.float32), 0),
        },
        edges={
            "bond": jnp.arange(center.shape[0], dtype=jnp.int32),
            "multiplicity": multiplicity[order],
        },
        senders=neighbor[order],
        receivers=center[order],
        n_node=with_padding(n_atoms, 1),
        n_edge=with_padding(pairs, 0),
        globals={
            "bond_distance": distance[order],
            "atom_node": every,
            "atom_graph": with_padding(crystal, n_atoms.shape[0]),
            "atom_index": every,
            "atom_number": every,
            "cluster": jnp.zeros(atoms + 1, jnp.int32),
        },
    )
