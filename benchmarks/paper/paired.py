"""Methods compared on the same test crystals: how far one is above another, and what chance does.

Differences are taken crystal by crystal: their mean has a far smaller standard error than either
method's own, as both find the same crystals hard.
"""

import statistics
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks import provenance
from benchmarks.paper.results import Row, absolute_test_errors
from benchmarks.paper.trainings import Place
from gatgnn_jax.runs.directory import RunDirectory

FIRST = {"table4": "GI M-1"}
"""The method of a study that the others are compared with."""


def above(error: pd.Series, first: pd.Series) -> Row:
    """By how much the errors are above the first method's, with the standard error.

    Both go by crystal, each once; those that only one method has are left out.
    """
    difference = error.sub(first).dropna()
    return {
        "above_first": float(difference.mean()),
        "its_standard_error": provenance.standard_error(difference.to_numpy()),
        "compared_crystals": len(difference),
    }


def compare_methods(rows: Sequence[Row], place: Place, first: str) -> None:
    """Add to each row how it compares with the `first` method on the same property.

    Errors are means over the seeds that both have. With several seeds chance has a second part, in
    the training: its standard error, from the spread of the seeds' differences, is added in
    quadrature. A row whose runs are not at hand keeps what it has.
    """
    known = {(row["property"], row["epochs"]): row for row in rows if row["method"] == first}
    for row in rows:
        reference = known.get((row["property"], row["epochs"]))
        if reference is None:
            continue
        seeds = [seed for seed in row["seeds"] if seed in reference["seeds"]]
        tables = [_errors(own, seeds, place) for own in (row, reference)]
        if not seeds or any(table is None for table in tables):
            continue
        both = pd.concat(tables, axis=1, keys=("own", "first"), join="inner")
        row |= above(both["own"].mean(axis=1), both["first"].mean(axis=1))
        if len(seeds) > 1:
            by_seed = (both["own"] - both["first"]).mean().to_list()
            of_training = statistics.stdev(by_seed) / len(seeds) ** 0.5
            row["its_standard_error"] = float(np.hypot(row["its_standard_error"], of_training))


def _errors(row: Row, seeds: Sequence[int], place: Place) -> pd.DataFrame | None:
    """Absolute test errors, a line a crystal and a column a seed; None without the runs."""
    runs = {seed: RunDirectory(place.run_named(row["name"], seed)) for seed in seeds}
    if not all(run.is_finished for run in runs.values()):
        return None
    columns = {}
    for seed, run in runs.items():
        [p] = [p for p in run.config().properties if p.name == row["property"]]
        columns[seed] = absolute_test_errors(run, p)
    return pd.DataFrame(columns)
