"""Classes: which columns of words hold them, and the number of each."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.errors import one_line

MAX_CLASSES = 100
"""A column of more different words has names, not classes."""

MAX_LETTERS = 60
"""Longer texts are no words."""

MISSING = {"", "none", "null", "na", "n/a", "-", "?"}
"""Texts that stand for no value, in small letters."""


def class_column(given: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """A column of words as the numbers of its classes.

    Args:
        given: what a source has for each of C crystals, None where nothing.

    Returns:
        Class numbers float64 [C], NaN where missing, and the classes' names in alphabetical order;
        None of a column that has no classes: other things than words, too many of them, or none
        that comes twice.
    """
    words = [_word(value) for value in given]
    known = [word for word in words if word is not None]
    names = sorted(set(known))
    is_named = len(names) > MAX_CLASSES or len(names) == len(known)
    if is_named or any(len(name) > MAX_LETTERS for name in names):
        return None
    number = {name: float(k) for k, name in enumerate(names)}
    codes = [np.nan if word is None else number[word] for word in words]
    return np.array(codes), tuple(names)


def _word(value: Any) -> str | None:
    """A value as a word; None where it is missing. What is no word becomes one that is too long."""
    if value is None or value != value:
        return None
    if isinstance(value, str) and value.strip().lower() in {*MISSING, "nan"}:
        return None
    if isinstance(value, str | bool | int | float):
        return one_line(value).strip()
    return "." * (MAX_LETTERS + 1)


def number_name(value: float) -> str:
    """What a class is called that is given by a number: `1`."""
    return f"{value:.15g}"


def class_numbers(
    raw: np.ndarray, classes: Sequence[str], words: Sequence[str] | None = None
) -> np.ndarray:
    """The number of each value's class, 0, 1, …: float64 [C], NaN for what is none.

    Args:
        raw: values [C], NaN where missing; of a column of `words` the numbers of these.
        classes: the classes' names. Numbers are classes by their name, or, where the classes have
            words for names, by their place.
        words: of the column, None if it is one of numbers.
    """
    number = {name: float(k) for k, name in enumerate(classes)}
    if words is None and not any(map(is_number, classes)):
        number |= {number_name(k): float(k) for k in range(len(classes))}

    def number_of(value: float) -> float:
        if np.isnan(value):
            return np.nan
        return number.get(number_name(value) if words is None else words[int(value)], np.nan)

    return np.array([number_of(value) for value in raw.tolist()], dtype=np.float64)


def is_number(name: str) -> bool:
    """Whether a class is called by a number."""
    try:
        float(name)
    except ValueError:
        return False
    return True
