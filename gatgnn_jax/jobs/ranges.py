"""Where `tune` looks: `NAME=LOW..HIGH` or `NAME=A,B,C`, checked against the settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_prep.errors import UserError
from gatgnn_jax.presets import Preset

if TYPE_CHECKING:
    import optuna

MAGNITUDE = 10
"""Ends that are so many times apart are searched evenly by magnitude."""


@dataclass(frozen=True)
class Range:
    """The values of a setting: from `low` to `high`, or one of `choices` if there are any."""

    low: float = 0
    high: float = 0
    choices: tuple[Any, ...] = ()

    def __str__(self) -> str:
        ends = f"{written(self.low)}..{written(self.high)}"
        return ",".join(map(written, self.choices)) or ends

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """As Optuna has it."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.choices:
            return CategoricalDistribution(self.choices)
        log = self.low > 0 and self.high >= MAGNITUDE * self.low
        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=log)
        return FloatDistribution(self.low, self.high, log=log)


def written(value: Any) -> str:
    """A value as one would type it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def read_ranges(texts: Sequence[str], preset: Preset) -> dict[str, Range]:
    """The ranges by setting.

    Raises:
        UserError: no such setting, no range, or values that the setting cannot have.
    """
    ranges = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not values.strip():
            raise UserError(
                f"--search {text}: write NAME=LOW..HIGH or NAME=A,B,C, as learning_rate=1e-4..1e-2"
            )
        try:
            current = (vars(preset.graph) | vars(preset.model) | vars(preset.train)).get(name)
            preset.changed({name: current})  # an unknown name is refused with what was meant
            ranges[name] = own = _range(values, current)
            for value in own.choices or (own.low, own.high):
                preset.changed({name: value})
        except (TypeError, ValueError) as error:
            raise UserError(f"--search {text}: {error}") from None
    return ranges


def _range(text: str, current: Any) -> Range:
    low, dots, high = text.partition("..")
    if not dots:
        return Range(choices=tuple(_read(own.strip(), current) for own in text.split(",")))
    if isinstance(current, bool) or not isinstance(current, int | float):
        raise ValueError("it is no number: name its values, as A,B")
    ends = _read(low, current), _read(high, current)
    if not ends[0] < ends[1]:
        raise ValueError("the first end must be below the second")
    return Range(*ends)


def _read(text: str, current: Any) -> Any:
    """A value of the kind that a setting has."""
    if isinstance(current, bool):
        words = {"true": True, "yes": True, "false": False, "no": False}
        if text.lower() not in words:
            raise ValueError(f"{text} is neither true nor false")
        return words[text.lower()]
    if isinstance(current, int | float):
        return type(current)(text)
    if isinstance(current, tuple):
        raise ValueError("it has several values, which cannot be searched")
    return text
