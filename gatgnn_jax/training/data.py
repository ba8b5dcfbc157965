"""What a dataset gives to train on: properties, targets, and crystals by subset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.cache import BUNDLED
from data_prep.dataset import GraphDataset
from data_prep.errors import Skipped, UserError, one_line
from data_prep.properties import (
    Property,
    check_spread,
    default_property,
    resolve_property,
    select_targets,
)
from gatgnn_jax.batches.splits import make_split


@dataclass(frozen=True)
class TrainingData:
    """Targets of a dataset's C crystals, and which of them are trained with."""

    properties: tuple[Property, ...]
    """the T properties, as yet without mean and scale"""
    target: np.ndarray
    """float64 [C, T], transformed, NaN where missing"""
    subsets: dict[str, np.ndarray]
    """crystal numbers of `train`, `val` and, if there are any, `test`"""
    skipped: list[Skipped]
    """crystals of the source that are in none of them, and why"""
    notes: tuple[str, ...]
    """what the user should know of the data, one line each"""


def chosen_properties(
    names: str | None, dataset: GraphDataset, source: Path | None
) -> tuple[Property, ...]:
    """The properties with these comma-separated names; the data's only one if none is given.

    Raises:
        UserError: there is no such property, or no telling which one is meant.
    """
    if names is None:
        return (default_property(dataset.columns, source or BUNDLED),)
    wanted = dict.fromkeys(name.strip() for name in names.split(","))
    return tuple(resolve_property(name, dataset.columns, dataset.faults) for name in wanted)


def training_data(
    dataset: GraphDataset,
    skipped: Sequence[Skipped],
    properties: Sequence[Property],
    split: str | None,
    seed: int,
    limit: int | None = None,
) -> TrainingData:
    """The transformed targets of a dataset, and its crystals dealt to the subsets.

    Args:
        dataset: the crystals.
        skipped: those of its source that are not in it.
        properties: what is predicted.
        split: as for `make_split`.
        seed: of a split that is drawn.
        limit: the dataset is the first crystals of its source only.

    Raises:
        UserError: no crystal has a value, a property is constant, or the split does not fit.
    """
    target, reasons = select_targets(dataset.columns, properties, dataset.faults)
    usable = np.setdiff1d(np.arange(len(dataset)), list(reasons))
    if len(usable) == 0:
        row, why = next(iter(reasons.items()))
        names = " or ".join(p.name for p in properties)
        raise UserError(
            f"no crystal has a usable value of {names}; {one_line(dataset.ids[row])}: {why}"
        )
    dealt = make_split(
        dataset.ids,
        usable,
        split,
        seed,
        own=dataset.splits,
        skipped=[name for name, _ in skipped],
        limit=limit,
    )
    check_spread(properties, target[dealt.subsets["train"]])
    for p, known in zip(properties, ~np.isnan(target[dealt.subsets["val"]]).all(0), strict=True):
        if not known:
            raise UserError(f"no crystal of val has a usable value of {p.name}")
    notes = list(dealt.notes)
    for p in properties:
        own = dataset.faults.get(p.column, {})
        if lost := {row: fault for row, fault in own.items() if row not in reasons}:
            row, fault = next(iter(lost.items()))
            notes.append(f"{len(lost):,} values of {p.name} left out; {dataset.ids[row]}: {fault}")
    unused = dict.fromkeys(dealt.unassigned.tolist(), "in no subset of the split")
    rows = sorted((reasons | unused).items())
    return TrainingData(
        properties=tuple(properties),
        target=target,
        subsets=dealt.subsets,
        skipped=[*skipped, *(Skipped(str(dataset.ids[row]), why) for row, why in rows)],
        notes=tuple(notes),
    )
