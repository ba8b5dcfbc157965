"""The PyTorch version, set up to be timed: training and prediction on cached, featurized graphs.

On a GPU it has the best of its own settings: a fused optimizer, and of eager execution, compilation
and CUDA graphs the one that is fastest there. Matmuls are as precise as ours.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from benchmarks.contenders import Contender
from benchmarks.torch_data import data_list
from benchmarks.torch_gatgnn import TorchGATGNN
from data_prep.dataset import GraphDataset
from gatgnn_jax.config import Precision

MATMUL_PRECISION = {"float32": "highest", "tensorfloat32": "high", "bfloat16": "medium"}
"""PyTorch's names of ours; a setting of the process, so it is made before every call."""


def torch_contender(
    dataset: GraphDataset,
    target: np.ndarray,
    layers: int,
    batch_size: int,
    batch: np.ndarray,
    precision: Precision = "float32",
) -> Contender:
    """The PyTorch version on an unreduced dataset, with targets [C]."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    graphs = data_list(dataset, target)
    model = TorchGATGNN(layers=layers, edge_features=graphs[0].edge_attr.shape[1])
    model = model.to(device)
    on_gpu = device.type == "cuda"
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.1, fused=on_gpu)
    loss_of = torch.nn.SmoothL1Loss()
    ready = Batch.from_data_list([graphs[row] for row in batch]).to(device)

    def wait() -> None:
        if on_gpu:
            torch.cuda.synchronize()

    def train(network: Any, data: Any) -> None:
        torch.set_float32_matmul_precision(MATMUL_PRECISION[precision])
        network.train()
        optimizer.zero_grad(set_to_none=True)
        loss_of(network(data).view(-1), data.y).backward()
        optimizer.step()

    def seconds_of(network: Any) -> float:
        def work() -> None:
            train(network, ready)
            wait()

        return _seconds(work)

    ways: dict[str, Any] = {"eager": model}
    if on_gpu:
        ways["compiled"] = torch.compile(model, dynamic=True)
        ways["CUDA graphs"] = torch.compile(model, mode="reduce-overhead")
    seconds = {name: seconds_of(way) for name, way in ways.items()}
    best = min(seconds, key=seconds.__getitem__)
    # A CUDA graph is of one shape, and each batch of an epoch has another.
    for_epochs = min(seconds.keys() - {"CUDA graphs"}, key=seconds.__getitem__)

    def train_step() -> None:
        train(ways[best], ready)
        wait()

    def train_epoch() -> None:
        for data in DataLoader(graphs, batch_size, shuffle=True, pin_memory=on_gpu):
            train(ways[for_epochs], data.to(device, non_blocking=on_gpu))
        wait()

    def evaluate() -> None:
        torch.set_float32_matmul_precision(MATMUL_PRECISION[precision])
        ways[best].eval()
        with torch.no_grad():
            ways[best](ready)
        wait()

    return Contender(train_step, evaluate, train_epoch, way=best)


def _seconds(work: Callable[[], None]) -> float:
    """A call's median of five, after three to warm up; infinite if it does not work here."""
    seconds = []
    try:
        for _ in range(8):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    except Exception:  # whatever a compiler may raise; the others are left
        return float("inf")
    return statistics.median(seconds[3:])
