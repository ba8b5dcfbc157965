"""Predictions as tables: the columns of every `predictions.csv`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from data_prep.classes import number_name
from data_prep.properties import Property
from gatgnn_jax.objective import class_of, value_slices


def prediction_columns(
    properties: Sequence[Property],
    predicted: np.ndarray,
    target: np.ndarray | None = None,
    uncertainty: np.ndarray | None = None,
    half_width: np.ndarray | None = None,
) -> pd.DataFrame:
    """Columns for each property, from predicted values [C, V] (and targets [C, T] where known).

    Regression: `prediction` and its `unit`, the property's own. Classification: the class in
    `prediction`, by its name if it has one, and the `probability` of class 1, of more than two
    classes that of each, `probability_NAME`. With an `uncertainty` [C, V] a column of that name, of
    more than two classes that of the predicted one's probability. With a `half_width` of intervals
    [C, V] the ends of a regression's, `lower` and `upper`. A property trained on its logarithm has
    what the model works with besides, as `prediction_log10`; its `uncertainty` is then half the
    way from one standard deviation below to one above. With several properties each name ends in
    the property's.
    """
    table = pd.DataFrame(index=range(len(predicted)))
    for t, (p, own) in enumerate(zip(properties, value_slices(properties), strict=True)):
        values = predicted[:, own]
        trained = {} if target is None else {"target": target[:, t]}
        trained["prediction"] = values[:, 0]
        if uncertainty is not None:
            trained["uncertainty"] = _of_prediction(p, values, uncertainty[:, own])
        if half_width is not None and p.task == "regression":
            trained["lower"] = values[:, 0] - half_width[:, own.start]
            trained["upper"] = values[:, 0] + half_width[:, own.start]

        shown = _classes_shown(p, values, trained) if p.class_names else _values_shown(p, trained)
        shown["unit"] = p.unit
        if p.is_rescaled:
            shown |= {f"{name}_{p.transform}": column for name, column in trained.items()}
        for name, column in shown.items():
            table[column_name(name, p, properties)] = column
    return table


def _of_prediction(p: Property, values: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The spread [C] of what is predicted, from those [C, V] of all values of a property."""
    if p.num_values == 1:
        return spread[:, 0]
    return np.take_along_axis(spread, class_of(values)[:, None], axis=1)[:, 0]


def _values_shown(p: Property, trained: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A regression's columns in its own unit, by name, from those in the trained one."""
    shown: dict[str, Any] = {name: p.in_own_unit(column) for name, column in trained.items()}
    if "uncertainty" in trained:
        spread = trained["uncertainty"]
        shown["uncertainty"] = spread_in_own_unit(p, trained["prediction"], spread)
    return shown


def _classes_shown(
    p: Property, values: np.ndarray, trained: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """A classification's columns by name: classes by theirs, and probabilities [C, V]."""
    said = class_of(values if p.num_values > 1 else values[:, 0])
    shown: dict[str, Any] = {}
    if "target" in trained:
        shown["target"] = named_classes(p, trained["target"])
    shown["prediction"] = named_classes(p, said)
    names = [f"probability_{name}" for name in p.class_names]
    shown |= dict(zip(names if p.num_values > 1 else ["probability"], values.T, strict=True))
    if "uncertainty" in trained:
        shown["uncertainty"] = trained["uncertainty"]
    return shown


def column_name(name: str, p: Property, properties: Sequence[Property]) -> str:
    """What a column about one of several properties is called."""
    return f"{name}_{p.name}" if len(properties) > 1 else name


def trained_column(
    table: pd.DataFrame, name: str, p: Property, properties: Sequence[Property]
) -> pd.Series:
    """A column of a table in the unit that is trained on, log10(GPa) for a modulus.

    Tables written before 0.2.0 have that in the column of the plain name.
    """
    trained = column_name(f"{name}_{p.transform}", p, properties)
    return table[trained if trained in table else column_name(name, p, properties)]


def spread_in_own_unit(p: Property, value: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """A standard deviation in the property's own unit, from that in the trained one: half the way
    from one below the value to one above."""
    if not p.is_rescaled:
        return spread
    return (p.in_own_unit(value + spread) - p.in_own_unit(value - spread)) / 2


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
