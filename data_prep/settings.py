"""Settings in JSON: frozen dataclasses out and back in, every value checked against its type."""

import dataclasses
import difflib
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Config = TypeVar("Config")

ADDED_LATER = {"added later": True}
"""Metadata of a field that older files lack; they mean its default. All others must be there."""

_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    NoneType: "null",
}


def check_types(config: Any) -> None:
    """Make sure that the values of a dataclass are of the types that its fields declare.

    A number is finite, and `True` is none. For a dataclass' `__post_init__`.

    Raises:
        ValueError: the first that is not, with what is allowed.
    """
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not _fits(value, hints[field.name]):
            raise ValueError(
                f"{field.name} is {_short(value)}: give {_described(hints[field.name])}"
            )


def from_dict(kind: type[Config], values: Any) -> Config:
    """The dataclass `kind` from its JSON form, with all dataclasses in it.

    Raises:
        ValueError: a value that does not fit, a key that is missing or unknown; the message names
            the setting by its place, as `train.epochs`.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"it holds {_short(values)}: give an object of settings")
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise ValueError(no_setting(name, fields))
    for name, field in fields.items():
        if name not in values and not field.metadata.get("added later"):
            raise ValueError(f"{name} is missing: give {_described(hints[name])}")
    return kind(**{name: _value(name, hints[name], value) for name, value in values.items()})


def no_setting(name: Any, known: Collection[str]) -> str:
    """What to say of a name that is none of the `known` ones: which it may have been."""
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return f"{name} is no setting: {hint}"


def _value(place: str, hint: Any, value: Any) -> Any:
    """A value from JSON: dataclasses from objects, tuples from lists; others as they are."""
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        try:
            return from_dict(hint, value)  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"{place}.{error}") from None
    if get_origin(hint) is tuple and isinstance(value, list):
        own = get_args(hint)[0]
        return tuple(_value(f"{place}[{k}]", own, entry) for k, entry in enumerate(value))
    return value


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, own) for own in args)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin is tuple:  # of any length
        return isinstance(value, tuple) and all(_fits(entry, args[0]) for entry in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(key, args[0]) and _fits(own, args[1]) for key, own in value.items()
        )
    if hint in (int, float):
        kinds = (int, float) if hint is float else int
        finite = isinstance(value, kinds) and abs(value) <= sys.float_info.max
        return finite and not isinstance(value, bool)
    return isinstance(value, hint)


def _described(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_described, args))
    if origin is Literal:
        return f"one of {', '.join(args)}"
    if origin is tuple:
        return f"a list, each {_described(args[0])}"
    if origin is dict:
        return f"an object, each value {_described(args[1])}"
    return _NAMES.get(hint, "an object")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
