"""Which crystals train, validate and test."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import UserError, number_of, some_of

SUBSETS = ("train", "val", "test")
DEFAULT_RATIOS = "60:20:20"


@dataclass(frozen=True)
class Split:
    """Crystal numbers (int64, rising) by subset, and what of split and data did not fit together.

    There always are `train` and `val`; `test` is there if it has crystals.
    """

    subsets: dict[str, np.ndarray]
    unassigned: np.ndarray
    """usable crystals that are in no subset"""
    notes: tuple[str, ...] = ()
    """one line each, for the user"""


def make_split(
    ids: np.ndarray,
    usable: np.ndarray,
    split: str | None,
    seed: int,
    own: Mapping[str, Sequence[str]] | None = None,
    skipped: Sequence[str] = (),
    limit: int | None = None,
) -> Split:
    """Deal crystals to `train`, `val` and `test`.

    Args:
        ids: names of the dataset's crystals [C].
        usable: numbers of those with a target.
        split: ratios as `60:20:20` (`80:20:0` for no test), drawn at random; a JSON file with a
            list of ids for each subset; None for the data's own split, else 60:20:20.
        seed: of the random draw.
        own: the split that comes with the data.
        skipped: names of the source's crystals that could not become part of the dataset.
        limit: the dataset is the first crystals of its source only, so that ids may be missing.

    Raises:
        UserError: no such file, ids that the data do not have, overlapping or empty subsets.
    """
    if split is None and own is not None:
        return _by_ids(ids, usable, own, "the data's own split", skipped, limit)
    split = split or DEFAULT_RATIOS
    if Path(split).is_file():
        return _by_ids(ids, usable, _read(Path(split)), split, skipped, limit)
    return Split(_at_random(usable, _ratios(split), seed), usable[:0])


def deal_groups(groups: Sequence[Any], shares: Sequence[float], seed: int) -> np.ndarray:
    """Deal crystals to parts at random, those of one group to one part.

    Large groups are dealt first, each to the part that is furthest from its share.

    Args:
        groups: what group each crystal is of [C].
        shares: how large each part is to be, in any unit.
        seed: of the random order.

    Returns:
        The number of each crystal's part, int64 [C].
    """
    names = [str(group) for group in groups]
    _, group, sizes = np.unique(names, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    wanted = np.asarray(shares, np.float64) / np.sum(shares) * len(names)
    dealt = np.zeros(len(wanted))
    part = np.zeros(len(sizes), np.int64)
    for own in order:
        part[own] = np.argmax(np.where(wanted > 0, wanted - dealt, -np.inf) / np.maximum(wanted, 1))
        dealt[part[own]] += sizes[own]
    return part[group]


def subset_names(
    ids: Sequence[str],
    split: str | Mapping[str, Sequence[Any]] | Sequence[str] | None,
    groups: Sequence[Any] | None,
    seed: int,
) -> list[str] | None:
    """The subset of each crystal [C], where it is known before the crystals are looked at.

    Args:
        ids: names of the C crystals.
        split: ids by subset, a subset's name for each crystal, or ratios as for `make_split`.
        groups: what group each crystal is of: those of one group come into one subset.
        seed: of a split that is drawn.

    Returns:
        `train`, `val`, `test` or an empty text of each; None for a split that `make_split` makes.

    Raises:
        UserError: not one for each crystal, an unknown subset, or a split besides groups.
    """
    given = split is not None and not isinstance(split, str)
    if groups is not None and (given or (isinstance(split, str) and Path(split).is_file())):
        raise UserError("a split and groups: give ratios as split='60:20:20' beside the groups")
    if groups is not None:
        if len(groups) != len(ids):
            raise UserError(f"{len(ids):,} structures, but {len(groups):,} groups: one of each")
        ratios = _ratios(str(split or DEFAULT_RATIOS))
        return [SUBSETS[part] for part in deal_groups(groups, ratios, seed)]
    if not given:
        return None
    if isinstance(split, Mapping):
        members = {name: [str(i) for i in own] for name, own in split.items()}
        _check_apart(members, "split")
        subset = {i: name for name, own in members.items() for i in own}
        known = {*ids}
        if unknown := [i for i in subset if i not in known]:
            raise UserError(f"split: the data do not have {some_of(unknown)}")
        names = [subset.get(i, "") for i in ids]
    else:
        names = ["" if name is None else str(name) for name in split or ()]
    if len(names) != len(ids):
        raise UserError(f"{len(ids):,} structures, but {len(names):,} in split: one of each")
    if wrong := {*names} - {*SUBSETS, ""}:
        raise UserError(f"split: there is no subset {min(wrong)!r}, only {', '.join(SUBSETS)}")
    return names


def _ratios(text: str) -> list[float]:
    try:
        ratios = [float(part) for part in text.split(":")]
    except ValueError:
        ratios = []
    good = len(ratios) == len(SUBSETS) and np.isfinite(ratios).all()
    if not good or min(ratios[:-1]) <= 0 or ratios[-1] < 0:
        raise UserError(
            f"--split {text}: give three ratios above 0 as 60:20:20 (the last may be 0), or an "
            "existing JSON file with the ids of train, val and test"
        )
    return ratios


def _at_random(usable: np.ndarray, ratios: Sequence[float], seed: int) -> dict[str, np.ndarray]:
    order = np.random.default_rng(seed).permutation(usable)
    ends = np.rint(np.cumsum(ratios) / np.sum(ratios) * len(order)).astype(int)[:-1]
    parts = dict(zip(SUBSETS, map(np.sort, np.split(order, ends)), strict=True))
    wanted = {name: parts[name] for name, ratio in zip(SUBSETS, ratios, strict=True) if ratio}
    if empty := [name for name, rows in wanted.items() if len(rows) == 0]:
        raise UserError(
            f"{number_of(len(usable), 'crystal')} too few to split: {empty[0]} is empty; "
            "give more, or other ratios (--split 1:1:1)"
        )
    return wanted


def _read(path: Path) -> dict[str, list[str]]:
    try:
        split = json.loads(path.read_text(encoding="utf-8-sig"))
        if not all(isinstance(members, list) for members in split.values()):
            raise TypeError
        return {name: [str(i) for i in members] for name, members in split.items()}
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise UserError(
            f'{path} is no split file: it must be JSON like {{"train": ["id", …], "val": […], '
            '"test": […]}'
        ) from None


def _check_apart(members: Mapping[str, Sequence[str]], source: str) -> None:
    """Make sure that no crystal is in two subsets.

    Raises:
        UserError: one is; `source` names the split.
    """
    times = Counter(i for own in members.values() for i in dict.fromkeys(own))
    if twice := [i for i, count in times.items() if count > 1]:
        both = " and ".join(name for name, own in members.items() if twice[0] in own)
        more = f", and {len(twice) - 1:,} more are in two subsets" if len(twice) > 1 else ""
        raise UserError(f"{source}: {twice[0]} is in both {both}{more}")


def _by_ids(
    ids: np.ndarray,
    usable: np.ndarray,
    split: Mapping[str, Sequence[str]],
    source: str,
    skipped: Sequence[str],
    limit: int | None,
) -> Split:
    """The subsets that `split` names; ids of crystals that cannot be used are counted."""
    for name in SUBSETS[:2]:
        if not split.get(name):
            raise UserError(f"{source} has no {name} crystals: it has {', '.join(split) or 'none'}")
    members = {name: list(dict.fromkeys(split.get(name, ()))) for name in SUBSETS}
    _check_apart(members, source)
    named = [i for own in members.values() for i in own]
    notes = []
    known = {*ids.tolist(), *skipped}
    if unknown := [i for i in named if i not in known]:
        if limit is None:
            raise UserError(f"{source}: the data do not have {some_of(unknown)}")
        notes.append(f"not among the first {limit:,} crystals: {some_of(unknown)} of {source}")
    number = {str(ids[row]): row for row in usable.tolist()}
    if lost := [i for i in named if i in known and i not in number]:
        notes.append(f"left out as they cannot be used: {some_of(lost)} of {source}")
    subsets = {
        name: np.array(sorted(number[i] for i in own if i in number), np.int64)
        for name, own in members.items()
        if own
    }
    for name, rows in subsets.items():
        if len(rows) == 0:
            raise UserError(f"{source}: none of the ids of {name} has a usable crystal")
    unassigned = np.setdiff1d(usable, np.concatenate([*subsets.values()]))
    if len(unassigned):
        notes.append(f"in no subset, so left out: {some_of(ids[unassigned].tolist())}")
    return Split(subsets, unassigned, tuple(notes))
