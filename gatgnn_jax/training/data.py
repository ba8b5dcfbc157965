"""What a dataset gives to train on: properties, targets, and crystals by subset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.cache import BUNDLED
from data_prep.classes import MAX_CLASSES, number_name
from data_prep.dataset import GraphDataset
from data_prep.errors import Skipped, UserError, number_of, one_line
from data_prep.properties import (
    MAX_LISTED,
    Property,
    Task,
    default_property,
    resolve_property,
)
from data_prep.targets import check_spread, select_targets
from gatgnn_jax.batches.splits import make_split


@dataclass(frozen=True)
class TrainingData:
    """Targets of a dataset's C crystals, and which of them are trained with."""

    properties: tuple[Property, ...]
    """the T properties, as yet without mean, scale and weights of classes"""
    target: np.ndarray
    """float64 [C, T], transformed, NaN where missing"""
    subsets: dict[str, np.ndarray]
    """crystal numbers of `train`, `val` and, if there are any, `test`"""
    skipped: list[Skipped]
    """crystals of the source that are in none of them, and why"""
    notes: tuple[str, ...]
    """what the user should know of the data, one line each"""
    weight: np.ndarray | None = None
    """by which the losses of crystals count, float64 [C], 1 in the mean of `train`; None: alike"""


@dataclass(frozen=True)
class Asked:
    """What a user says of what is to be predicted; None: nothing.

    Attributes:
        names: of properties, comma-separated.
        task: of the one property.
        unit: in which its values are.
        transform: that is to be learned instead of the values, a name of `TRANSFORMS`.
    """

    names: str | None = None
    task: Task | None = None
    unit: str | None = None
    transform: str | None = None


def chosen_properties(
    asked: Asked, dataset: GraphDataset, source: Path | None, weight: str | None = None
) -> tuple[Property, ...]:
    """The properties asked for; the data's only one, `weight` apart, if none is named.

    Raises:
        UserError: there is no such property, no telling which one is meant, or it cannot be what it
            is said to be.
    """
    if asked.names is None:
        numbers = [n for n in dataset.columns if n not in dataset.classes and n != weight]
        found = [default_property(numbers or [*dataset.columns], source or BUNDLED)]
    else:
        wanted = dict.fromkeys(name.strip() for name in asked.names.split(","))
        found = [resolve_property(name, dataset.columns, dataset.faults) for name in wanted]
    own = [name for name in ("task", "unit", "transform") if getattr(asked, name) is not None]
    if own and len(found) > 1:
        raise UserError(f"--{own[0]} is of a single property: give one with --property")
    return tuple(_as_asked(p, asked, dataset) for p in found)


def _as_asked(p: Property, asked: Asked, dataset: GraphDataset) -> Property:
    """A property with the task, unit and transform asked for, and the classes of its column."""
    words = dataset.classes.get(p.column)
    task = asked.task or ("classification" if words else p.task)
    if task == "regression":
        if words:
            raise UserError(
                f"{p.name} has words ({', '.join(words[:3])}, …), no numbers: leave out "
                "--task regression"
            )
        if p.task == "classification":
            p = Property(p.name, p.column)
        unit = p.unit if asked.unit is None else asked.unit
        return replace(p, unit=unit, transform=asked.transform or p.transform)
    if asked.unit or asked.transform not in (None, "none"):
        option = "unit" if asked.unit else "transform"
        raise UserError(f"--{option}: {p.name} has classes, which have none")
    if p.task == "classification":
        return p
    names = words or _number_classes(p, dataset)
    if len(names) < 2:
        raise UserError(f"{p.name} is {names[0]} in all crystals: there is nothing to learn")
    classes = () if names == ("0", "1") else names
    return Property(p.name, p.column, task="classification", classes=classes)


def _number_classes(p: Property, dataset: GraphDataset) -> tuple[str, ...]:
    """The classes of a column of numbers, rising."""
    values = dataset.columns[p.column]
    known = np.unique(values[np.isfinite(values)])
    odd = known[known != np.rint(known)]
    if len(odd):
        row = np.flatnonzero(values == odd[0])[0]
        raise UserError(
            f"{p.name} = {odd[0]:g} of {one_line(dataset.ids[row])} is no class: classes are whole "
            "numbers or words, so give such, or leave out --task classification"
        )
    if len(known) > MAX_CLASSES:
        raise UserError(
            f"{p.name} has {len(known):,} different values, and {MAX_CLASSES} classes are taken: "
            "leave out --task classification"
        )
    return tuple(map(number_name, known.tolist())) or ("missing",)


