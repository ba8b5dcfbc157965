"""Checkpoints of the published CGCNN program: its tensors as our weights.

Everything here is arrays in, arrays out; `gatgnn_jax.jobs.convert` has the files. Two things
that program keeps apart are put together, which changes no prediction: the bias in front of a
convolution's first batch norm goes into that norm's running mean, and the normalization of a
regression's target into the output layer.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep.config import GraphConfig
from data_prep.elements import FEATURE_SIZE
from data_prep.errors import UserError
from gatgnn_jax.config import ATTENTION_ONLY, ModelConfig
from gatgnn_jax.models.ops import GaussianBasis
from gatgnn_jax.published.imported import CLASSES, Imported, Path, network_state

MARK = "convs.0.fc_full.weight"
"""A tensor that every such checkpoint has, and no other."""

NOT_CGCNN = "this is no checkpoint of the published CGCNN"
GRAPH = GraphConfig(fake_edges=True)
"""That program's graphs: missing neighbours are filled with edges to atom 0."""


def from_cgcnn(state: Mapping[str, np.ndarray], mean: float = 0.0, std: float = 1.0) -> Imported:
    """Settings and weights from a state dict.

    Args:
        state: every tensor by its name.
        mean, std: the checkpoint's normalizer: `output * std + mean` is the property. A
            classification has none.

    Raises:
        UserError: these are not the tensors of that program, or they take other bond features.
    """
    remaining = dict(state)
    values: dict[Path, np.ndarray] = {}

    def take(name: str, *shape: int) -> np.ndarray:
        value = remaining.pop(name, None)
        if value is None:
            raise UserError(f"{NOT_CGCNN}: it has no tensor '{name}'")
        if value.shape != shape:
            raise UserError(f"{NOT_CGCNN}: its tensor '{name}' is {value.shape}, not {shape}")
        return value

    def linear(name: str, inputs: int, outputs: int, *path: Any) -> None:
        values[*path, "kernel"] = take(f"{name}.weight", outputs, inputs).T
        values[*path, "bias"] = take(f"{name}.bias", outputs)

    def batch_norm(name: str, features: int, *path: Any) -> None:
        ours = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
        for theirs, attribute in ours.items():
            values[*path, attribute] = take(f"{name}.{theirs}", features)
        remaining.pop(f"{name}.num_batches_tracked", None)

    model, bond_features, num_outputs = _sizes(state)
    neurons = model.neurons
    linear("embedding", FEATURE_SIZE, neurons, "embed_atom")
    for i in range(model.num_layers):
        name, path = f"convs.{i}", ("convolutions", i)
        weight = take(f"{name}.fc_full.weight", 2 * neurons, 2 * neurons + bond_features)
        values[*path, "kernel"] = weight.T
        batch_norm(f"{name}.bn1", 2 * neurons, *path, "edge_norm")
        mean_path = (*path, "edge_norm", "mean")
        values[mean_path] = values[mean_path] - take(f"{name}.fc_full.bias", 2 * neurons)
        batch_norm(f"{name}.bn2", neurons, *path, "norm")
    hidden = ["conv_to_fc", *(f"fcs.{i}" for i in range(model.hidden_layers - 1))]
    width = neurons
    for i, name in enumerate(hidden):
        linear(name, width, model.hidden_neurons, "hidden", i)
        width = model.hidden_neurons
    linear("fc_out", width, num_outputs, "out")
    if num_outputs == 1:
        values["out", "kernel"] = values["out", "kernel"] * np.float32(std)
        values["out", "bias"] = values["out", "bias"] * np.float32(std) + np.float32(mean)
    if remaining:
        raise UserError(f"{NOT_CGCNN}, which has no tensor '{next(iter(remaining))}'")
    weights = network_state(model, GRAPH, num_outputs, values)
    return Imported(model, GRAPH, num_outputs, weights, unused={})


def _sizes(state: Mapping[str, np.ndarray]) -> tuple[ModelConfig, int, int]:
    """The network, the features of a bond and the outputs, off the tensors' shapes."""
    convolutions = {m[1] for name in state if (m := re.match(r"convs\.(\d+)\.", name))}
    more_hidden = {m[1] for name in state if (m := re.match(r"fcs\.(\d+)\.", name))}
    try:
        neurons, _ = state["embedding.weight"].shape
        _, inputs = state[MARK].shape
        hidden_neurons, _ = state["conv_to_fc.weight"].shape
        num_outputs, _ = state["fc_out.weight"].shape
    except KeyError as missing:
        raise UserError(f"{NOT_CGCNN}: it has no tensor {missing}") from None
    except ValueError:
        raise UserError(f"{NOT_CGCNN}: its tensors have other shapes") from None
    bond_features = inputs - 2 * neurons
    gaussians = len(GaussianBasis(GRAPH.radius, ModelConfig.gaussian_step))
    if bond_features != gaussians:
        raise UserError(
            f"this CGCNN takes {bond_features} Gaussians of a distance, but that program's graphs "
            f"have {gaussians} by default: train such a model here, with --model "
            "cgcnn, --radius and --gaussian-step"
        )
    if num_outputs not in (1, CLASSES):
        raise UserError(f"{NOT_CGCNN}: it has {num_outputs} outputs")
    model = ModelConfig(
        "cgcnn",
        num_layers=len(convolutions),
        neurons=neurons,
        hidden_layers=1 + len(more_hidden),
        hidden_neurons=hidden_neurons,
        **ATTENTION_ONLY,
    )
    return model, bond_features, num_outputs
