"""Global attention: what share of a crystal's vector each atom gives (section 2.3, Table 1).

Every variant turns atom features into one logit an atom; the softmax over the atoms of a crystal
makes them weights that sum to 1 (`softmax_over_crystals`). The five choices:

- `composition` (GI M-1): the crystal's elemental composition beside each atom's features.
- `cluster-fixed` (GI M-2): the sum over the atom's own cluster.
- `cluster-random` (GI M-3): the sum over another cluster of the crystal, drawn at random.
- `cluster-learnable` (GI M-4): crystal sum, atom features and cluster through a learned layer.
- `none`: every atom counts 1 (plain AGAT).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import jraph
from flax import nnx

from data_prep.clusters import N_CLUSTER
from data_prep.elements import COMPOSITION_SIZE
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import constructor_options, linear
from gatgnn_jax.models.ops import softplus


@dataclass(frozen=True)
class Atoms:
    """The atoms of a batch, for layers that work on whole crystals.

    `crystal` [A] int32 names each atom's graph among `num_crystals` (the last one is padding),
    `index` [A] is a number that random draws depend on, `cluster` [A] the atom's group among
    `num_clusters`, `composition` [G, 103] the atomic fractions of each crystal's elements.
    """

    crystal: jax.Array
    index: jax.Array
    cluster: jax.Array
    composition: jax.Array
    num_crystals: int
    num_clusters: int

    @classmethod
    def of(cls, graph: jraph.GraphsTuple, train: bool) -> "Atoms":
        """The atoms of a batch; random draws depend on an atom's place in the dataset in training,
        in its crystal otherwise."""
        num_crystals = graph.n_node.shape[0]
        crystal = graph.globals["atom_graph"]
        element = graph.nodes["atomic_number"][graph.globals["atom_node"]]
        # Element Z at Z - 1; padding (Z = 0) lands in the padding graph and is never read.
        slot = crystal * COMPOSITION_SIZE + jnp.maximum(element, 1) - 1
        count = jax.ops.segment_sum(
            jnp.ones(slot.shape[0]), slot, num_crystals * COMPOSITION_SIZE
        ).reshape(num_crystals, COMPOSITION_SIZE)
        return cls(
            crystal=crystal,
            index=graph.globals["atom_number" if train else "atom_index"],
            cluster=graph.globals["cluster"],
            composition=count / jnp.maximum(count.sum(1, keepdims=True), 1),
            num_crystals=num_crystals,
            num_clusters=N_CLUSTER,
        )

    def sum(self, values: jax.Array) -> jax.Array:
        """[A, …] → sum over each crystal [G, …]."""
        return jax.ops.segment_sum(values, self.crystal, self.num_crystals)

    def softmax(self, logits: jax.Array) -> jax.Array:
        """[A] logits → [A] weights that sum to 1 over each crystal."""
        highest = jax.ops.segment_max(logits, self.crystal, self.num_crystals)
        weights = jnp.exp(logits - jax.lax.stop_gradient(highest)[self.crystal])
        return weights / self.sum(weights)[self.crystal]


class CompositionAttention(nnx.Module):
    """GI M-1: `Linear(32→1)(softplus(Linear(F+103→32)([x ‖ composition])))` (Figure 2)."""

    def __init__(self, neurons: int, *, rngs: nnx.Rngs):
        self.hidden = linear(neurons + COMPOSITION_SIZE, 32, rngs)
        self.out = linear(32, 1, rngs)

    def __call__(self, x: jax.Array, atoms: Atoms, key: jax.Array | None) -> jax.Array:
        """Atom features [A, F] → logits [A]."""
        composition = atoms.composition[atoms.crystal]
        return self.out(softplus(self.hidden(jnp.concatenate([x, composition], -1))))[:, 0]


class ClusterAttention(nnx.Module):
    """GI M-2 and M-3: each atom gets a cluster's summed features (Figure 3, "unpooling").

    `logit = Linear(F→1)(leaky_relu(Linear(F→F)(r · Σ_cluster x), 0.45))`, where r is the cluster's
    share of the crystal's atoms, normalized to sum to 1 over the atoms; it is left out for crystals
    of one or two atoms. With `random` the cluster is drawn uniformly among the crystal's other
    clusters; an atom whose crystal has no other cluster keeps its own.
    """

    def __init__(self, neurons: int, *, random: bool, rngs: nnx.Rngs):
        self.random = random
        self.hidden = linear(neurons, neurons, rngs)
        self.out = linear(neurons, 1, rngs)

    def __call__(self, x: jax.Array, atoms: Atoms, key: jax.Array | None) -> jax.Array:
        """Atom features [A, F] and, for random clusters, a PRNG key → logits [A]."""
        num_segments = atoms.num_crystals * atoms.num_clusters
        first = atoms.crystal * atoms.num_clusters
        own = first + atoms.cluster
        size = jax.ops.segment_sum(jnp.ones(x.shape[0]), own, num_segments)
        pooled = jax.ops.segment_sum(x, own, num_segments)

        chosen = own
        if self.random:
            if key is None:
                raise ValueError("cluster-random global attention needs a PRNG key")
            chosen = first + self._draw(key, atoms, size)
        num_atoms = atoms.sum(jnp.ones(x.shape[0]))[atoms.crystal]
        share = size[chosen]
        share = share / atoms.sum(share)[atoms.crystal]
        share = jnp.where(num_atoms <= 2, 1.0, share)
        return _two_layers(self, pooled[chosen] * share[:, None])

    @staticmethod
    def _draw(key: jax.Array, atoms: Atoms, size: jax.Array) -> jax.Array:
        """A cluster [A] for each atom, uniform among the other non-empty ones of its crystal.

        The draw depends on the key and the atom's index alone, so that it is the same in any batch.
        """
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(atoms.index)
        scores = jax.vmap(lambda k: jax.random.uniform(k, (atoms.num_clusters,)))(keys)
        present = size.reshape(-1, atoms.num_clusters)[atoms.crystal] > 0
        is_own = jnp.arange(atoms.num_clusters) == atoms.cluster[:, None]
        # The own cluster scores below every other one there is and above those that are empty.
        scores = jnp.where(is_own, -1.0, jnp.where(present, scores, -2.0))
        return scores.argmax(-1)


class LearnableClusterAttention(nnx.Module):
    """GI M-4: a learned layer over `[G ‖ x ‖ one-hot cluster]`, G the crystal's sum (eq. 4).

    `logit = Linear(F→1)(leaky_relu(Linear(F→F)(softplus(Linear(2F+3→F)(…))), 0.45))`. The paper
    names no activation for the first layer; without one the first two layers would be one.
    """

    def __init__(self, neurons: int, *, rngs: nnx.Rngs):
        self.place = linear(2 * neurons + N_CLUSTER, neurons, rngs)
        self.hidden = linear(neurons, neurons, rngs)
        self.out = linear(neurons, 1, rngs)

    def __call__(self, x: jax.Array, atoms: Atoms, key: jax.Array | None) -> jax.Array:
        """Atom features [A, F] → logits [A]."""
        one_hot = jax.nn.one_hot(atoms.cluster, atoms.num_clusters, dtype=x.dtype)
        inputs = jnp.concatenate([atoms.sum(x)[atoms.crystal], x, one_hot], -1)
        return _two_layers(self, softplus(self.place(inputs)))


def _two_layers(module: ClusterAttention | LearnableClusterAttention, x: jax.Array) -> jax.Array:
    return module.out(nnx.leaky_relu(module.hidden(x), 0.45))[:, 0]


@dataclass(frozen=True)
class GlobalAttention:
    """A global attention that can be chosen by name.

    Attributes:
        module: its class, made as `module(neurons, rngs=rngs)` and called as those here are; None
            for no global attention.
        label: what pages call it.
        published: whether the published program has it.
        clusters: whether it needs the atoms' clusters.
        options: of its constructor, that belong to the name.
    """

    module: type[Any] | None
    label: str
    published: bool = False
    clusters: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


GLOBAL_ATTENTIONS: dict[str, GlobalAttention] = {
    "composition": GlobalAttention(CompositionAttention, "GI M-1", published=True),
    "cluster-fixed": GlobalAttention(
        ClusterAttention, "GI M-2", published=True, clusters=True, options={"random": False}
    ),
    "cluster-random": GlobalAttention(
        ClusterAttention, "GI M-3", published=True, clusters=True, options={"random": True}
    ),
    "cluster-learnable": GlobalAttention(LearnableClusterAttention, "GI M-4", clusters=True),
    "none": GlobalAttention(None, "no global attention: all atoms count alike", published=True),
}
"""By the name that `--global-attention` takes; the labels are the paper's (Table 1)."""


