"""Several finished runs on one page: their curves, errors and settings, crystal by crystal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from data_prep.errors import UserError
from data_prep.properties import Property
from gatgnn_jax.objective import METRICS, metrics
from gatgnn_jax.pages.assemble import assemble
from gatgnn_jax.pages.finished import Finished
from gatgnn_jax.pages.report_numbers import learning_curves, short

TITLE = "Runs compared – gatgnn_jax"
STYLES = ("style.css", "report.css", "comparison.css")
SCRIPTS = ("tables.js", "geometry.js", "chart.js", "comparison.js")

MOST_RUNS = 8
"""More colours than this nobody tells apart."""

SAME = 1e-5
"""Targets that differ by less than this, of their size or of 1, are the same."""


def shared_properties(runs: Sequence[Finished]) -> list[Property]:
    """The properties, as the first run has them, that all runs were trained on.

    Raises:
        UserError: there are none.
    """
    first, *others = [run.config.properties for run in runs]
    shared = [p for p in first if all(own_property(p, own) for own in others)]
    if not shared:
        names = "; ".join(
            f"{run.name}: {', '.join(p.name for p in run.config.properties)}" for run in runs
        )
        raise UserError(f"the runs have no property in common ({names}): compare others")
    return shared


def own_property(p: Property, properties: Sequence[Property]) -> Property | None:
    """The same quantity among a run's properties; None if it has none."""
    return next((own for own in properties if own.is_same_as(p) and own.unit == p.unit), None)


def shared_crystals(runs: Sequence[Finished]) -> list[str]:
    """The ids that are test crystals of every run, in the order of the first."""
    tested = [run.predictions.id[run.test].tolist() for run in runs]
    every = set(tested[0]).intersection(*tested[1:])
    return [name for name in tested[0] if name in every]


def comparison_numbers(
    runs: Sequence[Finished], ids: Sequence[str], formulas: Sequence[str]
) -> dict[str, Any]:
    """All numbers of the page, as plain JSON values.

    `ids` [C] are the test crystals of all runs, `formulas` [C] theirs.
    """
    return {
        "runs": [
            {
                "name": run.name,
                "tested": len(run.test),
                "epoch": run.epochs.epoch.tolist(),
                "best_epoch": run.summary["best_epoch"],
                "seconds": run.summary.get("seconds"),
                "parameters": run.summary.get("parameters"),
            }
            for run in runs
        ],
        "ids": list(ids),
        "formulas": list(formulas),
        "properties": [_property_numbers(p, runs, ids) for p in shared_properties(runs)],
        "settings": differing_settings(runs),
    }


def _property_numbers(p: Property, runs: Sequence[Finished], ids: Sequence[str]) -> dict[str, Any]:
    """What the page says of one property; crystals whose targets differ are not judged."""
    own = [own_property(p, run.config.properties) or p for run in runs]
    rows = [pd.Index(run.predictions.id).get_indexer(pd.Index(ids)) for run in runs]
    together = list(zip(runs, own, rows, strict=True))
    targets = np.array([run.target(q)[at] for run, q, at in together]).reshape(len(runs), -1)
    same = np.isclose(targets, targets[0], rtol=SAME, atol=SAME).all(axis=0)
    target = np.where(same, targets[0], np.nan)
    predicted = np.array([run.predicted(q)[at] for run, q, at in together]).reshape(len(runs), -1)
    return {
        "name": p.name,
        "unit": p.trained_unit,
        "task": p.task,
        "metrics": {name: metric.label for name, metric in METRICS[p.task].items()},
        "differ": int((~same & ~np.isnan(targets).any(axis=0)).sum()),
        # Of more than two classes the probability of the true one is told, which should be 1.
        "target": [short(value) for value in (target * 0 + 1 if p.num_values > 1 else target)],
        "predicted": [[short(value) for value in values] for values in predicted],
        "shared": [_scores(run.values(q)[at], target, p) for run, q, at in together],
        "scores": [
            _scores(run.values(q)[run.test], run.target(q)[run.test], p) for run, q, _ in together
        ],
        "curves": [
            [short(value) for value in learning_curves(run, q)[1]] for run, q, _ in together
        ],
    }


def _scores(predicted: np.ndarray, target: np.ndarray, p: Property) -> dict[str, float | None]:
    scores = metrics(predicted, target[:, None], [p])
    return {name: short(value, 8) for name, value in scores.items()}


def differing_settings(runs: Sequence[Finished]) -> list[list[Any]]:
    """Name and the value in each run of the settings and data that are not the same in all."""
    rows = [_settings(run) for run in runs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [[name, [row.get(name) for row in rows]] for name in names]
    return [[name, own] for name, own in table if any(value != own[0] for value in own)]


def _settings(run: Finished) -> dict[str, Any]:
    config = run.config
    groups = (asdict(config.graph), asdict(config.model), asdict(config.train))
    settings = {name: value for group in groups for name, value in group.items()}
    data: Mapping[str, Any] = {name: getattr(config.data, name) for name in ("limit", "split")}
    counts = run.predictions.subset.value_counts()
    return {
        **{name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()},
        "data": config.data.source or "the bundled crystals",
        **data,
        "training crystals": int(counts.get("train", 0)),
        "properties": [p.name for p in config.properties],
    }


def comparison_page(numbers: Mapping[str, Any]) -> str:
    """The page of `comparison_numbers`."""
    return assemble("comparison.html", TITLE, STYLES, SCRIPTS, numbers)
