"""What a trained model attends to in a crystal: atoms, and each one's neighbours in every layer.

A model trained on quotient graphs is explained on the full graph, with the same weights. That is
the same function: atoms of one class get the same features from every layer, and a merged edge of
multiplicity m is, in every sum and softmax, m edges of one share each
(`tests/test_quotient_model.py`). So each atom and each neighbour has an attention of its own.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx
from pymatgen.core import Structure

from data_prep.errors import UserError
from data_prep.graph import build_graph
from data_prep.labels import atom_labels
from data_prep.packing import pack
from gatgnn_jax.batches.arrays import BatchShape, CrystalArrays, crystal_arrays, padded
from gatgnn_jax.batches.gathering import gather_batch
from gatgnn_jax.devices.forked import check_not_forked
from gatgnn_jax.models.base import ModelState, Output
from gatgnn_jax.models.ensemble import call_members
from gatgnn_jax.models.networks import kind_of
from gatgnn_jax.prediction.engines import EVALUATION_SEED, judged
from gatgnn_jax.prediction.evidence import Evidence, evidence_for
from gatgnn_jax.prediction.reliability import UNKNOWN, Reliability
from gatgnn_jax.prediction.result import Predictions
from gatgnn_jax.runs.config import RunConfig

SMALLEST_SHAPE = 16
"""Atoms there is room for in the smallest compiled program; larger ones double it."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attention in one crystal of n atoms with E edges, under a model of L layers.

    Attributes:
        structure: the crystal; all arrays have its atoms in its order, which is that of its file.
        prediction: what the model says about it, one row.
        evidence: what that rests on.
        atom_weights: float64 [n]: each atom's share of the crystal vector; sums to 1. Without
            global attention all are equal.
        receivers: int [E]: the atom that attends.
        senders: int [E]: the neighbour it attends to.
        images: int [E, 3]: the cell the neighbour is in, in lattice vectors from the atom's own.
        distances: float64 [E] (Å).
        edge_attention: float64 [L, E]: averaged over heads. Over the neighbours of an atom it sums
            to 1; to less in a GAT layer, which attends to the atom itself too, and where the model
            was trained with fake edges, which are left out here.
    """

    structure: Structure
    prediction: Predictions
    evidence: Evidence
    atom_weights: np.ndarray
    receivers: np.ndarray
    senders: np.ndarray
    images: np.ndarray
    distances: np.ndarray
    edge_attention: np.ndarray

    @property
    def elements(self) -> list[str]:
        """The element of each atom [n]."""
        return [site.specie.symbol for site in self.structure]

    @property
    def labels(self) -> list[str]:
        """What the file calls each atom [n]; by element and number (Fe1, Fe2) if it has no names.

        Atoms that symmetry makes of one line of a CIF have one label.
        """
        return atom_labels(self.structure)

    def element_weights(self) -> dict[str, float]:
        """The weights of each element's atoms together, in the order of the first atom of each."""
        table = self.atom_table()
        return table.groupby("element", sort=False).weight.sum().to_dict()

    def atom_table(self) -> pd.DataFrame:
        """Columns atom (0, 1, … as in the file), label, element, weight."""
        return pd.DataFrame(
            {
                "atom": range(len(self.structure)),
                "label": self.labels,
                "element": self.elements,
                "weight": self.atom_weights,
            }
        )

    def edge_table(self) -> pd.DataFrame:
        """A row an edge: atom, neighbour, labels, image, distance (Å), attention in layer_1, …"""
        labels = np.array(self.labels, dtype=object)
        layers = {f"layer_{i}": values for i, values in enumerate(self.edge_attention, 1)}
        return pd.DataFrame(
            {
                "atom": self.receivers,
                "neighbour": self.senders,
                "label": labels[self.receivers],
                "neighbour_label": labels[self.senders],
                "image": list(map(tuple, self.images.tolist())),
                "distance": self.distances,
                **layers,
            }
        )


def why_unexplained(config: RunConfig) -> str:
    """Why a model has no attention that `explain` could show; an empty text if it has."""
    if config.others:
        return (
            "different networks have no attention in common to explain: train one of "
            f"{config.train.ensemble} alone"
        )
    if not kind_of(config.model.model).attentive:
        return (
            f"a {config.model.model} model has no attention to explain: "
            "train one with --model gatgnn or gated-gatgnn"
        )
    return ""


