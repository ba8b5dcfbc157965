"""The PyTorch version, set up to be timed: training and prediction on cached, featurized graphs."""

from typing import Any

import numpy as np
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from benchmarks.contenders import Contender
from benchmarks.torch_data import data_list
from benchmarks.torch_gatgnn import TorchGATGNN
from data_prep.dataset import GraphDataset


def torch_contender(
    dataset: GraphDataset, target: np.ndarray, layers: int, batch_size: int, batch: np.ndarray
) -> Contender:
    """The PyTorch version on an unreduced dataset, with targets [C]."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    graphs = data_list(dataset, target)
    model = TorchGATGNN(layers=layers, edge_features=len(dataset.config.gaussian_centers))
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.1)
    loss_of = torch.nn.SmoothL1Loss()
    ready = Batch.from_data_list([graphs[row] for row in batch]).to(device)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def train(data: Any) -> None:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(data).view(-1), data.y).backward()
        optimizer.step()

    def train_step() -> None:
        train(ready)
        wait()

    def train_epoch() -> None:
        for data in DataLoader(graphs, batch_size, shuffle=True):
            train(data.to(device))
        wait()

    def evaluate() -> None:
        model.eval()
        with torch.no_grad():
            model(ready)
        wait()

    return Contender(train_step, evaluate, train_epoch)
