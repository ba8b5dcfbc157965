"""Raw values of any kind, as sources give them, to columns of numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_prep.classes import MISSING, class_column
from data_prep.errors import UserError, one_line
from data_prep.properties import canonical_name

MAX_COLUMNS = 1000
"""More is no table of properties but, say, one written the other way round."""

SAME = 1e-6
"""Values of two spellings of a property that differ by less than this share are the same."""


class Columns(NamedTuple):
    """What the targets of C crystals come to.

    Attributes:
        values: every property, float64 [C] each, NaN where missing or faulty; of a column of words
            the numbers of its classes.
        faults: by column and row, what is wrong with a value that is there but is no number. A
            column of names (a formula, say) is no property; it has its first fault here.
        reasons: for every crystal without any number, or without any class where there are no
            numbers (row -> reason), why it has to be left out.
        classes: the names of the classes by column of words.
    """

    values: dict[str, np.ndarray]
    faults: dict[str, dict[int, str]]
    reasons: dict[int, str]
    classes: dict[str, tuple[str, ...]]


def number_columns(targets: Sequence[Mapping[str, Any]]) -> Columns:
    """Every column of numbers or classes among the targets of C crystals.

    Columns that are spellings of one property become one, under the first of the names.

    Raises:
        UserError: the crystals name more than ``MAX_COLUMNS`` different targets.
    """
    crowded = {row for row, own in enumerate(targets) if len(own) > MAX_COLUMNS}
    given = [{} if row in crowded else own for row, own in enumerate(targets)]
    names = list(dict.fromkeys(name for own in given for name in own))
    if len(names) > MAX_COLUMNS:
        listed = ", ".join(map(one_line, names[:3]))
        raise UserError(
            f"the crystals have {len(names):,} different targets ({listed}, …), {MAX_COLUMNS:,} at "
            "most are taken: keep the columns that are properties"
        )
    values, faults = {}, {}
    words: dict[str, dict[int, str]] = {}
    for name in names:
        column = [parse_number(own.get(name)) for own in given]
        wrong = {
            row: fault
            for row, value in enumerate(column)
            if (fault := _fault(name, given[row].get(name), value))
        }
        if _mostly_numbers(column):
            usable = [math.nan if v is None or math.isinf(v) else v for v in column]
            values[name], faults[name] = np.array(usable), wrong
        else:
            words[name] = wrong
    _merge_spellings(values, faults)
    numbers = list(values)
    known = _some_value(values, len(given))
    classes = _class_columns(words, given, known if numbers else np.ones(len(given), bool))
    for name, wrong in words.items():
        if name in classes:
            values[name] = classes[name][0]
        elif wrong:
            faults[name] = dict([next(iter(wrong.items()))])
    # Beside numbers a word that all have says nothing: what the file is of, who measured it.
    telling = {name: own for name, (own, c) in classes.items() if len(c) > 1 or not numbers}
    known |= _some_value(telling, len(given))

    every = {row: f"{len(targets[row]):,} targets, {MAX_COLUMNS:,} are taken" for row in crowded}
    judged = [*numbers, *telling]
    some = " or ".join((judged or names)[:5])
    missing = f"no value of {one_line(some)}" if some else "no target value"
    for row in np.flatnonzero(~known).tolist():
        why = [faults[name][row] for name in values if row in faults.get(name, {})]
        if not values:  # whatever there is, it is no number
            why = [f for n, v in given[row].items() if (f := _fault(n, v, parse_number(v)))]
        every.setdefault(row, next(iter(why), missing))
    told = {name: own for name, own in faults.items() if own}
    return Columns(values, told, every, {name: own for name, (_, own) in classes.items()})


def _some_value(values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Which of `count` crystals have a value in any column: bool [C]."""
    return np.any([np.zeros(count, bool), *(~np.isnan(own) for own in values.values())], axis=0)


def _class_columns(
    names: Iterable[str], given: Sequence[Mapping[str, Any]], judged: np.ndarray
) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """Class numbers [C] and classes of the columns that have them among the `judged` crystals."""
    found = {}
    for name in names:
        column = [own.get(name) for own in given]
        is_class = class_column([column[row] for row in np.flatnonzero(judged)]) is not None
        if is_class and (own := class_column(column)):
            found[name] = own
    return found


def parse_number(value: Any) -> float | None:
    """A value as a float: NaN where it is missing, None where it is no number at all."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        text = value.strip().lower()
        if text in MISSING:
            return math.nan
        if "_" in text:  # Python takes 1_000 for a number; whoever wrote it may have meant a name
            return None
        value = {"true": 1.0, "false": 0.0}.get(text, text)
    try:
        return float(value)
    except OverflowError:  # a whole number beyond all floats
        return math.inf
    except (TypeError, ValueError):
        return None


def _mostly_numbers(values: Sequence[float | None]) -> bool:
    numbers = sum(value is not None and not math.isnan(value) for value in values)
    return numbers > 0 and numbers >= sum(value is None for value in values)


def _fault(name: str, given: Any, value: float | None) -> str | None:
    """What is wrong with a value that is there; None if nothing is, or if there is none."""
    if value is None:
        hint = " (write decimals with a point)" if _has_decimal_comma(given) else ""
        return f"{one_line(name)} = {one_line(given)[:40]!r} is not a number{hint}"
    if math.isinf(value):
        return f"{one_line(name)} is infinite"
    if math.isnan(value) and str(given).strip().lower() == "nan":
        return f"{one_line(name)} is NaN"
    return None


def _has_decimal_comma(given: Any) -> bool:
    return isinstance(given, str) and parse_number(given.replace(",", ".", 1)) is not None


def _merge_spellings(values: dict[str, np.ndarray], faults: dict[str, dict[int, str]]) -> None:
    """Make one column of those that are the same property; where they differ neither is taken."""
    first: dict[str, str] = {}
    for name in list(values):
        kept = first.setdefault(canonical_name(name), name)
        if kept == name:
            continue
        own, other = values[kept], values.pop(name)
        both = ~np.isnan(own) & ~np.isnan(other)
        differ = both & ~np.isclose(own, other, rtol=SAME, atol=0)
        merged = np.where(np.isnan(own), other, own)
        wrong = {**faults.pop(name), **faults[kept]}
        wrong = {row: fault for row, fault in wrong.items() if np.isnan(merged[row])}
        for row in np.flatnonzero(differ).tolist():
            wrong[row] = f"{kept} = {own[row]:g} but {name} = {other[row]:g}, two spellings of one"
        values[kept], faults[kept] = np.where(differ, np.nan, merged), wrong
