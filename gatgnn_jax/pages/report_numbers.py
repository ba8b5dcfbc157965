"""The numbers of a run's report: errors by crystal, element, symmetry and size, settings, data."""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Element

from data_prep.elements import MAX_ATOMIC_NUMBER
from data_prep.errors import Skipped
from data_prep.labels import formula
from data_prep.properties import Property, ending_of
from gatgnn_jax.batches.splits import SUBSETS
from gatgnn_jax.models.global_attention import label_of
from gatgnn_jax.objective import METRICS, metrics
from gatgnn_jax.pages.calibration import calibration_numbers
from gatgnn_jax.pages.classes import class_numbers
from gatgnn_jax.pages.finished import Finished
from gatgnn_jax.prediction.columns import digits_of
from gatgnn_jax.prediction.coverage import coverage_groups
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.runs.config import RunConfig

SIZES = ((1, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, None))
"""Crystals are grouped by these numbers of atoms in the cell."""


def report_numbers(
    run: Finished,
    cells: Sequence[Composition],
    systems: Mapping[int, str],
    without_system: Mapping[str, int],
) -> dict[str, Any]:
    """All numbers of the page, as plain JSON values.

    `cells` [C] are the crystals' contents, in the order of `run.predictions`; `systems` the crystal
    systems of those test crystals (by row) for which they were found, `without_system` how many of
    the others there are of each kind.
    """
    config = run.config
    subset = run.predictions.subset
    preset, settings = compare_settings(config, int((subset == "train").sum()))
    return {
        "run": run.name,
        "subsets": {name: int((subset == name).sum()) for name in SUBSETS},
        "subset": [SUBSETS.index(name) for name in subset],
        "ids": run.predictions.id.astype(str).tolist(),
        "formulas": [formula(cell) for cell in cells],
        "atoms": [round(cell.num_atoms) for cell in cells],
        "epoch": run.epochs.epoch.tolist(),
        "best_epoch": run.summary["best_epoch"],
        "properties": [property_numbers(run, p, cells, systems) for p in config.properties],
        "summary": dict(run.summary),
        "global_attention": label_of(config.model.global_attention),
        "preset": preset,
        "settings": settings,
        "without_system": [[kind, count] for kind, count in without_system.items() if count],
        "table": [_place(Element.from_Z(z)) for z in range(1, MAX_ATOMIC_NUMBER + 1)],
        "source": config.data.source,
        "limit": config.data.limit,
        "split": config.data.split,
        "skipped": skipped_by_reason(run.skipped),
    }


def property_numbers(
    run: Finished, p: Property, cells: Sequence[Composition], systems: Mapping[int, str]
) -> dict[str, Any]:
    """What the page says of one property."""
    target, predicted = run.target(p), run.predicted(p)
    counts = run.config.data.element_counts
    judged = run.test if len(run.test) else np.flatnonzero(run.predictions.subset == "val")

    def groups(name_of: Callable[[int], Iterable[Hashable]]) -> list[list[Any]]:
        return [[name, n, short(error)] for name, n, error in errors_by(run, p, name_of)]

    scores = {name: subset_scores(run, p, name) for name in SUBSETS}
    digits = digits_of([p]) - 3  # a point of a chart needs no more
    elements = groups(symbols_of(cells))
    return {
        "name": p.name,
        "unit": p.trained_unit,
        "own_unit": p.unit,
        "log": p.transform == "log10",
        "task": p.task,
        "metrics": {name: metric.label for name, metric in METRICS[p.task].items()},
        "target": [short(value, digits) for value in run.aim(p)],
        "predicted": [short(value, digits) for value in predicted],
        "scores": {name: {k: short(v, 8) for k, v in s.items()} for name, s in scores.items()},
        "own_mae": short(own_unit_error(p, run, judged)),
        "naive": short(naive_score(p, target, run.predictions.subset)),
        "curves": [[short(value) for value in curve] for curve in learning_curves(run, p)],
        "worst": run.worst(p),
        "elements": [[name, count, error, counts.get(name, 0)] for name, count, error in elements],
        "systems": groups(lambda row: [systems[row]] if row in systems else []),
        "sizes": groups(lambda row: [_size(cells[row].num_atoms)]),
        **uncertainty_numbers(run, p),
        **class_numbers(run, p),
        "coverage": interval_numbers(run, p, cells),
    }


def subset_scores(run: Finished, p: Property, subset: str) -> dict[str, float]:
    """The metrics of one property on the crystals of a subset."""
    own = run.predictions.subset == subset
    return metrics(run.values(p)[own], run.target(p)[own][:, None], [p])


def errors_by(
    run: Finished, p: Property, name_of: Callable[[int], Iterable[Hashable]]
) -> list[tuple[Any, int, float]]:
    """Name, test crystals and mean error of each group; a crystal may be in several."""
    errors, members = run.errors(p), defaultdict(list)
    for row in run.test:
        if not np.isnan(errors[row]):
            for name in name_of(int(row)):
                members[name].append(errors[row])
    return [(name, len(own), float(np.mean(own))) for name, own in members.items()]


def symbols_of(cells: Sequence[Composition]) -> Callable[[int], list[str]]:
    """The symbols of a crystal's elements, by its row."""
    return lambda row: sorted(element.symbol for element in cells[row])


