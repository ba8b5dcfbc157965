"""Columns of values to what is trained on: transformed, with the reasons of what cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from data_prep.errors import UserError
from data_prep.properties import Faults, Property

CONSTANT = 1e-12
"""Values that differ by less than this share of them are one value, rounded."""


def select_targets(
    columns: Mapping[str, np.ndarray],
    properties: Sequence[Property],
    faults: Faults | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """The values to train on.

    Args:
        columns: raw values of every column, float64 [C], NaN where missing.
        properties: the T properties asked for.
        faults: why a value is missing though something was given.
        classes: of the columns of words, the words that their numbers stand for.

    Returns:
        Transformed values, float64 [C, T], NaN where missing or impossible, and for every crystal
        without any usable value (row -> reason) why it has to be left out.
    """
    raw = np.stack([columns[wanted.column] for wanted in properties], axis=1)
    words = [(classes or {}).get(wanted.column) for wanted in properties]
    every = list(zip(properties, raw.T, words, strict=True))
    values = np.stack([p.transformed(own, named) for p, own, named in every], 1)

    def why(row: int) -> str:
        own = [(faults or {}).get(wanted.column, {}).get(row) for wanted in properties]
        return "; ".join(
            fault or p.why_unusable(float(values[row]), named)
            for fault, (p, values, named) in zip(own, every, strict=True)
        )

    rows = np.flatnonzero(np.isnan(values).all(axis=1)).tolist()
    return values, {row: why(row) for row in rows}


def standardized(properties: Sequence[Property], target: np.ndarray) -> tuple[Property, ...]:
    """The properties with mean and standard deviation of the transformed values `target` [C, T].

    Classifications stay as they are.
    """
    return tuple(
        replace(p, mean=float(np.nanmean(values)), scale=float(np.nanstd(values)))
        if p.task == "regression"
        else p
        for p, values in zip(properties, target.T, strict=True)
    )


def check_spread(properties: Sequence[Property], target: np.ndarray) -> None:
    """Make sure that there is something to learn in the transformed training targets [C, T].

    Raises:
        UserError: a property is not known at all, or a regression's has a single value.
    """
    known_values = [values[~np.isnan(values)] for values in target.T]
    for p, known in zip(properties, known_values, strict=True):
        if len(known) == 0:
            raise UserError(f"no crystal of train has a usable value of {p.name}")
    for p, known in zip(properties, known_values, strict=True):
        if p.task != "regression":
            continue
        if len(known) == 1:
            raise UserError(f"a single crystal of train has a value of {p.name}: give more")
        if np.ptp(known) <= max(CONSTANT * np.abs(known).max(), np.finfo(np.float32).tiny):
            raise UserError(
                f"{p.name} is {known[0]:g} in all {len(known):,} crystals of train: there is "
                "nothing to learn, so leave it out"
            )