def explain(
    config: RunConfig,
    graphdef: nnx.GraphDef,
    model: ModelState,
    structure: Structure,
    name: str = "0",
    reliability: Reliability = UNKNOWN,
) -> Explanation:
    """The attention of a model, as `RunDirectory.load_best` gives it, in one crystal.

    What its prediction is worth is judged by `reliability`.

    Raises:
        UserError: the model has no attention, or the process is a fork of one that has used JAX.
        BadCrystal: a crystal the model cannot take.
    """
    check_not_forked()
    if why := why_unexplained(config):
        raise UserError(why)
    settings = replace(config.graph, reduce=False)
    graph = build_graph(structure, settings)
    data = crystal_arrays(pack([graph], [name], {}, settings), np.zeros((1, 1)), dense=False)

    room = SMALLEST_SHAPE
    while room < len(structure):
        room *= 2
    edges = room * settings.max_neighbors
    shape = BatchShape(1, room, edges, edges, room)
    output = jax.device_get(_apply(graphdef, model.params, model.stats, padded(data, shape), shape))

    used = graph.edge_multiplicity > 0
    receivers = np.nonzero(used)[0]
    senders, distances = graph.sender[used], graph.distance[used].astype(np.float64)
    attention = np.stack(
        [
            layer[: len(receivers)].reshape(len(receivers), -1).mean(axis=1, dtype=np.float64)
            for layer in output.edge_attention
        ]
    )
    real = distances <= settings.radius  # fake edges have a length beyond it
    receivers, senders, distances = receivers[real], senders[real], distances[real]
    weights = output.atom_attention[: len(structure)].astype(np.float64)
    predicted = judged(
        output.prediction[:1],
        output.crystal_vector[:1],
        [graph],
        config.properties,
        config.data.known_elements,
        reliability,
    )
    return Explanation(
        structure=structure,
        prediction=Predictions(
            ids=(name,),
            properties=config.properties,
            transformed=predicted.values,
            warnings=tuple(predicted.warnings),
            reasons=("",),
            uncertainty=predicted.uncertainty,
            half_width=predicted.half_width,
            neighbors=None if predicted.neighbors is None else tuple(predicted.neighbors),
        ),
        evidence=evidence_for(predicted, graph, config.data.known_elements, reliability),
        atom_weights=weights / weights.sum(),  # without global attention each is 1
        receivers=receivers,
        senders=senders,
        images=neighbor_images(structure, receivers, senders, distances, settings.radius),
        distances=distances,
        edge_attention=attention[:, real],
    )


def neighbor_images(
    structure: Structure,
    receivers: np.ndarray,
    senders: np.ndarray,
    distances: np.ndarray,
    radius: float,
) -> np.ndarray:
    """The cell each edge's sender is in, int [E, 3] lattice vectors from the receiver's cell.

    A graph keeps the nearest neighbours, so of the edges between two atoms it has the shortest: the
    k-th shortest of the graph is the k-th shortest of all within `radius` (Å).
    """
    centre, neighbour, image, distance = structure.get_neighbor_list(radius)
    order = np.lexsort((distance, neighbour, centre))
    pair = centre[order] * len(structure) + neighbour[order]
    edge_order = np.lexsort((distances, senders, receivers))
    edge_pair = receivers[edge_order] * len(structure) + senders[edge_order]
    rank = np.arange(len(edge_pair)) - np.searchsorted(edge_pair, edge_pair)
    images = np.empty((len(edge_pair), 3), np.int64)
    images[edge_order] = image[order][np.searchsorted(pair, edge_pair) + rank]
    return images


@partial(jax.jit, static_argnums=(0, 4))
def _apply(
    graphdef: nnx.GraphDef, params: Any, stats: Any, data: CrystalArrays, shape: BatchShape
) -> Output:
    graph = gather_batch(data, jnp.zeros(1, jnp.int32), shape)
    model = nnx.merge(graphdef, params, stats, copy=True)
    return call_members(model, graph, key=jax.random.key(EVALUATION_SEED))
