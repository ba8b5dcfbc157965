"""The state dict of the published PyTorch program: its tensors, to and from our weights.

A state dict names every tensor of that program's model, those it never reads included. Sizes are
read off the tensors' shapes; which global attention was used cannot be, and has to be said.
Everything here is arrays in, arrays out; `gatgnn_jax.jobs.convert` has the files.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flax import nnx

from data_prep.clusters import N_CLUSTER
from data_prep.config import GraphConfig
from data_prep.elements import COMPOSITION_SIZE, FEATURE_SIZE
from data_prep.errors import UserError
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.models.global_attention import GLOBAL_ATTENTIONS
from gatgnn_jax.models.ops import GaussianBasis
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.published.imported import CLASSES, Imported, Path, network_state
from gatgnn_jax.runs.config import RunConfig

HIDDEN_LAYERS = 2
"""Fully connected layers before the output, which that program has or leaves out together."""

PUBLISHED = PRESETS["paper-cgcnn"], PRESETS["paper-megnet"]
GRAPHS = [(preset.graph, preset.model.gaussian_step) for preset in PUBLISHED]
"""Those that the published program makes, and the step between the Gaussians of its distances."""

NOT_PUBLISHED = "this is no checkpoint of the published GATGNN"


@dataclass(frozen=True)
class Tensor:
    """One entry of a state dict; `path` is None where our model has nothing like it."""

    shape: tuple[int, ...]
    path: Path | None = None


def from_torch(state: Mapping[str, np.ndarray], global_attention: str) -> Imported:
    """Settings and weights from a state dict.

    Args:
        state: every tensor by its name.
        global_attention: the one the model was trained with.

    Raises:
        UserError: these are not the tensors of the published program, or it had no such model.
    """
    if not _is_published(global_attention):
        raise UserError(
            f"the published program does not have {global_attention}, or crashes with it: give the "
            "--global-attention that the checkpoint was trained with"
        )
    model, graph, num_outputs = _sizes(state, global_attention)
    tensors = layout(model, graph, num_outputs)
    _check(state, tensors)
    used = {t.path: _ours(name, state[name]) for name, t in tensors.items() if t.path is not None}
    return Imported(
        model=model,
        graph=graph,
        num_outputs=num_outputs,
        weights=network_state(model, graph, num_outputs, used),
        unused={n: state[n] for n, t in tensors.items() if t.path is None and n in state},
    )


def to_torch(
    config: RunConfig, weights: ModelState, unused: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The state dict of a run, in the order in which the published program writes it.

    Args:
        config: settings of the run.
        weights: its parameters and running statistics.
        unused: tensors the network has no use for, as `from_torch` found them; the others are
            initialized afresh, because that program loads complete state dicts only.

    Raises:
        UserError: the published program has no such model or no such graphs.
    """
    _refuse_inexpressible(config)
    num_outputs = CLASSES if config.properties[0].task == "classification" else 1
    tensors = layout(config.model, config.graph, num_outputs)
    rng = np.random.default_rng(config.train.seed)
    fresh = {n: _fresh(n, t.shape, rng) for n, t in tensors.items() if t.path is None}
    known = fresh | dict(unused) | published_names(tensors, *weights)
    # Their network gives values as they are.
    mean, scale = (np.float32(x) for x in (config.properties[0].mean, config.properties[0].scale))
    known["out.weight"] = known["out.weight"] * scale
    known["out.bias"] = known["out.bias"] * scale + mean
    return {name: known[name] for name in tensors}


def published_names(tensors: Mapping[str, Tensor], *states: nnx.State) -> dict[str, np.ndarray]:
    """The values of states of our model (parameters, gradients, statistics) as theirs.

    `tensors` is the model's `layout`.
    """
    values = {path: v[...] for state in states for path, v in nnx.to_flat_state(state)}
    return {n: _theirs(n, values[t.path]) for n, t in tensors.items() if t.path in values}


