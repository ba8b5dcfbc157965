"""From what is asked for to data and settings that are checked and ready to train.

A new run is asked for by options, and one that goes on by its own `config.json`. Both are a
`Request`: which crystals to open and how to split them, and what settings come of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pymatgen.core import Element

from data_prep.cache import open_dataset
from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset, has_changed
from data_prep.errors import Skipped, UserError, number_of
from data_prep.properties import DEFAULT_PROPERTY, Property, Task, misspelt
from data_prep.targets import standardized
from data_prep.workers import Workers
from gatgnn_jax.batches.splits import SUBSETS
from gatgnn_jax.choices import ClassWeight
from gatgnn_jax.config import ModelConfig, TrainConfig
from gatgnn_jax.models.networks import graph_for
from gatgnn_jax.runs.config import DataInfo, RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.ready_made import PRETRAINED
from gatgnn_jax.training.data import (
    Asked,
    TrainingData,
    balanced,
    chosen_properties,
    training_data,
)
from gatgnn_jax.training.transfer import same_properties, trained_run


@dataclass(frozen=True)
class Request:
    """A training that is asked for.

    Attributes:
        graph: the graphs to train on.
        source: where the crystals are; None: the bundled ones.
        limit: only so many of them, the first ones.
        split: ratios or a file; None: the data's own split or the default.
        seed: of a split that is drawn.
        weight: the column with weights of the crystals; None: all count alike.
    """

    graph: GraphConfig
    source: Path | None
    limit: int | None
    split: str | None
    seed: int
    weight: str | None = field(default=None, kw_only=True)

    def properties(self, dataset: GraphDataset) -> tuple[Property, ...]:
        """What is to be predicted, of what the dataset has."""
        raise NotImplementedError

    def config(self, dataset: GraphDataset, data: TrainingData) -> RunConfig:
        """All settings of the run."""
        raise NotImplementedError

    def notes(self, config: RunConfig, test: Sequence[str]) -> list[str]:
        """What the user should know of the choices, one line each; `test` are ids."""
        return []


@dataclass(frozen=True)
class NewRun(Request):
    """A run from the beginning.

    Attributes:
        model: the network.
        train: how it is trained.
        property: names, comma-separated; None: the default of the data.
        task: see `Asked`, as for `unit` and `transform`.
        class_weight: let all classes of a classification count alike, however many crystals they
            have (balanced).
        others: the networks that an ensemble has beside `model`.
    """

    model: ModelConfig
    train: TrainConfig
    property: str | None
    task: Task | None = None
    unit: str | None = None
    transform: str | None = None
    class_weight: ClassWeight = "balanced"
    others: tuple[ModelConfig, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "graph", graph_for((self.model, *self.others), self.graph))

    def properties(self, dataset: GraphDataset) -> tuple[Property, ...]:
        """The properties named, or the default of the data."""
        asked = Asked(self.property, self.task, self.unit, self.transform)
        return chosen_properties(asked, dataset, self.source, self.weight)

    def config(self, dataset: GraphDataset, data: TrainingData) -> RunConfig:
        """The settings asked for, with what the data add to them.

        Raises:
            UserError: a run to start from that does not fit.
        """
        properties, known = data.properties, data.target[data.subsets["train"]]
        if self.train.standardize:
            properties = standardized(properties, known)
        if self.class_weight == "balanced":
            properties = balanced(properties, known)
        is_file = self.split is not None and Path(self.split).is_file()
        info = DataInfo(
            source=None if self.source is None else str(self.source.absolute()),
            limit=self.limit,
            split=str(Path(self.split).absolute()) if self.split and is_file else self.split,
            content_hash=dataset.content_hash,
            element_counts=_element_counts(dataset, data.subsets["train"]),
            weight=self.weight,
        )
        crystals = len(data.subsets["train"])
        train = self.train.batches_for(crystals)
        config = RunConfig(self.graph, self.model, train, properties, info, others=self.others)
        return config if self.train.init_from is None else _started_from(config, crystals)

    def notes(self, config: RunConfig, test: Sequence[str]) -> list[str]:
        """A property that nobody named, or that may be another; test crystals seen before."""
        notes = [
            f"{p.name} is no known property, so it is a plain number here: did you mean {meant}?"
            for p in config.properties
            if p.task == "regression" and not p.unit and (meant := misspelt(p))
        ]
        if self.property is None and config.properties[0].name != DEFAULT_PROPERTY:
            notes.append(f"{config.properties[0].name}: the only column of {self.source}")
        if config.train.init_from is not None:
            notes += _seen_before(config, test)
        return notes


@dataclass(frozen=True)
class ResumedRun(Request):
    """A run that goes on with the settings it was started with."""

    run: RunConfig

    @classmethod
    def of(cls, run: RunConfig) -> "ResumedRun":
        """The request that the settings of a run are."""
        given = (run.graph, run.data.path, run.data.limit, run.data.split, run.train.seed, run)
        return cls(*given, weight=run.data.weight)

    def properties(self, dataset: GraphDataset) -> tuple[Property, ...]:
        """Those of the run.

        Raises:
            UserError: its data are not what they were.
        """
        if has_changed(dataset, self.run.data.content_hash):
            raise UserError(
                f"{self.source or 'the bundled data'} has changed since the run was started"
            )
        return self.run.properties

    def config(self, dataset: GraphDataset, data: TrainingData) -> RunConfig:
        """The run's own."""
        return self.run


