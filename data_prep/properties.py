"""What a model is trained on: names, units and transforms of crystal properties."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from data_prep.classes import MAX_CLASSES, class_numbers, is_number
from data_prep.errors import UserError
from data_prep.settings import ADDED_LATER, check_types
from data_prep.transforms import TRANSFORMS, Transform

UNNAMED_COLUMN = "target"
"""The column of a source that gives one value a crystal and does not name it."""

DEFAULT_PROPERTY = "bulk_modulus"

LARGEST = float(np.finfo(np.float32).max)
"""The network computes in float32."""

MAX_LISTED = 20
"""Columns that a message lists."""

Task = Literal["regression", "classification"]

Faults = Mapping[str, Mapping[int, str]]
"""By column and row: what is wrong with a value that is there but cannot be used."""


@dataclass(frozen=True)
class Property:
    """One target: where its values stand and what is done to them before training.

    ``transform`` is a name of ``data_prep.transforms.TRANSFORMS``. The network gives a regression's
    transformed values in units of ``scale`` above ``mean``. A classification's values are the
    numbers of its ``classes``, which are called 0 and 1 if they have no names; its loss counts a
    crystal by the one of ``class_weights`` that is its class's, 1 if there are none.

    Raises:
        ValueError: a value that cannot be.
    """

    name: str
    column: str
    unit: str = ""
    transform: str = "none"
    task: Task = "regression"
    mean: float = 0.0
    scale: float = 1.0
    classes: tuple[str, ...] = field(default=(), metadata=ADDED_LATER)
    class_weights: tuple[float, ...] = field(default=(), metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        check_types(self)
        if not self.scale > 0:
            raise ValueError(f"scale is {self.scale}: give a number above 0")
        if not (self.name and self.column):
            raise ValueError("name or column is empty: give that of a property")
        if self.transform not in TRANSFORMS:
            raise ValueError(
                f"transform is '{self.transform}': give one of {', '.join(TRANSFORMS)}"
            )
        if self._transform.task not in (None, self.task):
            raise ValueError(f"transform is '{self.transform}': a {self.task} has none such")
        self._check_classes()

    def _check_classes(self) -> None:
        names, weights = self.classes, self.class_weights
        if names and (self.task == "regression" or not 1 < len(set(names)) == len(names)):
            raise ValueError(
                f"classes are {list(names)}: give a classification two or more different ones"
            )
        if weights and (self.task == "regression" or len(weights) != len(self.class_names)):
            raise ValueError(f"class_weights are {list(weights)}: give one for each class")
        if any(weight < 0 for weight in weights):
            raise ValueError(f"class_weights are {list(weights)}: give numbers of 0 or more")

    @property
    def _transform(self) -> Transform:
        return TRANSFORMS[self.transform]

    @property
    def trained_unit(self) -> str:
        """The unit of the values the model works with: `log10(GPa)` for a modulus."""
        # log10(GPa), but log10 of a plain number.
        return self._transform.unit.format(self.unit).removesuffix("()")

    @property
    def is_rescaled(self) -> bool:
        """Whether values are trained on in another unit than their own."""
        return self.trained_unit != self.unit

    @property
    def own_suffix(self) -> str:
        """What the names of columns in the property's own unit end in: `gpa`."""
        return re.sub(r"\W+", "_", (self.unit or "linear").lower()).strip("_")

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called; none of a regression."""
        return (self.classes or ("0", "1")) if self.task == "classification" else ()

    @property
    def num_outputs(self) -> int:
        """Outputs of a network for it: one, or a logit for each class."""
        return len(self.class_names) or 1

    @property
    def num_values(self) -> int:
        """Numbers that predict it: a value, or of two classes the probability of the second, of
        more the probability of each."""
        return self.num_outputs if self.num_outputs > 2 else 1

    def in_own_unit(self, transformed: np.ndarray) -> np.ndarray:
        """Trained values in the property's own unit, of any shape."""
        return self._transform.inverse(transformed)

    def transformed(self, raw: np.ndarray, words: Sequence[str] | None = None) -> np.ndarray:
        """The values to train on, float64 [C]; NaN for what cannot be used.

        Those of a column of `words` are raw numbers of these.
        """
        values = np.full(len(raw), np.nan)
        usable = np.abs(raw) <= LARGEST
        usable[usable] &= self._transform.usable(raw[usable])
        values[usable] = self._transform.forward(raw[usable])
        if self.task == "classification":
            return class_numbers(values, self.class_names, words)
        return values

    def why_unusable(self, value: float, words: Sequence[str] | None = None) -> str:
        """Why a raw value, or the number of a word, cannot be trained on."""
        if np.isnan(value):
            return f"no value of {self.name}"
        if np.isinf(value):
            return f"{self.name} is infinite"
        if abs(value) > LARGEST:
            return f"{self.name} = {value:g}: 32-bit numbers end at {LARGEST:.0e}"
        if not self._transform.usable(np.array(value)):
            return f"{self.name} = {value:g}: {self.transform} needs {self._transform.needs}"
        given, names = f"{value:g}", list(self.class_names)
        if words is not None:
            given = repr(words[int(value)])
        elif self.classes and not any(map(is_number, names)):
            names = [f"{k} ({name})" for k, name in enumerate(names)]
        return f"{self.name} = {given}: a class is {_either(names)}"

    def is_same_as(self, other: "Property") -> bool:
        """Whether both are the same quantity, from whatever column and in whatever units."""
        same = ["name", "transform", "task", "num_outputs"]
        if self.classes and other.classes:
            same.append("classes")
        return all(getattr(self, name) == getattr(other, name) for name in same)


