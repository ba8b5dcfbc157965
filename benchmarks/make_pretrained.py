"""`python -m benchmarks.make_pretrained RUN ...`: ready-made models for the package, with cards.

A run of several properties gives a model of each. Of all that predict a property the one with the
lowest validation error is taken.
"""

import dataclasses
import gzip
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import tyro
from pymatgen.core import Composition

from benchmarks import provenance
from data_prep.cache import open_dataset
from data_prep.compositions import compositions
from data_prep.files import write_text
from data_prep.properties import Property
from gatgnn_jax.cli import run_command
from gatgnn_jax.config import as_option
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.objective import output_slices
from gatgnn_jax.pages.report import read_finished
from gatgnn_jax.pages.report_numbers import (
    Finished,
    compare_settings,
    property_numbers,
)
from gatgnn_jax.prediction.coverage import coverage_groups
from gatgnn_jax.prediction.reliability import (
    Reliability,
    read_reliability,
    write_reliability,
)
from gatgnn_jax.runs.config import DataInfo, RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.ready_made import PRETRAINED, SEEN
from gatgnn_jax.training.optimizer import part_of

FEWEST = 10
"""Test crystals with an element for it to stand in the card."""

SHOWN = 8
"""Elements with the lowest and the highest error in the card."""

NAMES = {
    "mp_elastic": "3,192 crystals of CGCNN's elastic list (Materials Project, 2017)",
    "elastic_all": "9,192 elastic crystals of the Materials Project, those of CGCNN's list (2017) "
    "and 6,000 others; the test crystals are of the list, the validation crystals of both, with "
    "formulas that are not in training",
    "energy": "52,413 crystals of MEGNet's list (mp.2018.6.1) and CGCNN's large list (Materials "
    "Project); the test crystals are those of MEGNet's published split and of the elastic split, "
    "the validation crystals have formulas that are not in training",
    "mp_cgcnn": "37,172 crystals of CGCNN's large list (Materials Project, 2017)",
}
"""What a card calls the files of crystals."""

LAYERS = {
    "gatgnn": ("GATGNN", "AGAT layers"),
    "gat": ("GATGNN", "GAT layers"),
    "gated-gatgnn": ("Gated GATGNN", "layers"),
    "cgcnn": ("CGCNN", "convolutions"),
    "megnet": ("MEGNet", "blocks"),
}
"""What a card calls a model and its layers."""


def command(config: RunConfig) -> str:
    """The training as a command, without the paths of its data."""
    preset, settings = compare_settings(config, sum(config.data.element_counts.values()))
    words = ["python -m gatgnn_jax.train", f"--preset {preset}"]
    words += [f"--property {','.join(p.name for p in config.properties)}"]
    for _, name, value, usual in settings:
        if value != usual or name == "seed":
            shown = Path(value).name if name == "init_from" else value
            words.append(as_option(name, shown))
    return " ".join(words)


def of_property(config: RunConfig, model: ModelState, p: Property) -> tuple[RunConfig, ModelState]:
    """The part of a run that predicts one of its properties."""
    outputs = output_slices(config.properties)[config.properties.index(p)]
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf[..., outputs] if part_of(path) == "out" else leaf, model.params
    )
    own = dataclasses.replace(config, properties=(p,))
    return own, ModelState(params, model.stats)


def network(config: RunConfig) -> str:
    """What a card calls the network, or those of an ensemble."""
    parts = []
    for model, members in config.networks:
        label, layers = LAYERS[model.model]
        sizes = f"{model.num_layers} {layers}"
        several = f"{label}, ensemble of {members}, {sizes} each"
        parts.append(f"{label}, {sizes}" if members == 1 else several)
    return ", and ".join(parts)


def of_one_property(known: Reliability, config: RunConfig, p: Property) -> Reliability:
    """The part of what a run knows that is about one of its properties."""
    intervals, training = known.intervals, known.training
    if intervals is not None:
        own = tuple(interval for interval in intervals.properties if interval.name == p.name)
        intervals = dataclasses.replace(intervals, properties=own)
    if training is not None:
        column = config.properties.index(p)
        training = dataclasses.replace(training, values=training.values[:, [column]])
    return Reliability(intervals, training)