def layout(model: ModelConfig, graph: GraphConfig, num_outputs: int) -> dict[str, Tensor]:
    """Every tensor of the published program's model, in its order."""
    tensors: dict[str, Tensor] = {}
    neurons, heads, attention = model.neurons, model.heads, model.global_attention
    width = 2 * neurons if model.concat_composition else neurons

    def linear(name: str, inputs: int, outputs: int, *path: str | int, used: bool = True) -> None:
        tensors[f"{name}.weight"] = Tensor((outputs, inputs), (*path, "kernel") if used else None)
        tensors[f"{name}.bias"] = Tensor((outputs,), (*path, "bias") if used else None)

    def batch_norm(name: str, features: int, *path: str | int) -> None:
        ours = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
        for theirs, attribute in ours.items():
            tensors[f"{name}.{theirs}"] = Tensor((features,), (*path, attribute))
        tensors[f"{name}.num_batches_tracked"] = Tensor(())

    linear("embed_n", FEATURE_SIZE, neurons, "embed_atom")
    edge_features = len(GaussianBasis(graph.radius, model.gaussian_step))
    linear("embed_e", edge_features, neurons, "embed_bond")
    concat = model.concat_composition
    linear("embed_comp", COMPOSITION_SIZE, neurons, "embed_composition", used=concat)
    for i in range(model.num_layers):
        name, path = f"node_att.{i}", ("layers", i)
        tensors[f"{name}.W"] = Tensor((2 * neurons, heads * neurons), (*path, "kernel"))
        tensors[f"{name}.att"] = Tensor((1, heads, 2 * neurons), (*path, "attention"))
        tensors[f"{name}.bias"] = Tensor((neurons,), (*path, "bias"))
        tensors[f"{name}.prelu.weight"] = Tensor((1,))
        batch_norm(f"{name}.bn1", heads, *path, "attention_norm")
    for i in range(model.num_layers):
        batch_norm(f"batch_norm.{i}", neurons, "layers", i, "norm")

    hidden, out = ("global_attention", "hidden"), ("global_attention", "out")
    by_cluster = attention in ("cluster-fixed", "cluster-random")
    linear("cluster_att.learn_unpool", 2 * neurons + N_CLUSTER, N_CLUSTER, used=False)
    linear("cluster_att.layer_1", neurons, neurons, *hidden, used=by_cluster)
    linear("cluster_att.atten_layer", neurons, 1, *out, used=by_cluster)
    by_composition = attention == "composition"
    linear("comp_atten.node_layer1", neurons + COMPOSITION_SIZE, 32, *hidden, used=by_composition)
    linear("comp_atten.atten_layer", 32, 1, *out, used=by_composition)

    for i in range(model.hidden_layers):
        linear(f"linear{i + 1}", width, width, "hidden", i)
    linear("out", width, num_outputs, "out")
    return tensors


def _sizes(
    state: Mapping[str, np.ndarray], global_attention: str
) -> tuple[ModelConfig, GraphConfig, int]:
    """The network, its graphs and the number of outputs, off the tensors' shapes."""
    layers = {m[1] for name in state if (m := re.match(r"node_att\.(\d+)\.", name))}
    try:
        neurons, _ = state["embed_n.weight"].shape
        _, edge_features = state["embed_e.weight"].shape
        _, heads, _ = state["node_att.0.att"].shape
        num_outputs, width = state["out.weight"].shape
        model = ModelConfig(
            global_attention=global_attention,
            num_layers=len(layers),
            neurons=neurons,
            heads=heads,
            hidden_layers=HIDDEN_LAYERS if "linear1.weight" in state else 0,
            concat_composition=width == 2 * neurons,
        )
    except KeyError as missing:
        raise UserError(f"{NOT_PUBLISHED}: it has no tensor {missing}") from None
    except ValueError:
        raise UserError(f"{NOT_PUBLISHED}: its tensors have other shapes") from None
    graph, step = _published_graph(edge_features)
    return dataclasses.replace(model, gaussian_step=step), graph, num_outputs


