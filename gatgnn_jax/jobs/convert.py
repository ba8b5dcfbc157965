"""What `convert` does: checkpoints of the published programs to runs, and back."""

import codecs
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from rich.console import Console

from data_prep.errors import UserError
from data_prep.progress import plain_console
from data_prep.properties import Property, canonical_name, resolve_property
from gatgnn_jax.config import ModelConfig
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.published.cgcnn import MARK, from_cgcnn
from gatgnn_jax.published.gatgnn import Imported, from_torch, to_torch
from gatgnn_jax.runs.config import DataInfo, RunConfig
from gatgnn_jax.runs.directory import RunDirectory

if TYPE_CHECKING:
    from gatgnn_jax.convert import ConvertOptions


UNUSED_TENSORS = "checkpoints/unused_tensors.npz"


# CGCNN's checkpoints keep their score as one; its name is another since NumPy 2.
_NUMPY_SCALARS = [
    *(
        (np._core.multiarray.scalar, f"numpy.{core}.multiarray.scalar")  # type: ignore[attr-defined]
        for core in ("core", "_core")
    ),
    np.dtype,
    type(np.dtype(np.float64)),
    codecs.encode,
]


class Checkpoint(NamedTuple):
    """Tensors by name, and what turns an output into the property: `output * std + mean`."""

    tensors: dict[str, np.ndarray]
    mean: float
    std: float


def convert(options: "ConvertOptions") -> int:
    """Convert in the direction asked for; the exit status."""
    if options.out.is_file() or (options.out.is_dir() and any(options.out.iterdir())):
        raise UserError(f"{options.out} exists already: choose another --out")
    use_device("cpu")
    console = plain_console()
    run = export_run if options.to_torch else import_checkpoint
    run(options, console)
    return 0


def import_checkpoint(options: "ConvertOptions", console: Console) -> None:
    """From a checkpoint to a run directory."""
    path = options.source
    if not path.is_file():
        hint = f"add --to-torch to convert the run {path}" if path.is_dir() else "check the name"
        raise UserError(f"{path} is no checkpoint file: {hint}")
    checkpoint = read_checkpoint(path)
    try:
        imported = import_weights(checkpoint, options.global_attention)
        target = target_property(options.property, imported.num_outputs)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    # Nothing says how it was trained: the defaults that go with the model.
    recipe = PRESETS["cgcnn" if imported.model.model == "cgcnn" else "official"].train
    config = RunConfig(imported.graph, imported.model, recipe, (target,), DataInfo())
    run = RunDirectory.create(options.out, config)
    run.save_best(imported.weights)
    _write_npz(run.path / UNUSED_TENSORS, imported.unused)

    named = target.name if options.property else "its raw output (--property would give it a name)"
    console.print(
        f"{run.path}: {_described(imported.model)}, "
        f"graphs of radius {config.graph.radius:g} Å with fake edges\n"
        f"python -m gatgnn_jax.predict {run.path} FILES… predicts {named}"
    )


def import_weights(checkpoint: Checkpoint, attention: str | None) -> Imported:
    """Settings and weights of a checkpoint of either program.

    Raises:
        UserError: it is neither's, or the global attention is missing or out of place.
    """
    if MARK in checkpoint.tensors:
        if attention is not None:
            raise UserError("a CGCNN has no global attention: leave out --global-attention")
        return from_cgcnn(*checkpoint)
    if attention is None:
        raise UserError(
            "say which global attention it was trained with, its tensors do not show it: "
            "--global-attention composition, cluster-fixed, cluster-random or none"
        )
    return from_torch(checkpoint.tensors, attention)


def _described(model: ModelConfig) -> str:
    sizes = f"{model.num_layers} layers of {model.neurons} neurons"
    if model.model == "cgcnn":
        return f"CGCNN, {sizes}"
    return f"{sizes}, {model.heads} heads, global attention {model.global_attention}"


def export_run(options: "ConvertOptions", console: Console) -> None:
    """From a run directory to a state dict."""
    if options.property is not None or options.global_attention is not None:
        raise UserError(
            "--to-torch takes property and global attention from the run: leave out --property and "
            "--global-attention"
        )
    run = RunDirectory.open(options.source)
    config, _, weights = run.load_best()
    unused: dict[str, np.ndarray] = {}
    if (run.path / UNUSED_TENSORS).exists():
        with np.load(run.path / UNUSED_TENSORS) as file:
            unused = dict(file)
    try:
        state = to_torch(config, weights, unused)
    except UserError as error:
        raise UserError(f"{run.path}: {error}") from None
    write_state_dict(state, options.out)
    console.print(f"{options.out}: {len(state)} tensors of {run.path}")
    if not config.graph.fake_edges:
        # No reason to refuse: the weights are right, and most crystals have all their neighbours.
        console.print(
            f"note: {run.path} was trained without fake edges, which the published program adds to "
            f"atoms with fewer than {config.graph.max_neighbors} neighbours within "
            f"{config.graph.radius:g} Å:\nit will predict crystals with such atoms differently",
            style="yellow",
        )


def target_property(name: str | None, num_outputs: int) -> Property:
    """What a checkpoint with that many outputs predicts; without a name its raw output.

    Raises:
        UserError: the property needs another number of outputs.
    """
    task: Literal["regression", "classification"]
    task = "classification" if num_outputs == 2 else "regression"
    if name is None:
        return Property("prediction", "prediction", task=task)
    column = canonical_name(name)
    target = resolve_property(name, [column])
    if target == Property(column, column):
        return replace(target, task=task)  # a property of the user's own can be either
    if target.task != task:
        raise UserError(f"--property {name} is a {target.task}, but the model does {task}")
    return target


def read_checkpoint(path: Path) -> Checkpoint:
    """What PyTorch saved: a state dict, or CGCNN's dictionary with one and a normalizer.

    No code that the file may hold is run.

    Raises:
        UserError: it is neither, or PyTorch is not installed.
    """
    torch = _torch()
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            saved = torch.load(path, map_location="cpu", weights_only=True)
        state = saved.get("state_dict", saved)
        normalizer = saved.get("normalizer", {"mean": 0.0, "std": 1.0})
        tensors = {str(name): tensor.numpy(force=True) for name, tensor in state.items()}
        return Checkpoint(tensors, float(normalizer["mean"]), float(normalizer["std"]))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except Exception:  # whatever unpickling other files may raise
        raise UserError(
            f"{path} is no state dict: save one with torch.save(model.state_dict(), FILE)"
        ) from None


def write_state_dict(state: Mapping[str, np.ndarray], path: Path) -> None:
    """Save tensors as PyTorch does.

    Raises:
        UserError: PyTorch is not installed.
    """
    torch = _torch()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    torch.save({name: torch.tensor(value) for name, value in state.items()}, temporary)
    temporary.replace(path)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise UserError(
            "checkpoints of the published program are PyTorch's: pip install torch "
            "(--index-url https://download.pytorch.org/whl/cpu for the small one)"
        ) from None
    return torch


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    temporary = path.with_name(f".{path.name}")
    np.savez(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)
