"""All settings of a run as frozen dataclasses: what its `config.json` is."""

import dataclasses
import json
from dataclasses import dataclass, field

from flax import nnx

from data_prep.config import GraphConfig
from data_prep.properties import Property
from gatgnn_jax.config import ModelConfig, TrainConfig, from_dict
from gatgnn_jax.models.base import Network
from gatgnn_jax.models.ensemble import Ensemble
from gatgnn_jax.models.networks import new_network
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
    """

    source: str | None = None
    limit: int | None = None
    split: str | None = None
    content_hash: str = ""
    element_counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run; `config.json`."""

    graph: GraphConfig
    model: ModelConfig
    train: TrainConfig
    properties: tuple[Property, ...]
    data: DataInfo
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """As indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """From `to_json`; ValueError if it is not that."""
        values = json.loads(text)
        if values.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"format {values.get('format_version')}; this program reads {FORMAT_VERSION}"
            )
        return cls(
            graph=GraphConfig.from_dict(values["graph"]),
            model=from_dict(ModelConfig, values["model"]),
            train=from_dict(TrainConfig, values["train"]),
            properties=tuple(from_dict(Property, p) for p in values["properties"]),
            data=from_dict(DataInfo, values["data"]),
        )

    def new_model(self) -> Network:
        """The network with its initial weights, or as many as an ensemble has."""
        outputs = num_outputs(self.properties)
        members = [
            new_network(self.model, self.graph, outputs, rngs=nnx.Rngs(self.train.seed + member))
            for member in range(self.train.ensemble)
        ]
        return members[0] if len(members) == 1 else Ensemble(members)
