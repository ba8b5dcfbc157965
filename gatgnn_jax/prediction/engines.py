"""Predictions of a trained model: of crystals as they come, or of a whole dataset on the device."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, PartitionSpec

from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.graph import CrystalGraph
from data_prep.packing import pack
from data_prep.properties import Property
from gatgnn_jax.batches.arrays import BOND_GRID, BatchShape, CrystalArrays, crystal_arrays, padded
from gatgnn_jax.batches.feeds import Feed
from gatgnn_jax.batches.gathering import gather_batch, in_dataset_order
from gatgnn_jax.devices.forked import check_not_forked
from gatgnn_jax.devices.mesh import AXIS, data_mesh, whole
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.models.ensemble import call_members
from gatgnn_jax.objective import member_spread, member_values, predicted_values
from gatgnn_jax.prediction.reliability import UNKNOWN, Reliability
from gatgnn_jax.prediction.training_crystals import Neighbor
from gatgnn_jax.runs.config import RunConfig

EDGES_PER_CRYSTAL = 16
"""Room in a batch; the bundled crystals have 14 on average, larger ones make smaller batches."""

GROWTH = 4
"""A crystal too large for the usual batch gets one that is 4, 16, … times as large."""

LARGE = 1 << 17
"""Beyond so many edges each array has a size of its own: memory counts then, not compilations."""

EVALUATION_SEED = 0
"""Random clusters are drawn from this seed in evaluation, so that predictions repeat."""

Item = TypeVar("Item")


class Predicted(NamedTuple):
    """What the model says about C crystals, in their order.

    Attributes:
        values: [C, V]: transformed values; of two classes the probability of class 1, of more that
            of each (`objective.value_slices` says which columns are whose).
        crystal_vector: [C, F]: the weighted sum of the atoms' features; of an ensemble, all its
            members' one after another.
        uncertainty: [C, V]: standard deviation over an ensemble's members; None for one network.
        half_width: [C, V]: how far the intervals reach to either side of the values; NaN for a
            property without, None for a run without.
        neighbors: the nearest training crystal of each; None if the run has kept none.
        warnings: what is doubtful about each of them; empty if nothing is.
        members: [C, M, V]: what each of the M networks says; None if it is not known.
    """

    values: np.ndarray
    crystal_vector: np.ndarray
    uncertainty: np.ndarray | None = None
    half_width: np.ndarray | None = None
    neighbors: list[Neighbor] | None = None
    warnings: Sequence[str] = ()
    members: np.ndarray | None = None


class StreamPredictor:
    """Predicts crystals as they come, in constant memory.

    Batches are filled in the order of the crystals, and all have one shape, which is compiled once.
    Only a crystal that is too large for it goes alone, in a shape larger by a power of `GROWTH`,
    and a very large one in a shape of its own: a handful of programs serves crystals of any size,
    and memory follows the crystal's.
    """

    def __init__(
        self,
        config: RunConfig,
        graphdef: nnx.GraphDef,
        model: ModelState,
        batch_size: int = 512,
        reliability: Reliability = UNKNOWN,
    ):
        """A model as `RunDirectory.load_best` gives it.

        `batch_size` is in crystals, at most; `reliability` what its predictions are judged by.

        Raises:
            UserError: the batch size is below 1.
        """
        if batch_size < 1:
            raise UserError(f"the batch size is {batch_size}: give 1 or more")
        self.graph: GraphConfig = config.graph
        self.element_counts = config.data.known_elements
        self.reliability = reliability
        self.properties = config.properties
        self.graphdef = graphdef
        edges = batch_size * EDGES_PER_CRYSTAL
        # Shares as crystals of both presets have them; most batches are full in edges.
        self.usual = BatchShape(batch_size, edges // 4, edges, edges // 2, edges)
        # Large jobs are held up by the preparation of graphs, so that one device is enough.
        self.mesh = data_mesh(jax.local_devices()[:1])
        self.model = jax.device_put(model, self.mesh.devices.flat[0])
        self.programs: dict[BatchShape, Any] = {}

    def stream(
        self, crystals: Iterable[tuple[Item, CrystalGraph]]
    ) -> Iterator[tuple[list[Item], Predicted]]:
        """Predict graphs that were built with `self.graph`; whatever comes with each is passed on.

        The results are in the order of the crystals, a batch at a time.
        """
        items: list[Item] = []
        graphs: list[CrystalGraph] = []
        filled = BatchShape(0, 0, 0, 0, 0)
        for item, graph in crystals:
            size = _size(graph)
            total = BatchShape(*map(sum, zip(filled, size, strict=True)))
            if items and not _fits(total, self.usual):
                yield items, self.predict(graphs)
                items, graphs, total = [], [], size
            items.append(item)
            graphs.append(graph)
            filled = total
        if items:
            yield items, self.predict(graphs)

    def predict(self, graphs: Sequence[CrystalGraph]) -> Predicted:
        """Predict graphs as one batch; at least one.

        Raises:
            UserError: the process is a fork of one that has used JAX.
        """
        check_not_forked()
        ids = [str(i) for i in range(len(graphs))]
        data = crystal_arrays(
            pack(graphs, ids, {}, self.graph), np.zeros((len(graphs), 1)), dense=False
        )
        size = BatchShape(len(graphs), *map(int, data.num_rows.sum(0)))
        shape = self._shape_for(size)
        if shape not in self.programs:
            self.programs[shape] = make_predict(self.graphdef, shape, self.mesh)
        batch = np.full((1, shape.crystals), -1, np.int32)
        batch[0, : len(graphs)] = range(len(graphs))
        output, crystal_vector = jax.device_get(
            self.programs[shape](self.model.params, self.model.stats, padded(data, shape), batch)
        )
        return judged(
            output[0, : len(graphs)],
            crystal_vector[0, : len(graphs)],
            graphs,
            self.properties,
            self.element_counts,
            self.reliability,
        )

    def _shape_for(self, size: BatchShape) -> BatchShape:
        """The usual shape, or the smallest of those for larger crystals that has room."""
        shape = self.usual
        while not _fits(size, shape):
            shape = BatchShape(*(rows * GROWTH for rows in shape))
            if shape.edges > LARGE:
                return BatchShape(*map(_power_of_two, size))
        return shape


class DatasetPredictor:
    """Predicts crystals of a dataset, in the batches of its feed."""

    def __init__(
        self, graphdef: nnx.GraphDef, feed: Feed, properties: Sequence[Property], mesh: Mesh
    ):
        """`feed` puts its crystals on the devices of `mesh`."""
        self.feed = feed
        self.properties = properties
        self.program = make_predict(graphdef, feed.plan.shape, mesh, feed.placed)

    def __call__(self, model: ModelState, subset: np.ndarray) -> np.ndarray:
        """Predicted values [C, V] of a subset of the crystals; NaN for all others."""
        return predicted_values(self.outputs(model, subset), self.properties)

    def outputs(self, model: ModelState, subset: np.ndarray) -> np.ndarray:
        """Each member's outputs [C, M, outputs]; NaN for the other crystals."""
        batches = self._batches(subset)
        found: list[jax.Array] = []
        for data, batch in self.feed(batches):
            if found:  # so that no more crystals wait on the devices than are needed
                found[-1].block_until_ready()
            found.append(self.program(model.params, model.stats, data, batch).output)
        return in_dataset_order(np.stack(whole(found)), batches, self.feed.num_crystals)

    def crystal_vectors(
        self, model: ModelState, rows: np.ndarray, subset: np.ndarray
    ) -> np.ndarray:
        """Each member's vector [R, M, F] of some crystals of a subset that batches are planned for.

        No more of them are in memory at once than a batch has.
        """
        place = np.full(self.feed.num_crystals, -1)
        place[rows] = np.arange(len(rows))
        batches = self._batches(subset)
        places = np.where(batches >= 0, place[batches], -1)  # of each crystal in the result
        some = (places >= 0).any(axis=(1, 2))
        batches, places = batches[some], places[some]
        found: list[np.ndarray] = []
        for (data, batch), own in zip(self.feed(batches), places, strict=True):
            vectors = self.program(model.params, model.stats, data, batch).crystal_vector
            found.append(whole(vectors)[own >= 0])
        return np.concatenate(found)[np.argsort(places[places >= 0])]

    def _batches(self, subset: np.ndarray) -> np.ndarray:
        """The subset's crystals [batches, 1, B].

        One batch a call: with the steps of a part the program would be another for each subset.
        """
        parts = self.feed.plan.deal(subset)
        return parts.reshape(-1, 1, parts.shape[-1])


