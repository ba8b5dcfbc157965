"""Crystals that are in memory, with their values, as JSON lines that every command reads."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from pymatgen.core import IStructure

from data_prep.errors import BadCrystal, UserError, number_of, one_line
from data_prep.files import replacing
from data_prep.properties import UNNAMED_COLUMN
from data_prep.reading.dictionaries import structure_to_dict
from data_prep.reading.formats import Record
from data_prep.reading.sources import StructureLike, is_text, read_item
from data_prep.reading.structures import Atoms

Crystals: TypeAlias = StructureLike | Iterable[StructureLike] | pd.DataFrame
"""One structure or several: a list, an array, a Series, or a table with a column of them."""

Values: TypeAlias = Sequence[Any] | np.ndarray | pd.Series | pd.DataFrame | Mapping[str, Any]
"""A value of each of C crystals: [C] or [C, T], or by the property's name."""

STRUCTURE_COLUMNS = ("structure", "structures", "atoms", "final_structure", "cif", "file", "path")
"""Where a table has its structures; in another column they are found if it is the only one."""


def as_list(structures: Crystals) -> list[StructureLike]:
    """One structure, or several, as a list; a structure is itself a sequence (of its sites).

    Raises:
        UserError: a table without a column of structures, or nothing of the kind.
    """
    if isinstance(structures, pd.DataFrame):
        return list(structures[structure_column(structures)])
    if isinstance(structures, str | Path | Mapping | IStructure | Atoms):
        return [structures]
    if isinstance(structures, np.ndarray) and structures.ndim == 2 and structures.shape[1] == 1:
        return list(structures[:, 0])  # a column, as scikit-learn's transformers give it
    if not isinstance(structures, Iterable):
        raise UserError(
            f"no crystals, but a {type(structures).__name__}: give structures of pymatgen or ASE, "
            "paths, or a table with a column of them"
        )
    return list(structures)


def names_of(crystals: Crystals) -> list[str] | None:
    """What the index of a table or Series calls its rows; None where it does not name each."""
    if not isinstance(crystals, pd.Series | pd.DataFrame):
        return None
    names = [str(name) for name in crystals.index]
    # Numbers that repeat are those of tables that were put together.
    is_counted = pd.api.types.is_integer_dtype(crystals.index) and len({*names}) < len(names)
    return None if is_counted or not all(name.strip() for name in names) else names


def structure_column(table: pd.DataFrame) -> str:
    """The column that holds structures.

    Raises:
        UserError: none does, or several do: which of two relaxations is meant, only the user knows.
    """
    found = [name for name in table.columns if _holds_structures(name, table[name])]
    if len(found) > 1:
        named = ", ".join(map(one_line, found))
        raise UserError(
            f"the table has {len(found)} columns of structures, {named}: give it with one, as by "
            f"table.drop(columns={found[1]!r})"
        )
    for name in (*found, *STRUCTURE_COLUMNS):
        if name in table.columns:
            return name
    named = ", ".join(map(one_line, table.columns)) or "none"
    raise UserError(f"the table has no column of structures: name one 'structure'. It has: {named}")


def _holds_structures(name: str, column: pd.Series) -> bool:
    """Whether its first row that is not empty is one; a text or dictionary by the name as well."""
    first = next(iter(column.dropna()), None)
    is_content = isinstance(first, Mapping) or (isinstance(first, str) and is_text(first))
    return isinstance(first, IStructure | Atoms) or (is_content and name in STRUCTURE_COLUMNS)


