"""Predictions as tables: the columns of every `predictions.csv`."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data_prep.properties import Property


def unit_of(p: Property) -> str:
    """The unit of the values the model works with: `log10(GPa)` for a modulus."""
    return p.trained_unit


def in_own_unit(p: Property, transformed: np.ndarray) -> np.ndarray:
    """Transformed values in the property's own unit: 10 to the power of a logarithm."""
    return p.in_own_unit(transformed)


def prediction_columns(
    properties: Sequence[Property],
    predicted: np.ndarray,
    target: np.ndarray | None = None,
    uncertainty: np.ndarray | None = None,
    half_width: np.ndarray | None = None,
) -> pd.DataFrame:
    """Columns for each property, from predicted values [C, T] (and targets [C, T] where known).

    Regression: `prediction`, `unit`, and for a property trained on its logarithm the plain value
    too, as `prediction_gpa`. Classification: the class in `prediction`, and the `probability` of
    class 1. With an `uncertainty` [C, T] a column of that name, in `unit`. With a `half_width` of
    intervals [C, T] the ends of a regression's, `lower` and `upper` (and `lower_gpa`, …). With
    several properties each name ends in the property's.
    """
    table = pd.DataFrame(index=range(len(predicted)))
    for t, p in enumerate(properties):
        ending = f"_{p.name}" if len(properties) > 1 else ""
        value = predicted[:, t]
        if target is not None:
            table["target" + ending] = target[:, t]
        if p.task == "classification":
            table["prediction" + ending] = (value > 0.5).astype(int)
            table["probability" + ending] = value
        else:
            table["prediction" + ending] = value
        if uncertainty is not None:
            table["uncertainty" + ending] = uncertainty[:, t]
        ends = {}
        if half_width is not None and p.task == "regression":
            ends = {"lower": value - half_width[:, t], "upper": value + half_width[:, t]}
        for name, end in ends.items():
            table[name + ending] = end
        table["unit" + ending] = unit_of(p)
        if p.is_rescaled:
            plain = p.own_suffix
            if target is not None:
                table[f"target_{plain}{ending}"] = in_own_unit(p, target[:, t])
            table[f"prediction_{plain}{ending}"] = in_own_unit(p, value)
            for name, end in ends.items():
                table[f"{name}_{plain}{ending}"] = in_own_unit(p, end)
    return table


def column_names(
    properties: Sequence[Property], with_uncertainty: bool, with_intervals: bool
) -> list[str]:
    """The names of `prediction_columns` without targets."""
    none = np.empty((0, len(properties)))
    given = {"uncertainty": with_uncertainty, "half_width": with_intervals}
    chosen = {name: none for name, wanted in given.items() if wanted}
    return list(prediction_columns(properties, none, **chosen))


def subset_table(
    ids: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    target: Mapping[str, np.ndarray],
    properties: Sequence[Property],
    uncertainty: Mapping[str, np.ndarray | None],
    half_width: Mapping[str, np.ndarray | None],
) -> pd.DataFrame:
    """The predictions of several subsets, by name: ids [C], values and targets [C, T] of each."""
    tables = []
    for name in ids:
        own = (predicted[name], target[name], uncertainty[name], half_width[name])
        table = prediction_columns(properties, *own)
        table.insert(0, "id", ids[name])
        table.insert(1, "subset", name)
        tables.append(table)
    return pd.concat(tables)


def digits_of(properties: Sequence[Property]) -> int:
    """Significant digits that tell values apart: the 8 of float32, more where the values of a
    property lie close together and far from 0."""
    ratio = max(abs(p.mean) / p.scale for p in properties)
    return min(8 + max(0, math.floor(math.log10(max(ratio, 1))) - 1), 17)


def to_csv(table: pd.DataFrame, header: bool = True, digits: int = 8) -> str:
    """As CSV text, floats with so many significant digits."""
    return table.to_csv(
        index=False, header=header, float_format=f"%.{digits}g", lineterminator="\n"
    )
