"""What a model is trained on: names, units and transforms of crystal properties."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from data_prep.errors import UserError
from data_prep.settings import check_types
from data_prep.transforms import TRANSFORMS, Transform

UNNAMED_COLUMN = "target"
"""The column of a source that gives one value a crystal and does not name it."""

DEFAULT_PROPERTY = "bulk_modulus"

LARGEST = float(np.finfo(np.float32).max)
"""The network computes in float32."""

CONSTANT = 1e-12
"""Values that differ by less than this share of them are one value, rounded."""

MAX_LISTED = 20
"""Columns that a message lists."""

Faults = Mapping[str, Mapping[int, str]]
"""By column and row: what is wrong with a value that is there but cannot be used."""


@dataclass(frozen=True)
class Property:
    """One target: where its values stand and what is done to them before training.

    ``transform`` is a name of ``data_prep.transforms.TRANSFORMS``. Classification values are 0 and
    1. The network gives a regression's transformed values in units of ``scale`` above ``mean``.

    Raises:
        ValueError: a value that cannot be.
    """

    name: str
    column: str
    unit: str = ""
    transform: str = "none"
    task: Literal["regression", "classification"] = "regression"
    mean: float = 0.0
    scale: float = 1.0

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

    @property
    def _transform(self) -> Transform:
        return TRANSFORMS[self.transform]

    @property
    def trained_unit(self) -> str:
        """The unit of the values the model works with: `log10(GPa)` for a modulus."""
        return self._transform.unit.format(self.unit)

    @property
    def is_rescaled(self) -> bool:
        """Whether values are trained on in another unit than their own."""
        return self.trained_unit != self.unit

    @property
    def own_suffix(self) -> str:
        """What the names of columns in the property's own unit end in: `gpa`."""
        return (self.unit or "linear").lower()

    def in_own_unit(self, transformed: np.ndarray) -> np.ndarray:
        """Trained values in the property's own unit, of any shape."""
        return self._transform.inverse(transformed)

    def transformed(self, raw: np.ndarray) -> np.ndarray:
        """The values to train on, float64 [C]; NaN for what cannot be used."""
        values = np.full(len(raw), np.nan)
        usable = np.abs(raw) <= LARGEST
        usable[usable] &= self._transform.usable(raw[usable])
        values[usable] = self._transform.forward(raw[usable])
        if self.task == "classification":
            values[(values != 0) & (values != 1)] = np.nan
        return values

    def why_unusable(self, value: float) -> str:
        """Why a raw value cannot be trained on."""
        if np.isnan(value):
            return f"no value of {self.name}"
        if np.isinf(value):
            return f"{self.name} is infinite"
        if abs(value) > LARGEST:
            return f"{self.name} = {value:g}: 32-bit numbers end at {LARGEST:.0e}"
        if not self._transform.usable(np.array(value)):
            return f"{self.name} = {value:g}: {self.transform} needs {self._transform.needs}"
        return f"{self.name} = {value:g}: a class is 0 or 1"

    def is_same_as(self, other: "Property") -> bool:
        """Whether both are the same quantity, from whatever column and in whatever units."""
        return all(
            getattr(self, name) == getattr(other, name) for name in ("name", "transform", "task")
        )


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
        Property("is_metal", "is_metal", task="classification"),
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


def resolve_property(
    name: str, available_columns: Collection[str], faults: Faults | None = None
) -> Property:
    """The property a user asked for, with the column of the dataset that holds its values.

    ``is_metal`` falls back on ``band_gap``, and a dataset whose only column is unnamed answers
    to any name. A column of the user's own is a regression target without unit or transform.

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
            raise UserError(f"{name!r} is no column of numbers: {next(iter(own.values()))}")
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


def _listed(columns: Collection[str]) -> str:
    some = sorted(columns)[:MAX_LISTED]
    return ", ".join([*some, "…"] if len(columns) > len(some) else some) or "none"


def select_targets(
    columns: Mapping[str, np.ndarray],
    properties: Sequence[Property],
    faults: Faults | None = None,
) -> tuple[np.ndarray, dict[int, str]]:
    """The values to train on.

    Args:
        columns: raw values of every column, float64 [C], NaN where missing.
        properties: the T properties asked for.
        faults: why a value is missing though something was given.

    Returns:
        Transformed values, float64 [C, T], NaN where missing or impossible, and for every crystal
        without any usable value (row -> reason) why it has to be left out.
    """
    raw = np.stack([columns[wanted.column] for wanted in properties], axis=1)
    values = np.stack([p.transformed(own) for p, own in zip(properties, raw.T, strict=True)], 1)

    def why(row: int) -> str:
        own = [(faults or {}).get(wanted.column, {}).get(row) for wanted in properties]
        return "; ".join(
            fault or wanted.why_unusable(value)
            for fault, wanted, value in zip(own, properties, raw[row].tolist(), strict=True)
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
