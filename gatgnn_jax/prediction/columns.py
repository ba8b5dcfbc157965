"""Predictions as tables: the columns of every `predictions.csv`."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data_prep.classes import number_name
from data_prep.properties import Property, ending_of
from gatgnn_jax.objective import class_of, value_slices


def prediction_columns(
    properties: Sequence[Property],
    predicted: np.ndarray,
    target: np.ndarray | None = None,
    uncertainty: np.ndarray | None = None,
    half_width: np.ndarray | None = None,
) -> pd.DataFrame:
    """Columns for each property, from predicted values [C, V] (and targets [C, T] where known).

    Regression: `prediction`, `unit`, and for a property trained on its logarithm the plain value
    too, as `prediction_gpa`. Classification: the class in `prediction`, by its name if it has one,
    and the `probability` of class 1, of more than two classes that of each, `probability_NAME`.
    With an `uncertainty` [C, V] a column of that name, in `unit`, of more than two classes that of
    the predicted one's probability. With a `half_width` of intervals [C, V] the ends of a
    regression's, `lower` and `upper` (and `lower_gpa`, …). With several properties each name ends
    in the property's.
    """
    table = pd.DataFrame(index=range(len(predicted)))
    for t, (p, own) in enumerate(zip(properties, value_slices(properties), strict=True)):
        ending = ending_of(p, properties)
        value, first = predicted[:, own.start], own.start
        if target is not None:
            table["target" + ending] = named_classes(p, target[:, t])
        if p.task == "regression":
            table["prediction" + ending] = value
        elif p.num_values == 1:
            table["prediction" + ending] = named_classes(p, class_of(value))
            table["probability" + ending] = value
        else:
            said = class_of(predicted[:, own])
            table["prediction" + ending] = named_classes(p, said)
            for name, share in zip(p.class_names, predicted[:, own].T, strict=True):
                table[f"probability_{name}{ending}"] = share
        if uncertainty is not None:
            spread = uncertainty[:, own]
            if p.num_values > 1:
                spread = np.take_along_axis(spread, said[:, None], axis=1)
            table["uncertainty" + ending] = spread[:, 0]
        ends = {}
        if half_width is not None and p.task == "regression":
            ends = {"lower": value - half_width[:, first], "upper": value + half_width[:, first]}
        for name, end in ends.items():
            table[name + ending] = end
        table["unit" + ending] = p.trained_unit
        if p.is_rescaled:
            plain = p.own_suffix
            if target is not None:
                table[f"target_{plain}{ending}"] = p.in_own_unit(target[:, t])
            table[f"prediction_{plain}{ending}"] = p.in_own_unit(value)
            for name, end in ends.items():
                table[f"{name}_{plain}{ending}"] = p.in_own_unit(end)
    return table


def named_classes(p: Property, numbers: np.ndarray) -> np.ndarray:
    """Classes by their names [C], None for NaN; numbers of classes without names, and values, as
    they are."""
    if not p.classes:
        return numbers
    names = [None if np.isnan(n) else p.classes[int(n)] for n in numbers.tolist()]
    return np.array(names, dtype=object)


def numbered_classes(p: Property, column: pd.Series) -> np.ndarray:
    """The inverse of `named_classes`, of a column of a table: float64 [C].

    Raises:
        ValueError: a name that is no class'.
    """
    if not p.classes:
        return column.to_numpy(np.float64)
    number = {name: k for k, name in enumerate(p.classes)}
    given = column.astype(object).where(column.notna(), None)
    names = [n if n is None or isinstance(n, str) else number_name(n) for n in given]
    if unknown := [name for name in names if name is not None and name not in number]:
        raise ValueError(f"{unknown[0]!r} is no class of {p.name}")
    return np.array([np.nan if name is None else number[name] for name in names], dtype=np.float64)


def column_names(
    properties: Sequence[Property], with_uncertainty: bool, with_intervals: bool
) -> list[str]:
    """The names of `prediction_columns` without targets."""
    none = np.empty((0, value_slices(properties)[-1].stop))
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
    """The predictions of several subsets, by name: ids [C], values [C, V], targets [C, T]."""
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
