"""`python -m benchmarks.parity_training`: the same training in PyTorch and in JAX, side by side.

Both start from the same weights and see the same batches of the same graphs, with the settings of
the published program (preset `official`) and 5 layers. Losses part slowly, as rounding is amplified
by every step, so the first ones are compared one by one, and what comes of it by test errors over
several seeds. The figures go to a JSON file, with a picture beside it; a seed of one program that
is finished is not trained again when the command is repeated.

Everything runs on the CPU, where float32 products are float32 products in both programs.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

if find_spec("torch_geometric") is None:
    sys.exit('error: the other side needs PyTorch: pip install -e ".[bench]"')

from benchmarks import provenance
from benchmarks.sides import FIRST_STEPS, Crystals, Framework, Run, train
from data_prep.cache import open_dataset
from data_prep.errors import UserError
from data_prep.files import write_text
from data_prep.properties import resolve_property
from data_prep.targets import select_targets
from gatgnn_jax.batches.splits import make_split
from gatgnn_jax.cli import run_command
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.pages.plots import STYLE, save
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.runs.config import DataInfo, RunConfig

FRAMEWORKS: tuple[Framework, ...] = ("jax", "pytorch")
COLORS = {"jax": "#1f6fb2", "pytorch": "#e08e2b"}
NAMES = {"jax": "JAX", "pytorch": "PyTorch"}
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Options:
    """Train GATGNN in PyTorch and in JAX from the same weights on the same batches."""

    data_dir: Path = Path("../shared/data")
    """Folder with mp_elastic.jsonl.gz and mp_elastic_split.json; the bundled crystals without."""
    property: str = "bulk_modulus"
    """What to predict."""
    layers: int = 5
    """Attention layers."""
    epochs: int = PRESETS["official"].train.epochs
    """Passes over the training crystals."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the initial weights and the batches."""
    limit: int | None = None
    """Use the first crystals only, split at random."""
    out: Path = Path("benchmarks/results/parity_training.json")
    """The figures; the picture is put beside them."""


def load(options: Options) -> Crystals:
    """The elastic crystals with their fixed split, or without them the bundled ones."""
    preset = PRESETS["official"]
    graph = replace(preset.graph, reduce=False)  # PyTorch has no quotient graphs
    elastic = options.data_dir / "mp_elastic.jsonl.gz"
    is_there = elastic.exists()
    if not is_there:
        console.print(f"{elastic} is not there: training on the bundled crystals instead")
    has_split = is_there and options.limit is None
    split = str(options.data_dir / "mp_elastic_split.json") if has_split else None
    source = elastic if is_there else None
    dataset, _ = open_dataset(source, graph, limit=options.limit)
    target_property = resolve_property(options.property, dataset.columns)
    target, reasons = select_targets(dataset.columns, [target_property])
    usable = np.setdiff1d(np.arange(len(dataset)), list(reasons))
    config = RunConfig(
        graph=graph,
        model=replace(preset.model, num_layers=options.layers),
        train=replace(preset.train, epochs=options.epochs),
        properties=(target_property,),
        data=DataInfo(),
    )
    subsets = make_split(dataset.ids, usable, split, seed=0, own=dataset.splits).subsets
    return Crystals("mp_elastic" if is_there else "bundled", config, dataset, target, subsets)


def first_difference(runs: Sequence[Run]) -> float | None:
    """The largest relative difference of the first steps' losses, over all seeds both have."""
    by_seed = {(run.framework, run.seed): np.array(run.first_losses) for run in runs}
    differences = [
        np.abs(ours / by_seed["pytorch", seed] - 1).max()
        for (framework, seed), ours in by_seed.items()
        if framework == "jax" and ("pytorch", seed) in by_seed
    ]
    return float(max(differences)) if differences else None


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """The first steps' difference; each program's errors, mean and deviation over the seeds."""
    summary: dict[str, Any] = {
        "first_steps": FIRST_STEPS,
        "first_steps_largest_relative_difference": first_difference(runs),
    }
    for framework in FRAMEWORKS:
        own = [run for run in runs if run.framework == framework]
        if not own:
            continue
        test = [run.test_mae for run in own]
        summary[framework] = {
            "seeds": len(own),
            "test_mae_mean": float(np.mean(test)),
            "test_mae_deviation": float(np.std(test, ddof=1)) if len(own) > 1 else None,
            "best_val_mae_mean": float(np.mean([run.best_val_mae for run in own])),
        }
    return summary


