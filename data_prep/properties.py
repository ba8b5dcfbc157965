"""What a model is trained on: names, units and transforms of crystal properties."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from data_prep.errors import UserError

UNNAMED_COLUMN = "target"
"""The column of a source that gives one value a crystal and does not name it."""


@dataclass(frozen=True)
class Property:
    """One target: where its values stand and what is done to them before training.

    ``transform`` is ``log10`` (values must be above 0), ``is_zero`` (1 where the value is exactly
    0, else 0: a metal has no band gap) or ``none``. Classification values are 0 and 1. The network
    gives a regression's transformed values in units of ``scale`` above ``mean``.
    """

    name: str
    column: str
    unit: str = ""
    transform: Literal["none", "log10", "is_zero"] = "none"
    task: Literal["regression", "classification"] = "regression"
    mean: float = 0.0
    scale: float = 1.0

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


def resolve_property(name: str, available_columns: Collection[str]) -> Property:
    """The property a user asked for, with the column of the dataset that holds its values.

    ``is_metal`` falls back on ``band_gap``, and a dataset whose only column is unnamed answers
    to any name. A column of the user's own is a regression target without unit or transform.

    Raises:
        UserError: no column fits; the message lists those there are.
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
    close = difflib.get_close_matches(wanted, columns, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    listed = ", ".join(sorted(columns)) or "none"
    raise UserError(f"the data has no property {name!r}{hint} It has: {listed}.")


def select_targets(
    columns: Mapping[str, np.ndarray], properties: Sequence[Property]
) -> tuple[np.ndarray, dict[int, str]]:
    """The values to train on.

    Args:
        columns: raw values of every column, float64 [C], NaN where missing.
        properties: the T properties asked for.

    Returns:
        Transformed values, float32 [C, T], NaN where missing or impossible, and for every crystal
        without any usable value (row -> reason) why it has to be left out.
    """
    raw = np.stack([columns[wanted.column] for wanted in properties], axis=1)
    values = np.full(raw.shape, np.nan, np.float32)
    for t, wanted in enumerate(properties):
        usable = np.isfinite(raw[:, t])
        if wanted.transform == "log10":
            usable &= raw[:, t] > 0
            values[usable, t] = np.log10(raw[usable, t])
        elif wanted.transform == "is_zero":
            values[usable, t] = raw[usable, t] == 0
        elif wanted.task == "classification":
            usable &= (raw[:, t] == 0) | (raw[:, t] == 1)
            values[usable, t] = raw[usable, t]
        else:
            values[usable, t] = raw[usable, t]
    reasons = {
        int(row): "; ".join(map(_why_unusable, properties, raw[row].tolist()))
        for row in np.flatnonzero(np.isnan(values).all(axis=1))
    }
    return values, reasons


def standardized(properties: Sequence[Property], target: np.ndarray) -> tuple[Property, ...]:
    """The properties with mean and standard deviation of the transformed values `target` [C, T].

    Classifications stay as they are.
    """
    result = []
    for p, values in zip(properties, target.astype(np.float64).T, strict=True):
        if p.task == "regression":
            # A constant target has no scale of its own.
            p = replace(p, mean=float(np.nanmean(values)), scale=float(np.nanstd(values)) or 1.0)
        result.append(p)
    return tuple(result)


def _why_unusable(wanted: Property, value: float) -> str:
    if np.isnan(value):
        return f"no value of {wanted.name}"
    if np.isinf(value):
        return f"{wanted.name} is infinite"
    if wanted.transform == "log10":
        return f"{wanted.name} = {value:g}: log10 needs a value above 0"
    return f"{wanted.name} = {value:g}: a class is 0 or 1"
