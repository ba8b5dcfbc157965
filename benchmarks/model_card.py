"""What a ready-made model's card says: data, training, errors, and what it is not for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition

from benchmarks import provenance
from data_prep.properties import Property
from gatgnn_jax.config import as_option
from gatgnn_jax.objective import METRICS
from gatgnn_jax.pages.finished import Finished
from gatgnn_jax.pages.report_numbers import (
    compare_settings,
    errors_by,
    naive_score,
    own_unit_error,
    subset_scores,
    symbols_of,
)
from gatgnn_jax.prediction.coverage import coverage_groups
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.ready_made import SEEN

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


SUBSETS = {"test": "it has never seen", "val": "that chose the epoch"}
"""What a card says of the crystals of a subset."""

SELECTED_BY = {"regression": "validation error", "classification": "the validation's log loss"}

ERROR = {"regression": "Mean absolute error", "classification": "Share of wrong classes"}

SHARES = ("accuracy", "balanced_accuracy", "f1", "auc")
"""What a card says of classes."""


def command(config: RunConfig, num_crystals: int) -> str:
    """The training on so many crystals as a command, without the paths of its data."""
    preset, settings = compare_settings(config, num_crystals)
    words = ["python -m gatgnn_jax.train", f"--preset {preset}"]
    words += [f"--property {','.join(p.name for p in config.properties)}"]
    for _, name, value, usual in settings:
        if value != usual or name == "seed":
            shown = Path(value).name if name == "init_from" else value
            words.append(as_option(name, shown))
    return " ".join(words)


def network(config: RunConfig) -> str:
    """What a card calls the network, or those of an ensemble."""
    parts = []
    for model, members in config.networks:
        label, layers = LAYERS[model.model]
        sizes = f"{model.num_layers} {layers}"
        several = f"{label}, ensemble of {members}, {sizes} each"
        parts.append(f"{label}, {sizes}" if members == 1 else several)
    return ", and ".join(parts)


def card(
    run: Finished, p: Property, data: str, size: int, judged: Finished, cells: Sequence[Composition]
) -> str:
    """The card of a run's model of `p` as Markdown.

    Args:
        run: its training.
        p: what it predicts.
        data: the name of its crystals.
        size: how many parameters it has.
        judged: whose test crystals the tables are of: the run itself, or the run of folds that all
            crystals were predicted in.
        cells: the contents of these crystals, in the order of `judged.predictions`.
    """
    subsets = run.predictions.subset.value_counts()
    kind = "test crystals" if judged is run else "crystals out of fold"
    common = [row for row in errors_by(judged, p, symbols_of(cells)) if row[1] >= FEWEST]
    common.sort(key=lambda row: row[2])
    trained = run.config.data.known_elements
    predicts = f"the {p.name.replace('_', ' ')}" + (f" in {p.unit}" if p.unit else "")
    predicts += " and its base-10 logarithm" if p.transform == "log10" else ""
    if p.class_names:
        predicts = f"whether a crystal is {' or '.join(p.class_names)}, with probabilities"
    lines = [
        f"# {p.name}",
        "",
        f"{network(run.config)}, {size:,} parameters; predicts {predicts}.",
        "",
        f"- **Data**: {data}; training {subsets['train']:,}, validation {subsets['val']:,}, test "
        f"{subsets['test']:,} crystals. Computed values (DFT, PBE), not measured ones.",
        f"- **Training**: `{command(run.config, subsets['train'])}`; best of "
        f"{run.summary['epochs']} epochs by {SELECTED_BY[p.task]} "
        f"({validation_score(run.summary, p):.4f}).",
        *([] if judged is run else [out_of_fold_error(judged, p)]),
        *errors(run, p),
        "- **Not for**: unstable and hypothetical compounds (nearly all training crystals are "
        "stable) and crystals with elements it has not seen (predictions warn of both), molecules, "
        "surfaces, layers, defects, disordered crystals, phases that differ in their spins only, "
        "values at temperature or pressure. Structures should be relaxed. Errors grow where "
        "training crystals were few, and those of logarithms where crystals are soft.",
        "- **Licence**: MIT; the data are the Materials Project's (CC BY 4.0).",
        f"- `{SEEN}` lists the crystals (Materials Project ids) of training and validation; "
        "`python -m gatgnn_jax.evaluate` leaves them out.",
        "",
        f"{ERROR[p.task]} of {kind} with an element ({FEWEST} crystals or more): lowest and "
        "highest.",
        "",
        "| element | crystals | error | training crystals of the model |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {symbol} | {count} | {error:.4f} | {trained.get(symbol, 0)} |"
        for symbol, count, error in common[:SHOWN] + common[-SHOWN:]
    ]
    return "\n".join([*lines, "", *groups_table(judged, p, cells, kind)]) + "\n"


def out_of_fold_error(folds: Finished, p: Property) -> str:
    """The line on the error of crystals that each a network of folds predicts."""
    config, trained = folds.config, folds.summary["crystals"]["train"]
    together = ", all properties in one" if len(config.properties) > 1 else ""
    unit = f" {p.trained_unit}" if p.trained_unit else ""
    error = f"{np.nanmean(folds.errors(p)):.4f} ± {standard_error(folds, p, 'test'):.4f}{unit}"
    return (
        f"- **{ERROR[p.task]} out of fold**: {error} over {len(folds.predictions):,} crystals, by "
        f"networks that have not seen their formulas ({network(config)}, {config.train.epochs} "
        f"epochs{together}, {trained:,} training crystals each). Expect it, or a little less, of "
        "this model too where crystals are like all of these; those of the test are easier."
    )


def errors(run: Finished, p: Property) -> list[str]:
    """The lines on test and validation error."""
    scores = {name: subset_scores(run, p, name) for name in SUBSETS}
    naive = naive_score(p, run.target(p), run.predictions.subset)
    unit = f" {p.trained_unit}" if p.trained_unit else ""
    if p.task == "classification":
        lines = []
        for name, title in (("test", "Test"), ("val", "Validation")):
            told = [f"{METRICS[p.task][own].label} {scores[name][own]:.3f}" for own in SHARES]
            told[0] += f" ± {standard_error(run, p, name):.3f}"
            lines.append(f"- **{title}**, on crystals {SUBSETS[name]}: {', '.join(told)}.")
        lines[0] += f" Always saying the commoner class: accuracy {naive:.3f}."
        return lines
    own = f" ({own_unit_error(p, run, run.test):.3g} {p.unit})" if p.transform == "log10" else ""
    mean = {
        name: f"{scores[name]['mae']:.4f} ± {standard_error(run, p, name):.4f}" for name in SUBSETS
    }
    return [
        f"- **Test error**, on crystals {SUBSETS['test']}: mean absolute error "
        f"{mean['test']}{unit}{own}, R² {scores['test']['r2']:.3f} (± is the standard error over "
        f"crystals). Always saying the training mean: {naive:.4f}.",
        f"- **Validation error**, on the crystals {SUBSETS['val']}: {mean['val']}{unit}.",
    ]


def groups_table(run: Finished, p: Property, cells: Sequence[Composition], kind: str) -> list[str]:
    """Errors of the test crystals by kinds of crystals, and what the intervals hold of them."""
    rows, half_width = run.test, run.half_width(p)
    if half_width is None:
        return []
    own = [cells[row] for row in rows]
    table = coverage_groups(p, run.predicted(p)[rows], run.target(p)[rows], half_width[rows], own)
    kinds = f"The {kind}, by number of elements, atoms of the cell, and predicted value:"
    lines = [kinds, "", "| | crystals | error | in the 90 % interval |", "|---|---|---|---|"]
    for row in table.itertuples():
        name = "all" if row.by == "all" else f"{row.by}: {row.group}"
        lines.append(f"| {name} | {row.crystals} | {row.mae:.4f} | {row.coverage:.0%} |")
    return lines


def standard_error(run: Finished, p: Property, subset: str) -> float:
    """Of the mean absolute error over the crystals of a subset."""
    return provenance.standard_error(run.errors(p)[run.predictions.subset == subset])


def validation_score(summary: Mapping[str, Any], p: Property) -> float:
    """What the best epoch was chosen by, of one of a run's properties; smaller is better."""
    name = "val_mae" if p.task == "regression" else "val_log_loss"
    return summary.get(name, summary.get(f"{name}_{p.name}"))