@dataclass(frozen=True)
class Prepared:
    """Data and settings, checked and ready to train."""

    config: RunConfig
    dataset: GraphDataset
    target: np.ndarray
    subsets: dict[str, np.ndarray]
    skipped: list[Skipped]
    notes: tuple[str, ...]
    """what the user should know of the data, one line each"""
    weight: np.ndarray | None = None
    """by which the losses of crystals count [C]; None: alike"""

    @property
    def properties(self) -> tuple[Property, ...]:
        """What is predicted."""
        return self.config.properties

    def split_ids(self) -> dict[str, list[str]]:
        """Ids of each subset."""
        own = {name: self.dataset.ids[rows].tolist() for name, rows in self.subsets.items()}
        return {name: own.get(name, []) for name in SUBSETS}


def prepare(request: Request, *, workers: Workers = None, quiet: bool = False) -> Prepared:
    """Open the data, choose targets and split it.

    Args:
        request: what to train.
        workers: processes that build graphs; all cores by default.
        quiet: no progress.

    Raises:
        UserError: data, property or split that cannot be used.
    """
    dataset, skipped = open_dataset(
        request.source, request.graph, workers=workers, quiet=quiet, limit=request.limit
    )
    properties = request.properties(dataset)
    dealt = (request.split, request.seed, request.limit)
    data = training_data(dataset, skipped, properties, *dealt, weight=request.weight)
    config = request.config(dataset, data)
    test = dataset.ids[data.subsets["test"]].tolist() if "test" in data.subsets else []
    notes = (*request.notes(config, test), *data.notes)
    return Prepared(config, dataset, data.target, data.subsets, data.skipped, notes, data.weight)


def _started_from(config: RunConfig, crystals: int) -> RunConfig:
    """The settings of a run that starts from a trained one, with so many training crystals."""
    assert config.train.init_from is not None
    if config.others:
        raise UserError("--init-from starts one kind of network: give --ensemble a number")
    start = RunDirectory.open(Path(config.train.init_from)).path.absolute()
    # A ready-made model keeps its name: the package may lie elsewhere when the run goes on.
    name = start.name if start.parent == PRETRAINED else str(start)
    config = replace(config, train=replace(config.train, init_from=name))
    trained = trained_run(start, config).config()
    elements = trained.data.known_elements
    config = replace(config, data=replace(config.data, parent_elements=elements))
    is_new = not same_properties(config.properties, trained.properties)
    config = replace(config, train=config.train.start_for(crystals, is_new))
    if is_new:
        return config
    if config.train.members > trained.train.members:
        names = ",".join(p.name for p in config.properties)
        raise UserError(
            f"--init-from {name} predicts {names} already, so that members of an ensemble "
            f"would be the same: leave it out, or give --ensemble {trained.train.members}"
        )
    # Its last layer speaks in its units, and nothing is new.
    properties = _in_units_of(config.properties, trained.properties)
    rate = config.train.learning_rate * config.train.taken_rate
    train = replace(config.train, learning_rate=rate, taken_rate=1.0, warm_up=0.0)
    return replace(config, properties=properties, train=train)


def _seen_before(config: RunConfig, test: Sequence[str]) -> list[str]:
    """That the run it starts from has learned the same values of some test crystals, if so."""
    run = RunDirectory.open(Path(config.train.init_from or ""))
    known = {p.name for p in run.config().properties}
    if known.isdisjoint(p.name for p in config.properties):
        return []
    seen = {*run.seen_ids()}
    count = sum(name in seen for name in test)
    if not count:
        return []
    return [
        f"{count:,} of {number_of(len(test), 'test crystal')} had a part in the training of "
        f"{run.path.name}: the test error is too good"
    ]


def _in_units_of(own: Sequence[Property], others: Sequence[Property]) -> tuple[Property, ...]:
    pairs = zip(own, others, strict=True)
    return tuple(replace(p, mean=other.mean, scale=other.scale) for p, other in pairs)


def _element_counts(dataset: GraphDataset, rows: np.ndarray) -> dict[str, int]:
    """Crystals among `rows` with each element, by symbol."""
    crystal = np.repeat(np.arange(len(dataset)), dataset.n_node)
    pairs = np.unique(np.stack([crystal, dataset.node_atomic_number]), axis=1)
    numbers, counts = np.unique(pairs[1, np.isin(pairs[0], rows)], return_counts=True)
    return {Element.from_Z(int(z)).symbol: int(n) for z, n in zip(numbers, counts, strict=True)}
