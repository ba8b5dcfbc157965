"""Raw values of any kind, as sources give them, to columns of numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_MISSING = {"", "none", "null", "na", "n/a", "-", "?"}


def number_columns(
    targets: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, np.ndarray], dict[int, str]]:
    """Every column of numbers among the targets of C crystals.

    A column whose values are mostly text (a formula, say) is no target and is left out.

    Returns:
        Columns, float64 [C] each, NaN where missing, and for every crystal to leave out
        (row -> reason) why: a text where a number should be, an infinite value, or no value.
    """
    names = list(dict.fromkeys(name for row in targets for name in row))
    values = {name: [parse_number(row.get(name)) for row in targets] for name in names}
    numeric = [name for name in names if _mostly_numbers(values[name])]
    reasons: dict[int, str] = {}
    for row, given in enumerate(targets):
        parsed = {name: values[name][row] for name in numeric or names}
        fault = _fault(parsed, given)
        if fault:
            reasons[row] = fault
    columns = {
        name: np.array([math.nan if value is None else value for value in values[name]])
        for name in numeric
    }
    return columns, reasons


def parse_number(value: Any) -> float | None:
    """A value as a float: NaN where it is missing, None where it is no number at all."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _MISSING:
            return math.nan
        value = {"true": 1.0, "false": 0.0}.get(text, text)
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _mostly_numbers(values: Sequence[float | None]) -> bool:
    numbers = sum(value is not None and not math.isnan(value) for value in values)
    return numbers > 0 and numbers >= sum(value is None for value in values)


def _fault(parsed: Mapping[str, float | None], given: Mapping[str, Any]) -> str | None:
    """What is wrong with the values of one crystal, or None; one value is enough."""
    for name, value in parsed.items():
        if value is None:
            return f"{name} = {str(given[name])[:40]!r} is not a number"
        if math.isinf(value):
            return f"{name} is infinite"
    if any(not math.isnan(value) for value in parsed.values() if value is not None):
        return None
    written = [name for name in parsed if _says_nan(given.get(name))]
    if written:
        return f"{' and '.join(written)} is NaN"
    return f"no value of {' or '.join(parsed)}" if parsed else "no target value"


def _says_nan(value: Any) -> bool:
    return str(value).strip().lower() == "nan"