def interval_numbers(
    run: Finished, p: Property, cells: Sequence[Composition]
) -> list[list[Any]] | None:
    """What the intervals hold of the test crystals, all of them first and then by groups.

    By, group, crystals, mean half width and coverage of each; None without intervals or crystals.
    """
    half_width, rows = run.half_width(p), run.test
    if half_width is None:
        return None
    own = [cells[row] for row in rows]
    predicted, target = run.predicted(p)[rows], run.target(p)[rows]
    table = coverage_groups(p, predicted, target, half_width[rows], own)
    return [
        [row.by, row.group, row.crystals, short(row.half_width), short(row.coverage)]
        for row in table.itertuples()
    ] or None


def uncertainty_numbers(run: Finished, p: Property) -> dict[str, Any]:
    """What the page says of an ensemble: its spread, what that is worth, its members' scores."""
    uncertainty = run.uncertainty(p)
    if uncertainty is None:
        return {}
    own = [values[run.test] for values in (run.predicted(p), run.aim(p), uncertainty)]
    ending = ending_of(p, run.config.properties)
    score = "accuracy" if p.task == "classification" else "mae"
    members = run.summary.get("members", {}).get(f"test_{score}{ending}")
    return {
        "uncertainty": [short(value) for value in uncertainty],
        "calibration": {
            name: np.vectorize(short, otypes=[object])(values).tolist() if len(values) else []
            for name, values in calibration_numbers(p, *own).items()
        },
        # Earlier versions did not write them down.
        "members": members if members and None not in members else None,
    }


def learning_curves(run: Finished, p: Property) -> list[np.ndarray]:
    """Training and validation error by epoch: mean absolute error, or share of wrong classes."""
    ending = ending_of(p, run.config.properties)
    if p.task == "classification":
        wrong, right = (run.epochs[name + ending] for name in ("train_error", "val_accuracy"))
        return [wrong.to_numpy(), 1 - right.to_numpy()]
    return [run.epochs[name + ending].to_numpy() for name in ("train_mae", "val_mae")]


def own_unit_error(p: Property, run: Finished, rows: np.ndarray) -> float:
    """Mean absolute error in the property's own unit, GPa for a modulus; NaN for classes."""
    if p.task == "classification":
        return np.nan
    values, truth = (p.in_own_unit(own[rows])[:, None] for own in (run.predicted(p), run.target(p)))
    return metrics(values, truth, [p])["mae"]


def naive_score(p: Property, target: np.ndarray, subset: pd.Series) -> float:
    """The MAE of always saying the training mean, or the accuracy of the commoner class.

    That of the test crystals, or if there are none of the validation crystals.
    """
    judged = "test" if (subset == "test").any() else "val"
    train, other = (target[subset == name][:, None] for name in ("train", judged))
    mean = [np.nanmean(train)]
    if p.num_values > 1:  # how often each class comes
        mean = [np.mean(train[np.isfinite(train)] == k) for k in range(p.num_values)]
    scores = metrics(np.tile(mean, (len(other), 1)), other, [p])
    return scores["accuracy" if p.task == "classification" else "mae"]


def compare_settings(config: RunConfig, crystals: int) -> tuple[str, list[list[Any]]]:
    """The preset closest to a run's settings; group, name, value and the preset's value of each.

    `crystals` are those trained on, by which presets choose a batch size.
    """
    groups = ("graph", "model", "train")

    def rows(name: Any) -> list[list[Any]]:
        preset = replace(PRESETS[name], train=PRESETS[name].train.batches_for(crystals))
        return [
            [group, field, value, asdict(getattr(preset, group))[field]]
            for group in groups
            for field, value in asdict(getattr(config, group)).items()
        ]

    closest = min(PRESETS, key=lambda name: sum(row[2] != row[3] for row in rows(name)))
    return closest, rows(closest)


def skipped_by_reason(skipped: Sequence[Skipped]) -> list[list[Any]]:
    """Reason, number of crystals and the first ids, the most frequent first.

    Reasons that differ in their numbers only count as one, told with those of the first crystal.
    """
    groups: dict[str, list[Skipped]] = defaultdict(list)
    for entry in skipped:
        groups[re.sub(r"\d[\d.]*", "0", entry.reason)].append(entry)
    rows = [[own[0].reason, len(own), [entry.id for entry in own[:3]]] for own in groups.values()]
    return sorted(rows, key=lambda row: -row[1])


def _size(atoms: float) -> str:
    low, high = next((a, b) for a, b in SIZES if b is None or atoms <= b)
    return f"{low} or more" if high is None else f"{low}–{high}"


def _place(element: Element) -> tuple[str, int, int]:
    """Symbol, row and column in the periodic table; the lanthanides and actinides stand below."""
    for row, first, last in ((8, 57, 71), (9, 89, 103)):
        if first <= element.Z <= last:
            return element.symbol, row, element.Z - first + 3
    return element.symbol, element.row, element.group


def short(value: float, digits: int = 5) -> float | None:
    """With few digits, for a small page; None for what is no number, as JSON has none."""
    return float(f"{value:.{digits}g}") if np.isfinite(value) else None