def _check(state: Mapping[str, np.ndarray], tensors: Mapping[str, Tensor]) -> None:
    """Refuse state dicts with missing, unknown or differently shaped tensors."""
    for name, tensor in tensors.items():
        if name not in state:
            if tensor.path is None:
                continue
            raise UserError(f"{NOT_PUBLISHED}: it has no tensor '{name}'")
        wanted = np.int64 if name.endswith("num_batches_tracked") else np.float32
        if state[name].shape != tensor.shape or state[name].dtype != wanted:
            raise UserError(
                f"{NOT_PUBLISHED}: its tensor '{name}' is {state[name].dtype} "
                f"{state[name].shape}, not {np.dtype(wanted)} {tensor.shape}"
            )
    if unknown := [name for name in state if name not in tensors]:
        raise UserError(f"{NOT_PUBLISHED}, which has no tensor '{unknown[0]}'")
    if tensors["out.weight"].shape[0] not in (1, CLASSES):
        raise UserError(f"{NOT_PUBLISHED}: it has {tensors['out.weight'].shape[0]} outputs")


def _published_graph(edge_features: int) -> tuple[GraphConfig, float]:
    """The graphs whose distances so many Gaussians expand, and the step between these."""
    for graph, step in GRAPHS:
        if len(GaussianBasis(graph.radius, step)) == edge_features:
            return dataclasses.replace(graph, fake_edges=True), step
    raise UserError(
        f"this model takes {edge_features} Gaussians of a distance, but the published graphs have "
        "41 (CGCNN) or 9 (MEGNet): train such a model here, with --gaussian-step and --radius"
    )


def _is_published(global_attention: str) -> bool:
    """Whether the published program has it, and does not crash there."""
    known = GLOBAL_ATTENTIONS.get(global_attention)
    return known is not None and known.published


def _refuse_inexpressible(config: RunConfig) -> None:
    model = config.model
    graph = dataclasses.replace(config.graph, fake_edges=False, reduce=True, clusters=False)
    width = model.neurons * (2 if model.concat_composition else 1)
    what = {
        f"{model.model.upper()} (--model {model.model})": model.model != "gatgnn",
        f"{model.global_attention} attention": not _is_published(model.global_attention),
        "residual layers (--residual)": model.residual,
        f"{model.hidden_layers} hidden layers: it has {HIDDEN_LAYERS} or none": (
            model.hidden_layers not in (0, HIDDEN_LAYERS)
        ),
        f"hidden layers of {model.hidden_neurons} neurons: its are as wide as what they read": (
            model.hidden_neurons not in (0, width)
        ),
        f"{len(config.properties)} properties at once": len(config.properties) > 1,
        "more than two classes": any(p.num_outputs > 2 for p in config.properties),
        "an ensemble": config.train.members > 1,
        f"graphs with --radius {graph.radius:g} --max-neighbors {graph.max_neighbors} "
        f"--gaussian-step {model.gaussian_step:g}: it has CGCNN's and MEGNet's": (
            (graph, model.gaussian_step) not in GRAPHS
        ),
    }
    for setting, applies in what.items():
        if applies:
            raise UserError(f"the published program cannot express {setting}")


def _ours(name: str, value: np.ndarray) -> np.ndarray:
    """A tensor of theirs as ours: torch keeps linear weights as [outputs, inputs]."""
    if name.endswith(".att"):
        return value[0]
    return value.T if value.ndim == 2 and name.endswith(".weight") else value


def _theirs(name: str, value: np.ndarray) -> np.ndarray:
    """The reverse of `_ours`."""
    value = np.asarray(value)
    if name.endswith(".att"):
        return value[None]
    return value.T.copy() if value.ndim == 2 and name.endswith(".weight") else value


def _fresh(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A new tensor of what the network does not use."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("prelu.weight"):
        return np.full(shape, 0.25, np.float32)
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    limit = (6 / sum(shape)) ** 0.5
    return rng.uniform(-limit, limit, shape).astype(np.float32)
