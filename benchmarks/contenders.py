"""The two programs that are timed, set up on the same crystals: one step, one pass, one epoch.

Each is a set of functions without arguments that return when the work is done. The JAX contender
trains and predicts through `gatgnn_jax.train_step`, as `python -m gatgnn_jax.train` does; the
PyTorch one runs `benchmarks.torch_gatgnn` on cached, featurized graphs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from data_prep.dataset import GraphDataset
from data_prep.properties import Property
from gatgnn_jax.batches import BatchPlan, crystal_arrays
from gatgnn_jax.config import ModelConfig, TrainConfig
from gatgnn_jax.model import GATGNN
from gatgnn_jax.train_step import (
    data_mesh,
    init_state,
    make_optimizer,
    make_predict,
    make_train_steps,
    replicate,
)


@dataclass(frozen=True)
class Contender:
    """What is timed; each call does the work once and waits for it.

    Attributes:
        train_step: one update on a batch that is ready.
        evaluate: predictions of the same batch.
        train_epoch: one pass over all crystals, batching included.
        padding_share: of the edges of a batch.
        compiled: the JAX training program, for its cost analysis; None for PyTorch.
        compilations: of the training step so far.
    """

    train_step: Callable[[], None]
    evaluate: Callable[[], None]
    train_epoch: Callable[[], None]
    padding_share: float = 0.0
    compiled: Any = None


def jax_contender(
    dataset: GraphDataset, target: np.ndarray, layers: int, batch_size: int
) -> Contender:
    """Our version on a dataset, full or reduced, with targets [C]."""
    data = crystal_arrays(dataset, target[:, None])
    everything = np.arange(len(dataset))
    mesh = data_mesh(jax.devices()[:1])
    plan = BatchPlan(data, [everything], batch_size)
    parts = plan.deal(everything)
    model = GATGNN(ModelConfig(num_layers=layers), dataset.config, 1, rngs=nnx.Rngs(0))
    optimizer = make_optimizer(TrainConfig(), parts.shape[0] * parts.shape[1])
    graphdef, state = init_state(model, optimizer)
    properties = (Property("target", "target"),)
    steps = make_train_steps(graphdef, optimizer, properties, plan.shape, mesh)
    predict = make_predict(graphdef, plan.shape, mesh)

    device_data = replicate(data, mesh)
    box = [replicate(state, mesh)]  # the step uses up the state it is given
    one = jnp.asarray(parts[0][:1])
    key = jax.random.key(0)

    def train(batches: jax.Array) -> None:
        box[0], sums = steps(box[0], device_data, batches, key)
        jax.block_until_ready(sums)

    def train_epoch() -> None:
        for part in plan.deal(everything, np.random.default_rng(0)):
            train(jnp.asarray(part))

    def evaluate() -> None:
        jax.block_until_ready(predict(box[0].params, box[0].stats, device_data, one))

    return Contender(
        train_step=lambda: train(one),
        evaluate=evaluate,
        train_epoch=train_epoch,
        padding_share=plan.padding_share(everything),
        compiled=lambda: steps.lower(box[0], device_data, one, key).compile(),  # type: ignore[attr-defined]
    )


def torch_contender(
    dataset: GraphDataset, target: np.ndarray, layers: int, batch_size: int
) -> Contender:
    """The PyTorch version on an unreduced dataset, with targets [C]."""
    import torch
    from torch_geometric.data import Batch
    from torch_geometric.loader import DataLoader

    from benchmarks.torch_data import data_list
    from benchmarks.torch_gatgnn import TorchGATGNN

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    graphs = data_list(dataset, target)
    model = TorchGATGNN(layers=layers, edge_features=len(dataset.config.gaussian_centers))
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.1)
    loss_of = torch.nn.SmoothL1Loss()
    batch = Batch.from_data_list(graphs[:batch_size]).to(device)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def train(data: Any) -> None:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(data).view(-1), data.y).backward()
        optimizer.step()

    def train_step() -> None:
        train(batch)
        wait()

    def train_epoch() -> None:
        for data in DataLoader(graphs, batch_size, shuffle=True):
            train(data.to(device))
        wait()

    def evaluate() -> None:
        model.eval()
        with torch.no_grad():
            model(batch)
        wait()

    return Contender(train_step, evaluate, train_epoch)
