"""What a run is made of: frozen, validated dataclasses, saved as JSON with every run."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from data_prep.config import GRAPH_PRESETS, GraphConfig

GlobalAttention = Literal[
    "composition", "cluster-fixed", "cluster-random", "cluster-learnable", "none"
]
ModelName = Literal["gatgnn", "gat"]
PresetName = Literal["paper-cgcnn", "paper-megnet", "official"]
Config = TypeVar("Config")


def _check_choice(value: str, name: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} is '{value}': choose one of {', '.join(get_args(choices))}")


def _check_at_least(config: Any, name: str, least: int) -> None:
    value = getattr(config, name)
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value}: it must be a whole number, {least} or more")


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
        model: AGAT layers (gatgnn) or the original GAT layers without bond features (gat).
        global_attention: how the atoms' weights are found: GI M-1 composition, M-2 cluster-fixed,
            M-3 cluster-random, M-4 cluster-learnable, or none (every atom counts 1).
        num_layers: attention layers (the paper: 5 on CGCNN graphs, 7 on MEGNET graphs).
        neurons: features of an atom in every layer.
        heads: attention heads, averaged.
        hidden_layers: fully connected layers between the crystal vector and the output.
        concat_composition: put an embedding of the composition beside the crystal vector.
    """

    model: ModelName = "gatgnn"
    global_attention: GlobalAttention = "composition"
    num_layers: int = 5
    neurons: int = 64
    heads: int = 4
    hidden_layers: int = 2
    concat_composition: bool = False

    def __post_init__(self) -> None:
        _check_choice(self.model, "model", ModelName)
        _check_choice(self.global_attention, "global_attention", GlobalAttention)
        for name in ("num_layers", "neurons", "heads"):
            _check_at_least(self, name, 1)
        _check_at_least(self, "hidden_layers", 0)


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained.

    Attributes:
        epochs: passes over the training crystals.
        batch_size: crystals a step, at most; the batches of an epoch are made equally large.
        learning_rate: the rate of the first stage.
        milestones: when the rate drops, as shares of the epochs.
        decay: the factor at each milestone.
        weight_decay: AdamW's, on every parameter.
        patience: epochs without a better validation error after which training stops.
        seed: of the initial weights, the batches, and random clusters.
        init_from: a trained run whose weights to start from; the last layer starts anew if it
            predicts something else.
        freeze: parts that keep their weights, comma-separated: embed, agat, or any part by name.
    """

    epochs: int = 500
    batch_size: int = 256
    learning_rate: float = 5e-3
    milestones: tuple[float, ...] = (0.5, 0.75)
    decay: float = 0.1
    weight_decay: float = 0.1
    patience: int = 150
    seed: int = 0
    init_from: str | None = None
    freeze: str = ""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            _check_at_least(self, name, 1)
        for name in ("learning_rate", "decay"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be above 0")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay is {self.weight_decay}: it must be 0 or more")
        rising = all(a < b for a, b in zip((0.0, *self.milestones), self.milestones, strict=False))
        if not rising:
            raise ValueError(
                f"milestones are {self.milestones}: give rising shares of the epochs, as 0.5 0.75"
            )

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """What `freeze` names."""
        return tuple(part.strip() for part in self.freeze.split(",") if part.strip())

    @property
    def milestone_epochs(self) -> tuple[int, ...]:
        """The epochs (counted from 0) whose first step takes the next lower rate."""
        return tuple(round(share * self.epochs) for share in self.milestones)


@dataclass(frozen=True)
class Preset:
    """Settings that belong together; each can still be changed one by one."""

    graph: GraphConfig = field(default_factory=GraphConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


PRESETS: dict[PresetName, Preset] = {
    # Section 2.4; the paper names no milestones and no weight decay: the published program's decay.
    "paper-cgcnn": Preset(),
    "paper-megnet": Preset(graph=GRAPH_PRESETS["megnet"], model=ModelConfig(num_layers=7)),
    # The defaults of the published program: it counts missing neighbours as fake edges and has its
    # second milestone beyond its 200 epochs.
    "official": Preset(
        graph=GraphConfig(fake_edges=True),
        model=ModelConfig(num_layers=3),
        train=TrainConfig(epochs=200, milestones=(0.75, 1.25), decay=0.3),
    ),
}


def from_dict(kind: type[Config], values: dict[str, Any]) -> Config:
    """The dataclass `kind` from its JSON form; a key it does not have is a ValueError."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(fields)):
        raise ValueError(f"{kind.__name__} has no setting {', '.join(unknown)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
