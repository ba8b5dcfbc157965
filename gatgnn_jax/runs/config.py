"""All settings of a run as frozen dataclasses: what its `config.json` is."""

import dataclasses
import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flax import nnx
from pymatgen.core import Element

from data_prep.config import GraphConfig
from data_prep.properties import Property
from data_prep.settings import ADDED_LATER, check_types, from_dict
from gatgnn_jax.config import ModelConfig, TrainConfig, members_of
from gatgnn_jax.models.base import Network
from gatgnn_jax.models.ensemble import Ensemble, MixedEnsemble
from gatgnn_jax.models.networks import graph_for, new_network
from gatgnn_jax.objective import num_outputs

FORMAT_VERSION = 1


@dataclass(frozen=True)
class DataInfo:
    """Where the crystals of a run came from.

    Attributes:
        source: the path given with `--data`, absolute; None for the bundled crystals.
        limit: only so many crystals of it were used.
        split: ratios or the file that was given; None for the default.
        content_hash: of the dataset, so that a changed source is noticed.
        element_counts: training crystals with each element, by symbol.
        weight: the column with weights of the crystals; None: all count alike.
        parent_elements: the same as element_counts of the run that it started from.

    Raises:
        ValueError: a value that cannot be.
    """

    source: str | None = None
    limit: int | None = None
    split: str | None = None
    content_hash: str = ""
    element_counts: dict[str, int] = field(default_factory=dict)
    weight: str | None = field(default=None, metadata=ADDED_LATER)
    parent_elements: dict[str, int] = field(default_factory=dict, metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        check_types(self)
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}: give 1 or more, or null")
        for name in ("element_counts", "parent_elements"):
            for symbol, count in getattr(self, name).items():
                if not Element.is_valid_symbol(symbol) or count < 0:
                    raise ValueError(
                        f"{name} has {symbol!r}: {count}: give elements and how many crystals"
                    )

    @property
    def path(self) -> Path | None:
        """Where the crystals are; None: the bundled ones."""
        return None if self.source is None else Path(self.source)

    @property
    def known_elements(self) -> dict[str, int]:
        """Crystals with each element that the run or the one it started from was trained with."""
        return dict(Counter(self.element_counts) + Counter(self.parent_elements))


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run; `config.json`. The graphs are given what the model needs of them."""

    graph: GraphConfig
    model: ModelConfig
    train: TrainConfig
    properties: tuple[Property, ...]
    data: DataInfo
    format_version: int = FORMAT_VERSION
    others: tuple[ModelConfig, ...] = field(default=(), metadata=ADDED_LATER)
    """The networks that an ensemble names after the first, which is `model`."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.format_version != FORMAT_VERSION:
            raise ValueError(
                f"format_version is {self.format_version}: this program reads {FORMAT_VERSION}"
            )
        names = [p.name for p in self.properties]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"properties are {names}: give one or several different ones")
        if len(self.others) != len(members_of(self.train.ensemble)) - 1:
            raise ValueError(
                f"others are {len(self.others)} networks, but train.ensemble is "
                f"{self.train.ensemble!r}"
            )
        object.__setattr__(self, "graph", graph_for((self.model, *self.others), self.graph))

    def to_json(self) -> str:
        """As indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """From `to_json`.

        Raises:
            ValueError: it is not that; the message names the setting, as `train.epochs`.
        """
        return from_dict(cls, _gaussians_moved(json.loads(text)))

    @property
    def networks(self) -> list[tuple[ModelConfig, int]]:
        """The settings of each kind of network, and how many there are of it."""
        counts = members_of(self.train.ensemble).values()
        return list(zip((self.model, *self.others), counts, strict=True))

    def new_model(self) -> Network:
        """The network with its initial weights, or as many as an ensemble has."""
        outputs, seeds = num_outputs(self.properties), itertools.count(self.train.seed)
        groups = []
        for model, count in self.networks:
            members = [
                new_network(model, self.graph, outputs, rngs=nnx.Rngs(seed))
                for seed in itertools.islice(seeds, count)
            ]
            groups.append(members[0] if count == 1 else Ensemble(members))
        return groups[0] if len(groups) == 1 else MixedEnsemble(groups)


def _gaussians_moved(values: Any) -> Any:
    """The settings as they are named today: the Gaussians once stood among those of the graphs."""
    match values:
        case {"graph": {"gaussian_step": step, **graph}, "model": {**model}}:
            return values | {"graph": graph, "model": model | {"gaussian_step": step}}
    return values