_KNOWN = {
    known.name: known
    for known in (
        Property("formation_energy", "formation_energy", "eV/atom"),
        Property("absolute_energy", "absolute_energy", "eV/atom"),
        Property("band_gap", "band_gap", "eV"),
        Property("fermi_energy", "fermi_energy", "eV"),
        # The paper trains on the logarithm of the moduli.
        Property("bulk_modulus", "bulk_modulus", "GPa", "log10"),
        Property("shear_modulus", "shear_modulus", "GPa", "log10"),
        Property("poisson_ratio", "poisson_ratio"),
        Property("is_metal", "is_metal", task="classification", classes=("insulator", "metal")),
    )
}

# Spellings of the published program, of the Materials Project, of Matbench and of JARVIS.
_ALIASES = {
    "formation_energy": ("formation_energy_per_atom", "e_form", "formation_energy_peratom"),
    "absolute_energy": ("final_energy_per_atom", "energy_per_atom", "optb88vdw_total_energy"),
    "band_gap": ("gap_pbe", "bandgap", "optb88vdw_bandgap"),
    "fermi_energy": ("efermi",),
    "bulk_modulus": ("bulk_moduli", "k_vrh"),
    "shear_modulus": ("shear_moduli", "g_vrh"),
    "poisson_ratio": ("poisson", "homogeneous_poisson"),
}
_CANONICAL = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}


def canonical_name(name: str) -> str:
    """The name a property goes by here: ``bulk-moduli`` and ``K_VRH`` are ``bulk_modulus``.

    A name that is no spelling of a known property comes back as it is.
    """
    spelling = name.strip().lower().replace("-", "_").replace(" ", "_")
    spelling = _CANONICAL.get(spelling, spelling)
    return spelling if spelling in _KNOWN else name


def ending_of(p: Property, properties: Sequence[Property]) -> str:
    """What the names of a property's columns and metrics end in, if there are several."""
    return f"_{p.name}" if len(properties) > 1 else ""


def misspelt(p: Property) -> str:
    """The known property that one of nearly its name may have been meant to be, or nothing."""
    if p.name in _KNOWN:
        return ""
    return next(iter(difflib.get_close_matches(canonical_name(p.name), _KNOWN, 1, 0.85)), "")


def resolve_property(
    name: str, available_columns: Collection[str], faults: Faults | None = None
) -> Property:
    """The property a user asked for, with the column of the dataset that holds its values.

    ``is_metal`` falls back on ``band_gap``, and a dataset whose only column is unnamed answers
    to any name. A column of the user's own is a regression target without unit or transform until
    somebody says otherwise.

    Raises:
        UserError: no column fits; the message lists those there are, or says, by the ``faults``
            of the dataset, what is wrong with the values of the one that would.
    """
    wanted = canonical_name(name)
    known = _KNOWN.get(wanted, Property(wanted, wanted))
    if name in available_columns:
        return replace(known, column=name)
    columns = {canonical_name(column): column for column in available_columns}
    if wanted in columns:
        return replace(known, column=columns[wanted])
    if wanted == "is_metal" and "band_gap" in columns:
        return replace(known, column=columns["band_gap"], transform="is_zero")
    if list(available_columns) == [UNNAMED_COLUMN]:
        return replace(known, column=UNNAMED_COLUMN)
    for column, own in (faults or {}).items():
        if canonical_name(column) == wanted:
            raise UserError(
                f"{name!r} is no column of numbers: {next(iter(own.values()))}\n"
                f"words are classes if some come twice and {MAX_CLASSES} at most are different"
            )
    close = difflib.get_close_matches(wanted, columns, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise UserError(f"the data has no property {name!r}{hint} It has: {_listed(columns)}.")


def default_property(available_columns: Collection[str], source: Path) -> Property:
    """What to train on where nobody said it: the bulk modulus, or else the only column there is.

    A column without a name goes by that of its file or folder, and is a plain number.

    Raises:
        UserError: there are several columns and none is the bulk modulus, or the only one has no
            name and the file is called like a known property, so that its unit would be a guess.
    """
    columns = {canonical_name(column): column for column in available_columns}
    if DEFAULT_PROPERTY in columns:
        return resolve_property(DEFAULT_PROPERTY, available_columns)
    if len(columns) != 1:
        raise UserError(
            f"{source} has no {DEFAULT_PROPERTY}, the default: choose with --property what to "
            f"predict. It has: {_listed(columns)}."
        )
    (column,) = available_columns
    if column != UNNAMED_COLUMN:
        return resolve_property(column, available_columns)
    path = source.resolve()
    name = path.name if path.is_dir() else path.name.partition(".")[0]
    if canonical_name(name) in _KNOWN:
        raise UserError(
            f"the values of {source} have no name: if they are a {canonical_name(name)}, say so "
            f"with --property {canonical_name(name)}, else give another name"
        )
    return Property(name or UNNAMED_COLUMN, UNNAMED_COLUMN)


def _either(names: Sequence[str]) -> str:
    some = names if len(names) <= MAX_LISTED else [*names[: MAX_LISTED - 1], "…"]
    return f"{', '.join(some[:-1])} or {some[-1]}"


def _listed(columns: Collection[str]) -> str:
    some = sorted(columns)[:MAX_LISTED]
    return ", ".join([*some, "…"] if len(columns) > len(some) else some) or "none"
