"""The two programs that train side by side: the same batches in, losses and predictions out."""

import time
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from rich.console import Console
from torch.nn.functional import smooth_l1_loss
from torch_geometric.data import Batch

from benchmarks.torch_data import data_list
from benchmarks.torch_gatgnn import TorchGATGNN
from data_prep.dataset import GraphDataset
from gatgnn_jax.batches.arrays import crystal_arrays, sizes_of
from gatgnn_jax.batches.gathering import BatchPlan
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.published.gatgnn import to_torch
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.training.loop import Trainer
from gatgnn_jax.training.optimizer import rate_of_epoch
from gatgnn_jax.training.terminal import TrainingReporter

Framework = Literal["jax", "pytorch"]

FIRST_STEPS = 20
"""Steps whose losses are kept one by one."""

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Crystals:
    """What is trained on: graphs, targets [C, 1], and the numbers of train, val and test."""

    name: str
    config: RunConfig
    dataset: GraphDataset
    target: np.ndarray
    subsets: dict[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """What came of one seed of one program.

    Attributes:
        framework: which program.
        seed: of weights and batches.
        first_losses: of the first steps, before each update.
        train_loss: SmoothL1, the mean over each epoch's steps.
        val_mae: after each epoch.
        best_epoch: counted from 1, with the lowest `val_mae`.
        test_mae: with the weights of that epoch.
        seconds: that the training took.
    """

    framework: Framework
    seed: int
    first_losses: list[float]
    train_loss: list[float]
    val_mae: list[float]
    best_epoch: int
    test_mae: float
    seconds: float

    @property
    def best_val_mae(self) -> float:
        """The lowest validation error."""
        return self.val_mae[self.best_epoch - 1]


class Side(Protocol):
    """One program with one model in training."""

    def train(self, batches: np.ndarray) -> np.ndarray:
        """One epoch, an update for each batch of crystal numbers [steps, B], -1 for none.

        Returns each step's loss before its update, [steps].
        """

    def predict(self, crystals: np.ndarray) -> np.ndarray:
        """Predicted values of crystals, by number, with the weights of now."""

    def keep(self) -> None:
        """Remember the weights of now."""

    def take_kept(self) -> None:
        """Go back to the remembered weights."""


class JaxSide:
    """Our program, as `python -m gatgnn_jax.train` trains, but one step a dispatch."""

    def __init__(self, config: RunConfig, crystals: Crystals):
        """`config` may have another seed than the crystals' own."""
        self.trainer = Trainer(
            config, crystals.dataset, crystals.target, crystals.subsets, jax.devices()[:1]
        )
        self.key = jax.random.key(config.train.seed)
        self.kept = self.weights()

    def weights(self) -> ModelState:
        """A copy: the training step reuses the buffers of its state."""
        state = self.trainer.state
        return ModelState(*jax.tree.map(jnp.copy, (state.params, state.stats)))

    def train(self, batches: np.ndarray) -> np.ndarray:
        """See `Side`."""
        sums = []
        for data, batch in self.trainer.feed(batches[:, None]):
            self.trainer.state, step = self.trainer.train_steps(
                self.trainer.state, data, batch, self.key
            )
            sums.append(step)
        return np.array([step.loss[0] / step.count[0] for step in jax.device_get(sums)])

    def predict(self, crystals: np.ndarray) -> np.ndarray:
        """See `Side`."""
        return self.trainer.predict(self.weights(), crystals)[crystals, 0]

    def keep(self) -> None:
        """See `Side`."""
        self.kept = self.weights()

    def take_kept(self) -> None:
        """See `Side`."""
        params, stats = jax.tree.map(jnp.copy, self.kept)
        self.trainer.state = self.trainer.state._replace(params=params, stats=stats)


class TorchSide:
    """The PyTorch version, with the optimizer and schedule of the published program."""

    def __init__(self, config: RunConfig, dataset: GraphDataset, target: np.ndarray):
        """Start from our program's initial weights; `target` [C] is transformed."""
        model = config.model
        self.graphs = data_list(dataset, target, model.gaussian_step)
        self.model = TorchGATGNN(
            layers=model.num_layers,
            heads=model.heads,
            neurons=model.neurons,
            edge_features=self.graphs[0].edge_attr.shape[1],
            global_attention=model.global_attention,
            concat_composition=model.concat_composition,
        )
        _, *states = nnx.split(config.new_model(), nnx.Param, nnx.BatchStat)
        state = to_torch(config, ModelState(*states), {})
        self.model.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
        settings = config.train
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(
            self.optimizer, settings.milestone_epochs, settings.decay
        )
        self.keep()

    def train(self, batches: np.ndarray) -> np.ndarray:
        """See `Side`."""
        self.model.train()
        losses = []
        for batch in batches:
            data = self._gather(batch[batch >= 0])
            loss = smooth_l1_loss(self.model(data), data.y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        self.schedule.step()
        return np.array(losses)

    @torch.no_grad()
    def predict(self, crystals: np.ndarray) -> np.ndarray:
        """See `Side`."""
        self.model.eval()
        starts = range(0, len(crystals), EVALUATION_BATCH)
        parts = [self.model(self._gather(crystals[i : i + EVALUATION_BATCH])) for i in starts]
        return torch.cat(parts).numpy()

    def keep(self) -> None:
        """See `Side`."""
        self.kept = {name: value.clone() for name, value in self.model.state_dict().items()}

    def take_kept(self) -> None:
        """See `Side`."""
        self.model.load_state_dict(self.kept)

    def _gather(self, crystals: np.ndarray) -> Any:
        return Batch.from_data_list([self.graphs[i] for i in crystals])


def train(framework: Framework, crystals: Crystals, seed: int, console: Console) -> Run:
    """Train one program with one seed to the end."""
    config = replace(crystals.config, train=replace(crystals.config.train, seed=seed))
    settings, subsets = config.train, crystals.subsets
    sizes = sizes_of(crystal_arrays(crystals.dataset, crystals.target))
    plan = BatchPlan(sizes, list(subsets.values()), settings.batch_size)
    target = crystals.target[:, 0]
    side: Side
    if framework == "jax":
        side = JaxSide(config, crystals)
    else:
        side = TorchSide(config, crystals.dataset, target)

    def mae(subset: str) -> float:
        rows = subsets[subset]
        return float(np.abs(side.predict(rows) - target[rows]).mean())

    losses: list[np.ndarray] = []
    val_mae: list[float] = []
    best = 0  # the epoch, counted from 1
    started = time.perf_counter()
    with TrainingReporter(console, settings.epochs, [], "val_mae") as reporter:
        while len(losses) < settings.epochs and len(losses) - best < settings.patience:
            epoch_started = time.perf_counter()
            # The batches that our training command deals in this epoch.
            rng = np.random.default_rng([seed, len(losses)])
            dealt = plan.deal(subsets["train"], rng)
            losses.append(side.train(dealt.reshape(-1, dealt.shape[-1])))
            seconds = time.perf_counter() - epoch_started
            val_mae.append(mae("val"))
            if val_mae[-1] < min(val_mae[:-1], default=np.inf):
                best = len(losses)
                side.keep()
            row = {
                "epoch": len(losses),
                "train_loss": losses[-1].mean(),
                "val_mae": val_mae[-1],
                "learning_rate": rate_of_epoch(settings, len(losses[-1]), len(losses) - 1),
            }
            reporter.epoch(row, seconds, len(subsets["train"]) / seconds)
    side.take_kept()
    return Run(
        framework=framework,
        seed=seed,
        first_losses=np.concatenate(losses)[:FIRST_STEPS].tolist(),
        train_loss=[float(epoch.mean()) for epoch in losses],
        val_mae=val_mae,
        best_epoch=best,
        test_mae=mae("test"),
        seconds=time.perf_counter() - started,
    )