@dataclass(frozen=True)
class Given:
    """C crystals, their values by column, and what else is known of each."""

    ids: tuple[str, ...]
    structures: tuple[StructureLike, ...]
    targets: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, crystals: Crystals, y: Values | str | None, names: Sequence[str] = ()) -> "Given":
        """Crystals and their values as they stand in lists, arrays or tables.

        Args:
            crystals: the C structures.
            y: their values; or the names of columns, comma-separated or in a list, where `crystals`
                is a table; None for those that `names` says.
            names: what the values are called, if they do not bring a name of their own.

        Raises:
            UserError: no crystals, or one twice by the index; not as many values as crystals, or in
                another order; no such column.
        """
        table = crystals if isinstance(crystals, pd.DataFrame) else None
        if table is not None and isinstance(y, list) and all(own in table for own in map(str, y)):
            y = ",".join(map(str, y))
        if y is None or isinstance(y, str):
            columns = names_in(y) if y is not None else tuple(names)
            if table is None or not columns:
                raise UserError("there are no values to train on: fit(structures, y)")
            if missing := [name for name in columns if name not in table.columns]:
                have = ", ".join(map(one_line, table.columns))
                raise UserError(f"the table has no column {missing[0]!r}; it has: {have}")
            y = table[list(columns)]
        structures = as_list(crystals)
        if not structures:
            raise UserError("no crystals were given")
        _check_same_rows(crystals, y)
        targets = named_values(y, names)
        for name, values in targets.items():
            if len(values) != len(structures):
                raise UserError(
                    f"{len(structures):,} structures, but {len(values):,} values of {name}: give "
                    "one of each"
                )
        ids = names_of(crystals) or [*map(str, range(len(structures)))]
        if twice := [name for name, count in Counter(ids).items() if count > 1]:
            raise UserError(
                f"the index has {one_line(twice[0])} twice: leave one out, or number the rows with "
                "reset_index(drop=True)"
            )
        return cls(tuple(ids), tuple(structures), targets)

    def beside(self, name: str, values: Sequence[Any]) -> "Given":
        """With another column, which is not predicted: weights, say.

        Raises:
            UserError: not one for each crystal, or a name that is taken.
        """
        if len(values) != len(self.ids) or name in self.targets:
            raise UserError(
                f"{name}: give {len(self.ids):,} numbers, one for each structure, by a name that "
                "no property has"
            )
        return replace(self, targets={**self.targets, name: list(values)})

    def write(self, path: Path, subsets: Sequence[str] | None = None) -> None:
        """Write them as JSON lines; what cannot be read is written as its reason.

        Args:
            path: the file, packed if it ends in `.gz`.
            subsets: train, val or test of each crystal [C]; empty: none of them.

        Raises:
            UserError: none of them can be read.
        """
        reasons: list[str] = []
        with replacing(path) as file:
            for row, (name, content) in enumerate(zip(self.ids, self.structures, strict=True)):
                if isinstance(content, str) and not is_text(content):
                    content = Path(content)
                _, structure = read_item(Record(name, content))
                line: dict[str, Any] = {"id": name}
                if isinstance(structure, BadCrystal):
                    line["unusable"] = structure.reason
                    reasons.append(f"{name}: {structure.reason}")
                else:
                    line["structure"] = structure_to_dict(structure)
                line["targets"] = {own: _plain(values[row]) for own, values in self.targets.items()}
                if subsets is not None and subsets[row]:
                    line["split"] = subsets[row]
                file.write(json.dumps(line).encode() + b"\n")
            if len(reasons) == len(self.ids):
                whole = number_of(len(reasons), "crystal")
                raise UserError(f"none of {whole} can be read; the first is {reasons[0]}")


def names_in(text: str) -> tuple[str, ...]:
    """The names in a comma-separated text, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def named_values(y: Values, names: Sequence[str] = ()) -> dict[str, Sequence[Any]]:
    """The values of each property by its name: the one given, its own, or `target`, `target_1`, …

    Raises:
        UserError: not as many names as properties, or values of more dimensions.
    """
    if isinstance(y, pd.DataFrame | Mapping):
        columns: dict[str, Sequence[Any]] = {str(name): list(y[name]) for name in y}
    else:
        array = np.asarray(y, dtype=object)
        if array.ndim not in (1, 2):
            raise UserError(f"values have the shape {list(array.shape)}: give [C] or [C, T]")
        own = getattr(y, "name", None)
        if array.ndim == 1:
            columns = {UNNAMED_COLUMN if own is None else str(own): array.tolist()}
        else:
            numbers = range(1, array.shape[1] + 1)
            several = {f"{UNNAMED_COLUMN}_{t}": array[:, t - 1].tolist() for t in numbers}
            columns = several if len(several) != 1 else {UNNAMED_COLUMN: array[:, 0].tolist()}
    if names and len(names) != len(columns):
        raise UserError(f"{len(names)} names of properties, but values of {len(columns)}")
    columns = dict(zip(names or columns, columns.values(), strict=True))
    if wrong := [name for name in columns if "," in name or name != name.strip() or not name]:
        raise UserError(f"{wrong[0]!r} is no name of a property: give one without commas")
    return columns


def _check_same_rows(crystals: Crystals, y: Any) -> None:
    """Values in another order than the structures would be those of other crystals."""
    indexes = [own.index for own in (crystals, y) if isinstance(own, pd.Series | pd.DataFrame)]
    if len(indexes) == 2 and len(indexes[0]) == len(indexes[1]) and any(indexes[0] != indexes[1]):
        raise UserError(
            "structures and values have different indexes: put them in one order, as with "
            "y.loc[structures.index]"
        )


def _plain(value: Any) -> Any:
    """A value as JSON has it; what is missing is null."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    is_plain = isinstance(value, bool | int | float) and np.isfinite(value)
    return value if is_plain else str(value)  # JSON has no infinite numbers