def register_global_attention(
    name: str, module: type[Any], *, label: str = "", clusters: bool | None = None
) -> None:
    """Let `--global-attention name`, or `fit(global_attention=name)`, use this class.

    Args:
        name: what it is called.
        module: as described in `GlobalAttention`.
        label: what pages call it; by default as its class.
        clusters: whether it needs the atoms' clusters (`Atoms.cluster`); by default what the class
            says in an attribute of that name, else no.
    """
    if clusters is None:
        clusters = bool(getattr(module, "clusters", False))
    GLOBAL_ATTENTIONS[name] = GlobalAttention(module, label or module.__name__, clusters=clusters)


def label_of(name: str) -> str:
    """What pages call a global attention; its name, if nobody has registered it here."""
    return GLOBAL_ATTENTIONS[name].label if name in GLOBAL_ATTENTIONS else name


def new_global_attention(config: ModelConfig, rngs: nnx.Rngs) -> nnx.Module | None:
    """The global attention that the settings name; None for `none`.

    Raises:
        ValueError: there is none of that name, or it has no such option.
    """
    if config.global_attention not in GLOBAL_ATTENTIONS:
        raise ValueError(
            f"global_attention is '{config.global_attention}': choose one of "
            f"{', '.join(GLOBAL_ATTENTIONS)}, or name a class as FILE.py:CLASS"
        )
    chosen = GLOBAL_ATTENTIONS[config.global_attention]
    if chosen.module is None:
        return None
    options = constructor_options(chosen.module, config.attention_options)
    return chosen.module(config.neurons, rngs=rngs, **chosen.options, **options)


def atom_weights(
    attention: nnx.Module | None, x: jax.Array, atoms: Atoms, key: jax.Array | None
) -> jax.Array:
    """Atom features [A, F] → weights [A] that sum to 1 over a crystal; 1 each without attention."""
    if attention is None:
        return jnp.ones(x.shape[0])
    return atoms.softmax(attention(x, atoms, key))