def judged(
    output: np.ndarray,
    crystal_vector: np.ndarray,
    graphs: Sequence[CrystalGraph],
    properties: Sequence[Property],
    element_counts: Mapping[str, int],
    reliability: Reliability,
) -> Predicted:
    """Outputs [C, M, outputs] and vectors [C, M, F] as predictions, with what they are worth."""
    values, spread = predicted_values(output, properties), member_spread(output, properties)
    vector = crystal_vector.reshape(len(graphs), -1)
    intervals, training = reliability.intervals, reliability.training
    return Predicted(
        values,
        vector,
        spread,
        None if intervals is None else intervals.half_width(properties, values, spread),
        None if training is None else training.neighbors(vector),
        reliability.warnings(vector, graphs, element_counts),
        member_values(output, properties),
    )


def _size(graph: CrystalGraph) -> BatchShape:
    """The rows one crystal takes."""
    distance = graph.distance[graph.edge_multiplicity > 0].astype(np.float64)
    bonds = len(np.unique(np.rint(distance / BOND_GRID)))
    return BatchShape(1, len(graph.atomic_number), len(distance), bonds, len(graph.atom_node))


def _power_of_two(rows: int) -> int:
    """The next one, from 1 on."""
    return 1 << max(rows - 1, 0).bit_length()


def _fits(size: BatchShape, shape: BatchShape) -> bool:
    return all(a <= b for a, b in zip(size, shape, strict=True))


class Prediction(NamedTuple):
    """The model's outputs, batch by batch: [batches, devices * B, …]."""

    output: jax.Array
    """[…, M, outputs]"""
    crystal_vector: jax.Array
    """[…, M, F]"""


def make_predict(
    graphdef: nnx.GraphDef,
    shape: BatchShape,
    mesh: Mesh,
    placed: PartitionSpec = PartitionSpec(),  # noqa: B008 (immutable)
) -> Callable[..., Prediction]:
    """Compiled `(params, stats, data, batches) → Prediction`; the last two as in training."""

    def predict(
        params: nnx.State, stats: nnx.State, data: CrystalArrays, batches: jax.Array
    ) -> Prediction:
        model = nnx.merge(graphdef, params, stats, copy=True)

        def one(crystals: jax.Array) -> Prediction:
            graph = gather_batch(data, crystals, shape)
            output = call_members(model, graph, key=jax.random.key(EVALUATION_SEED))
            return Prediction(output.prediction[:-1], output.crystal_vector[:-1])

        return jax.lax.map(one, batches)

    everywhere = PartitionSpec()
    return jax.jit(
        jax.shard_map(
            predict,
            mesh=mesh,
            in_specs=(everywhere, everywhere, placed, PartitionSpec(None, AXIS)),
            out_specs=PartitionSpec(None, AXIS),
        )
    )
