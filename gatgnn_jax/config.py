"""What a run is made of: frozen, validated dataclasses, saved as JSON with every run."""

import math
import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from data_prep.options import NothingByDefault, TextOrNone
from data_prep.settings import ADDED_LATER, check_types

Precision = Literal["float32", "tensorfloat32", "bfloat16"]
ScheduleName = Literal["piecewise", "one-cycle", "cosine"]
OptimizerName = Literal["adamw", "sgd"]


def _check_at_least(config: Any, name: str, least: int) -> None:
    value = getattr(config, name)
    if value < least:
        raise ValueError(f"{name} is {value}: it must be a whole number, {least} or more")


def as_option(name: str, value: Any) -> str:
    """A setting as the command line takes it: `--batch-size 64`, `--residual`, `--no-residual`."""
    words = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{words}" if value else f"--no-{words}"
    values = value if isinstance(value, tuple | list) else [value]
    return " ".join([f"--{words}", *map(str, values)])


ATTENTION_ONLY: dict[str, Any] = {
    "global_attention": "none",
    "heads": 1,
    "residual": False,
    "concat_composition": False,
}
"""What networks without attention have in the place of its settings."""


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
        model: AGAT layers (gatgnn), the original GAT layers without bond features (gat), gated
            attention with updated bonds (gated-gatgnn), another network: CGCNN (cgcnn), MEGNet
            (megnet); or a layer of your own, as FILE.py:CLASS or PACKAGE.MODULE:CLASS.
        global_attention: how the atoms' weights are found: GI M-1 composition, M-2 cluster-fixed,
            M-3 cluster-random, M-4 cluster-learnable, none (every atom counts 1), or one of your
            own, as FILE.py:CLASS.
        num_layers: attention layers (the paper: 5 on CGCNN graphs, 7 on MEGNET graphs),
            convolutions (cgcnn) or blocks (megnet).
        neurons: features of an atom in every layer.
        heads: attention heads, averaged (gated-gatgnn: each for its share of the neurons).
        residual: let a layer add to the atoms' features instead of replacing them (gatgnn).
        hidden_layers: fully connected layers between the crystal vector and the output.
        hidden_neurons: features of each of them; 0: as many as the crystal vector has (megnet: as
            many as an atom, then half of it).
        concat_composition: put an embedding of the composition beside the crystal vector.
        gaussian_step: spacing and width of the Gaussians that expand a distance, from 0 to the
            graphs' radius (Å).
        layer_options: further parameters of a layer's constructor, as width=3.
        attention_options: the same of a global attention's.
        precision: how matmuls take their inputs on a GPU or TPU: in full (float32), or rounded for
            speed: to TF32 (tensorfloat32; three bfloat16 products on a TPU), or to bfloat16 (on a
            TPU; GPUs have TF32 for it). CPUs always take them in full.

    Raises:
        ValueError: a setting outside its range.
    """

    model: str = "gatgnn"
    global_attention: str = "composition"
    num_layers: int = 5
    neurons: int = 64
    heads: int = 4
    residual: bool = field(default=False, metadata=ADDED_LATER)
    hidden_layers: int = 2
    hidden_neurons: int = 0
    concat_composition: bool = False
    gaussian_step: float = field(default=0.2, metadata=ADDED_LATER)
    layer_options: Annotated[tuple[str, ...], NothingByDefault] = field(
        default=(), metadata=ADDED_LATER
    )
    attention_options: Annotated[tuple[str, ...], NothingByDefault] = field(
        default=(), metadata=ADDED_LATER
    )
    precision: Precision = field(default="float32", metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("num_layers", "neurons", "heads"):
            _check_at_least(self, name, 1)
        for name in ("hidden_layers", "hidden_neurons"):
            _check_at_least(self, name, 0)
        if self.gaussian_step <= 0:
            raise ValueError(f"gaussian_step is {self.gaussian_step}: it must be above 0")


def members_of(ensemble: int | str) -> dict[str, int]:
    """How many networks of which name an ensemble has; if they are all the same, without a name.

    Raises:
        ValueError: a text that does not say so.
    """
    if isinstance(ensemble, int):
        return {"": ensemble}
    pairs = [part.strip().rpartition(":") for part in ensemble.split(",")]
    names = [name for name, _, _ in pairs]
    if not all(name and re.fullmatch("[1-9][0-9]*", count) for name, _, count in pairs):
        raise ValueError(
            f"ensemble is {ensemble!r}: give a number, or how many of which network, as "
            "gatgnn:2,gated-gatgnn:3"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"ensemble is {ensemble!r}: name each network once")
    return {name: int(count) for name, _, count in pairs}


FEW_CRYSTALS = 250
"""Below so many training crystals what is taken over from a run learns later and more slowly."""


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained.

    Attributes:
        epochs: passes over the training crystals.
        batch_size: crystals a step, at most; the batches of an epoch are made equally large. 0: as
            many as make ten steps of an epoch, but 16 to 256 (a run has the number in its
            config.json).
        learning_rate: the highest rate: of the first stage, or the peak of the cycle.
        schedule: how the rate goes on: in stages (piecewise), up to its peak during the first 30 %
            of the steps and down to nothing after it (one-cycle), or down to 0 (cosine).
        milestones: when the rate drops, as shares of the epochs (piecewise).
        decay: the factor at each milestone (piecewise).
        optimizer: how a gradient becomes a step: AdamW, or SGD with a momentum of 0.9.
        weight_decay: the share of a parameter that a step of learning rate 1 would take off.
        decay_norms: let weight decay act on every parameter; off: not on biases and batch norms.
        standardize: let the network give regression targets in standard deviations from the mean of
            the training crystals; the loss counts in these units.
        huber_delta: the loss of a regression error is quadratic up to this size and linear beyond,
            in units of the network's output (1: the paper's SmoothL1).
        averaging: how much of the exponential moving average (EMA) of the weights a step keeps
            (0.99: it spans about the last 100 steps, or the last tenth of all so far while that is
            less); predictions are made with the average. 0: none is kept.
        ensemble: networks trained at once, from different initial weights on the same batches; the
            prediction is their mean, and their spread its uncertainty. Of different networks how
            many each, as gatgnn:2,gated-gatgnn:3; the settings are the first one's, and the others
            have their published sizes.
        patience: epochs without a better validation error after which training stops.
        seed: of the initial weights, the batches, and random clusters.
        init_from: a trained run whose weights to start from; the last layer starts anew if it
            predicts something else.
        taken_rate: the share of the learning rate that parts taken from that run have; new parts
            have all of it. 0: half of it where training crystals are few, or nothing is new.
        warm_up: the share of the epochs in which new parts learn alone, before those taken over.
            -1: a fifth of them where training crystals are few.
        freeze: parts that keep their weights, comma-separated: embed, agat, or any part by name.
    """

    epochs: int = 500
    batch_size: int = 256
    learning_rate: float = 5e-3
    schedule: ScheduleName = field(default="piecewise", metadata=ADDED_LATER)
    milestones: tuple[float, ...] = (0.5, 0.75)
    decay: float = 0.1
    optimizer: OptimizerName = field(default="adamw", metadata=ADDED_LATER)
    weight_decay: float = 0.1
    decay_norms: bool = field(default=True, metadata=ADDED_LATER)
    standardize: bool = True
    huber_delta: float = 1.0
    averaging: float = 0.0
    ensemble: int | str = 1
    patience: int = 150
    seed: int = 0
    init_from: TextOrNone = None
    taken_rate: float = field(default=1.0, metadata=ADDED_LATER)
    warm_up: float = field(default=0.0, metadata=ADDED_LATER)
    freeze: Annotated[str, NothingByDefault] = ""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("epochs", "patience"):
            _check_at_least(self, name, 1)
        for name in ("seed", "batch_size"):
            _check_at_least(self, name, 0)
        if isinstance(self.ensemble, int):
            _check_at_least(self, "ensemble", 1)
        members_of(self.ensemble)
        for name in ("learning_rate", "decay", "huber_delta"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be above 0")
        if not 0 <= self.taken_rate <= 1:
            raise ValueError(f"taken_rate is {self.taken_rate}: give 0 or more, and 1 at most")
        if self.warm_up != -1 and not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up is {self.warm_up}: give 0 or more, and below 1, or -1")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay is {self.weight_decay}: it must be 0 or more")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging is {self.averaging}: it must be 0 or more, and below 1")
        rising = all(a < b for a, b in zip((0.0, *self.milestones), self.milestones, strict=False))
        if not rising:
            raise ValueError(
                f"milestones are {self.milestones}: give rising shares of the epochs, as 0.5 0.75"
            )

    def batches_for(self, crystals: int) -> "TrainConfig":
        """The settings with the batch size for so many training crystals, where it is open.

        Chosen by validation: docs/experiments.md.
        """
        if self.batch_size:
            return self
        return replace(self, batch_size=min(max(math.ceil(crystals / 10), 16), 256))

    def start_for(self, crystals: int, has_new_parts: bool) -> "TrainConfig":
        """The settings with the rate and warm-up of a start for so many training crystals, where
        they are open.

        Chosen by validation: docs/experiments.md.
        """
        few = crystals < FEW_CRYSTALS
        rate = self.taken_rate or (0.5 if few or not has_new_parts else 1.0)
        warm_up = self.warm_up if self.warm_up >= 0 else (0.2 if few else 0.0)
        return replace(self, taken_rate=rate, warm_up=warm_up)

    @property
    def members(self) -> int:
        """How many networks are trained."""
        return sum(members_of(self.ensemble).values())

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """What `freeze` names."""
        return tuple(part.strip() for part in self.freeze.split(",") if part.strip())

    @property
    def milestone_epochs(self) -> tuple[int, ...]:
        """The epochs (counted from 0) whose first step takes the next lower rate.

        The first epoch has the full rate, however few there are.
        """
        return tuple(max(round(share * self.epochs), 1) for share in self.milestones)