def read_runs(path: Path, settings: Mapping[str, Any]) -> list[Run]:
    """The runs of an earlier call with the same settings.

    Raises:
        UserError: the file is of other settings, or something else.
    """
    if not path.exists():
        return []
    try:
        earlier = json.loads(path.read_text())
        if earlier["settings"] == settings:
            return [Run(**run) for run in earlier["runs"]]
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path} holds something else than runs of these settings: give another --out")


def write_results(path: Path, settings: Mapping[str, Any], runs: Sequence[Run]) -> None:
    """All figures as JSON, and the picture beside it."""
    results = {
        "settings": settings,
        "commit": provenance.commit(),
        "summary": summarize(runs),
        "runs": [asdict(run) for run in runs],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(results, indent=1) + "\n")
    with mpl.rc_context(STYLE):
        save(draw(runs, settings["unit"]), path.with_suffix(".png"))


def draw(runs: Sequence[Run], unit: str) -> Figure:
    """Losses of the first steps, and training loss and validation error (in `unit`) by epoch."""
    figure = Figure(figsize=(14, 4.2), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    # PyTorch is drawn over by thin lines of ours: where one is seen, they part.
    for framework, width in (("pytorch", 3.0), ("jax", 1.0)):
        own = [run for run in runs if run.framework == framework]
        if not own:
            continue
        test = ", ".join(f"{run.test_mae:.4f}" for run in own)
        for i, run in enumerate(own):
            label = f"{NAMES[framework]}, test MAE {test}" if i == 0 else None
            for axes, values in zip(
                panels, (run.first_losses, run.train_loss, run.val_mae), strict=True
            ):
                steps = range(1, len(values) + 1)
                axes.plot(steps, values, color=COLORS[framework], linewidth=width, label=label)
    difference = first_difference(runs)
    apart = "" if difference is None else f", at most {difference:.1e} apart"
    titles = (f"loss of the first steps{apart}", "training loss", f"validation MAE {unit}")
    for axes, title, x in zip(panels, titles, ("step", "epoch", "epoch"), strict=True):
        axes.set(title=title, xlabel=x, yscale="log")
    panels[2].legend()
    return figure


def main(options: Options) -> int:
    """Train what is not trained yet, and write what is known after each run."""
    use_device("cpu")
    crystals = load(options)
    settings = {
        "crystals": crystals.name,
        "content_hash": crystals.dataset.content_hash,
        "sizes": {name: len(rows) for name, rows in crystals.subsets.items()},
        "property": options.property,
        "unit": crystals.config.properties[0].trained_unit,
        "preset": "official",
        "layers": options.layers,
        "epochs": options.epochs,
    }
    runs = read_runs(options.out, settings)
    done = {(run.framework, run.seed) for run in runs}
    for seed in options.seeds:
        for framework in FRAMEWORKS:
            if (framework, seed) in done:
                continue
            console.print(f"{NAMES[framework]}, seed {seed}")
            runs.append(train(framework, crystals, seed, console))
            write_results(options.out, settings, runs)
    console.print_json(data=summarize(runs))
    console.print(f"see {options.out} and {options.out.with_suffix('.png')}")
    return 0


if __name__ == "__main__":
    sys.exit(
        run_command(lambda: main(tyro.cli(Options, prog="python -m benchmarks.parity_training")))
    )