def card(
    run: Finished,
    p: Property,
    numbers: Mapping[str, Any],
    cells: Sequence[Composition],
    data: str,
    size: int,
) -> str:
    """The card of a run's model of `p` as Markdown, from what `property_numbers` says.

    `size` counts the model's parameters, `data` names its crystals, `cells` are their contents.
    """
    scores, unit = numbers["scores"]["test"], numbers["unit"]
    subsets = run.predictions.subset.value_counts()
    common = sorted(row for row in numbers["elements"] if row[1] >= FEWEST)
    common.sort(key=lambda row: row[2])
    with_unit = f" {unit}" if unit else ""
    own = f" ({numbers['own_mae']:.3g} {p.unit})" if p.transform == "log10" else ""
    output = f" in {p.unit}" if p.unit else ""
    output += " and its base-10 logarithm" if p.transform == "log10" else ""
    lines = [
        f"# {p.name}",
        "",
        f"{network(run.config)}, {size:,} parameters; "
        f"predicts the {p.name.replace('_', ' ')}{output}.",
        "",
        f"- **Data**: {data}; training {subsets['train']:,}, validation {subsets['val']:,}, test "
        f"{subsets['test']:,} crystals. Computed values (DFT, PBE), not measured ones.",
        f"- **Training**: `{command(run.config)}`; best of {run.summary['epochs']} epochs by "
        f"validation error ({validation_error(run.summary, p):.4f}).",
        "- **Test error**, on crystals it has never seen: mean absolute error "
        f"{scores['mae']:.4f} ± {standard_error(run, p, 'test'):.4f}{with_unit}{own}, R² "
        f"{scores['r2']:.3f} (± is the standard error over crystals). Always saying the training "
        f"mean: {numbers['naive']:.4f}.",
        f"- **Validation error**, on the crystals that chose the epoch: "
        f"{validation_error(run.summary, p):.4f} ± {standard_error(run, p, 'val'):.4f}{with_unit}.",
        "- **Not for**: unstable and hypothetical compounds (nearly all training crystals are "
        "stable) and crystals with elements it has not seen (predictions warn of both), molecules, "
        "surfaces, layers, defects, disordered crystals, phases that differ in their spins only, "
        "values at temperature or pressure. Structures should be relaxed. Errors grow where "
        "training crystals were few, and those of logarithms where crystals are soft.",
        "- **Licence**: MIT; the data are the Materials Project's (CC BY 4.0).",
        f"- `{SEEN}` lists the crystals (Materials Project ids) of training and validation; "
        "`python -m gatgnn_jax.evaluate` leaves them out.",
        "",
        f"Mean absolute error of test crystals with an element ({FEWEST} crystals or more): lowest "
        "and highest.",
        "",
        "| element | test crystals | error | training crystals |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {symbol} | {count} | {error:.4f} | {trained} |"
        for symbol, count, error, trained in common[:SHOWN] + common[-SHOWN:]
    ]
    return "\n".join([*lines, "", *groups_table(run, p, cells)]) + "\n"


def groups_table(run: Finished, p: Property, cells: Sequence[Composition]) -> list[str]:
    """Errors of the test crystals by kinds of crystals, and what the intervals hold of them."""
    rows, half_width = run.test, run.half_width(p)
    if half_width is None:
        return []
    own = [cells[row] for row in rows]
    table = coverage_groups(p, run.predicted(p)[rows], run.target(p)[rows], half_width[rows], own)
    lines = ["By the number of elements, the atoms of the cell, and the predicted value:", ""]
    lines += ["| | test crystals | error | in the 90 % interval |", "|---|---|---|---|"]
    for row in table.itertuples():
        name = "all" if row.by == "all" else f"{row.by}: {row.group}"
        lines.append(f"| {name} | {row.crystals} | {row.mae:.4f} | {row.coverage:.0%} |")
    return lines


def standard_error(run: Finished, p: Property, subset: str) -> float:
    """Of the mean absolute error over the crystals of a subset."""
    return provenance.standard_error(run.errors(p)[run.predictions.subset == subset])


def validation_error(summary: Mapping[str, Any], p: Property) -> float:
    """The mean absolute error of one of a run's properties."""
    return summary.get("val_mae", summary.get(f"val_mae_{p.name}"))


def export(path: Path, name: str) -> Path:
    """Copy what prediction of a property needs of a run into the package; the folder it is in."""
    run = RunDirectory.open(path)
    finished, (config, _, model) = read_finished(run), run.load_best()
    p = next(p for p in config.properties if p.name == name)
    assert config.data.source is not None
    source = Path(config.data.source)
    dataset, _ = open_dataset(source, config.graph)
    order = {name: row for row, name in enumerate(dataset.ids)}
    cells = compositions(dataset, [order[name] for name in finished.predictions.id.astype(str)])
    numbers = property_numbers(finished, p, cells, {})

    target = PRETRAINED / p.name
    shutil.rmtree(target, ignore_errors=True)
    own, own_model = of_property(config, model, p)
    # Where the data lay is nobody's business, nor where the run that it started from.
    info = DataInfo(element_counts=config.data.known_elements)
    start = own.train.init_from
    settings = dataclasses.replace(own.train, init_from=start and Path(start).name)
    ready = RunDirectory.create(target, dataclasses.replace(own, train=settings, data=info))
    ready.save_best(own_model)
    write_reliability(ready, of_one_property(read_reliability(run), config, p))
    split = run.split()
    seen = "\n".join(np.sort(split["train"] + split["val"])) + "\n"
    (target / SEEN).write_bytes(gzip.compress(seen.encode(), mtime=0))
    data = NAMES.get(source.name.partition(".")[0], source.name)
    if rest := len(dataset) - len(finished.predictions):
        data += f", {rest:,} of which had no part in it"
    size = sum(leaf.size for leaf in jax.tree.leaves(own_model.params))
    write_text(target / "README.md", card(finished, p, numbers, cells, data, size))
    return target


def main(runs: tyro.conf.Positional[tuple[Path, ...]]) -> int:
    """Ready-made models of some runs, one a property."""
    rows = []
    for path in runs:
        run = RunDirectory.open(path)
        summary = run.read_json("summary.json")
        rows += [
            {"run": path, "property": p.name, "val_mae": validation_error(summary, p)}
            for p in run.config().properties
        ]
    for name, group in pd.DataFrame(rows).groupby("property"):
        sys.stdout.write(f"{export(group.sort_values('val_mae').run.iloc[0], str(name))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: tyro.cli(main, prog="python -m benchmarks.make_pretrained")))