def _check_classes(
    properties: Sequence[Property], target: np.ndarray, subsets: Mapping[str, np.ndarray]
) -> None:
    """Make sure that the validation crystals can tell how well a classification is learned."""
    for t, p in enumerate(properties):
        train, val = (np.unique(target[subsets[name], t]) for name in ("train", "val"))
        if p.task == "classification" and not np.isin(val, train[~np.isnan(train)]).any():
            raise UserError(
                f"no crystal of val has a class of {p.name} that train has: the best epoch could "
                "not be chosen; deal the crystals otherwise (--split, --seed)"
            )


def training_data(
    dataset: GraphDataset,
    skipped: Sequence[Skipped],
    properties: Sequence[Property],
    split: str | None,
    seed: int,
    limit: int | None = None,
    weight: str | None = None,
) -> TrainingData:
    """The transformed targets of a dataset, and its crystals dealt to the subsets.

    Args:
        dataset: the crystals.
        skipped: those of its source that are not in it.
        properties: what is predicted.
        split: as for `make_split`.
        seed: of a split that is drawn.
        limit: the dataset is the first crystals of its source only.
        weight: the column with weights of the crystals.

    Raises:
        UserError: no crystal has a value, a property is constant, the split does not fit, or there
            are no such weights.
    """
    target, reasons = select_targets(dataset.columns, properties, dataset.faults, dataset.classes)
    if weight is not None:
        reasons = _without_weight(weight, dataset) | reasons
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
    _check_classes(properties, target, dealt.subsets)
    notes = [*dealt.notes, *class_notes(properties, target, dealt.subsets["train"])]
    for p in properties:
        own = dataset.faults.get(p.column, {})
        if lost := {row: fault for row, fault in own.items() if row not in reasons}:
            row, fault = next(iter(lost.items()))
            notes.append(
                f"{number_of(len(lost), 'value')} of {p.name} left out; {dataset.ids[row]}: {fault}"
            )
    unused = dict.fromkeys(dealt.unassigned.tolist(), "in no subset of the split")
    rows = sorted((reasons | unused).items())
    return TrainingData(
        properties=tuple(properties),
        target=target,
        subsets=dealt.subsets,
        skipped=[*skipped, *(Skipped(str(dataset.ids[row]), why) for row, why in rows)],
        notes=tuple(notes),
        weight=None if weight is None else _weights(weight, dataset, dealt.subsets["train"]),
    )


def _without_weight(name: str, dataset: GraphDataset) -> dict[int, str]:
    """The crystals that have no weight, and why.

    Raises:
        UserError: no such column, or a weight that is none.
    """
    if name not in dataset.columns or name in dataset.classes:
        some = ", ".join(own for own in dataset.columns if own not in dataset.classes)
        raise UserError(f"--weight {name}: the data have no such column of numbers, but {some}")
    values = dataset.columns[name]
    if (negative := np.flatnonzero(values < 0)).size:
        row = negative[0]
        raise UserError(
            f"--weight {name}: it is {values[row]:g} for {one_line(dataset.ids[row])}: give "
            "weights of 0 or more"
        )
    faults = dataset.faults.get(name, {})
    missing = np.flatnonzero(np.isnan(values)).tolist()
    return {row: faults.get(row, f"no value of {name}, its weight") for row in missing}


def _weights(name: str, dataset: GraphDataset, train: np.ndarray) -> np.ndarray:
    mean = dataset.columns[name][train].mean()
    if not mean > 0:
        raise UserError(f"--weight {name}: it is 0 for all crystals of train")
    return dataset.columns[name] / mean


def class_notes(properties: Sequence[Property], target: np.ndarray, train: np.ndarray) -> list[str]:
    """The classes of each classification with their training crystals, one line each."""
    notes = []
    for t, p in enumerate(properties):
        if p.classes:
            known = target[train, t]
            counts = [int((known == k).sum()) for k in range(len(p.classes))]
            some = [f"{n:,} {name}" for n, name in zip(counts, p.classes, strict=True)]
            more = f", … ({len(some)} classes)" if len(some) > MAX_LISTED else ""
            notes.append(f"{p.name}: {', '.join(some[:MAX_LISTED])}{more} in train")
            if 0 in counts:
                lost = p.classes[counts.index(0)]
                notes.append(f"no crystal of train is {lost}: it will never be predicted")
    return notes


def balanced(properties: Sequence[Property], target: np.ndarray) -> tuple[Property, ...]:
    """The properties with weights by which all classes count alike in training targets [C, T]."""
    result = []
    for p, values in zip(properties, target.T, strict=True):
        if p.task == "classification":
            counts = np.array([(values == k).sum() for k in range(p.num_outputs)])
            weights = counts.sum() / (np.maximum(counts, 1) * (counts > 0).sum()) * (counts > 0)
            p = replace(p, class_weights=tuple(weights.tolist()))
        result.append(p)
    return tuple(result)
