"""The tasks of Matbench v0.1 that start from structures, their rows, and their official folds.

Dunn et al., npj Comput. Mater. 6, 138 (2020). Rows are known by their place in the file here, and
by ids like `mb-jdft2d-001` in the record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from data_prep.columns import parse_number
from data_prep.errors import UserError
from data_prep.fetch import MATBENCH
from data_prep.reading.formats import read_json
from gatgnn_jax.batches.splits import SUBSETS

FOLDS = 5
SEED = 18012019
"""Of the official folds."""

VALIDATION_SHARE = 0.1
"""Of a fold's training rows, held out to choose the best epoch; test rows have no part in it."""

FEWEST = 20
"""Rows that make five folds with something in each part."""


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: Matbench's name of it, and of its file.
        target: the column to predict.
        unit: of the target.
        rows: how many the published file has.
        sha256: of the published `.json.gz`.
        classification: whether the target is true or false.
    """

    name: str
    target: str
    unit: str
    rows: int
    sha256: str
    classification: bool = False

    def ids(self, rows: int) -> np.ndarray:
        """Matbench's ids of a table of so many rows."""
        prefix = self.name.replace("matbench", "mb").replace("_", "-")
        return np.array([f"{prefix}-{row + 1:0{len(str(rows))}d}" for row in range(rows)])


def _task(name: str, target: str, unit: str, rows: int, *, classification: bool = False) -> Task:
    return Task(name, target, unit, rows, MATBENCH[name], classification)


_TASKS = (
    _task("matbench_dielectric", "n", "", 4764),
    _task("matbench_jdft2d", "exfoliation_en", "meV/atom", 636),
    _task("matbench_log_gvrh", "log10(G_VRH)", "log10(GPa)", 10987),
    _task("matbench_log_kvrh", "log10(K_VRH)", "log10(GPa)", 10987),
    _task("matbench_mp_e_form", "e_form", "eV/atom", 132752),
    _task("matbench_mp_gap", "gap pbe", "eV", 106113),
    _task("matbench_mp_is_metal", "is_metal", "", 106113, classification=True),
    _task("matbench_perovskites", "e_form", "eV/unit cell", 18928),
    _task("matbench_phonons", "last phdos peak", "cm^-1", 1265),
)
TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _TASKS})


def read_targets(path: Path, task: Task, limit: int | None = None) -> np.ndarray:
    """The target of every row, or of the first ones: float64 [N], or bool for a classification.

    Raises:
        UserError: no table of this task, a target that is missing, or too few rows.
    """
    records = read_json(path)
    if [record.id for record in records] != [str(row) for row in range(len(records))]:
        raise UserError(f"{path} is no Matbench file: its rows are not numbered 0, 1, …")
    records = records[:limit]
    if len(records) < FEWEST:
        raise UserError(f"{path}: {len(records)} rows are too few for five folds; give {FEWEST}")
    if task.target not in records[0].targets:
        found = ", ".join(records[0].targets) or "none"
        raise UserError(f"{path} is no file of {task.name}: no column {task.target!r}, but {found}")
    target = np.array([_number(record.targets.get(task.target)) for record in records])
    usable = np.isfinite(target)
    if task.classification:
        usable &= (target == 0) | (target == 1)
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        value = records[row].targets.get(task.target)
        raise UserError(f"{path}, row {row}: {task.target} is {value!r}, and every row needs one")
    return target.astype(bool) if task.classification else target


def _number(value: object) -> float:
    number = parse_number(value)
    return np.nan if number is None else number


def official_folds(target: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to train with (validation included) and to test with, both rising, of each fold.

    Args:
        target: of every row; folds of a bool target have equal shares of both classes.

    Raises:
        UserError: fewer than five rows of a class.
    """
    kind = KFold
    if target.dtype == bool:
        kind = StratifiedKFold
        if min(target.sum(), (~target).sum()) < FOLDS:
            raise UserError(f"each class needs {FOLDS} rows: take more rows")
    return list(kind(FOLDS, shuffle=True, random_state=SEED).split(target, target))


def split_ids(
    train_rows: np.ndarray, test_rows: np.ndarray, target: np.ndarray, seed: int
) -> dict[str, list[str]]:
    """A fold as a split file of `gatgnn_jax.train`, which knows the rows by their numbers.

    The validation rows are drawn from the fold's training rows with `seed`, with equal shares of
    both classes in a classification.
    """
    train, val = train_test_split(
        train_rows,
        test_size=VALIDATION_SHARE,
        random_state=seed,
        stratify=target[train_rows] if target.dtype == bool else None,
    )
    parts = map(np.sort, (train, val, test_rows))
    return {name: rows.astype(str).tolist() for name, rows in zip(SUBSETS, parts, strict=True)}
