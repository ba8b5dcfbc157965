"""Which crystals train, validate and test."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep.dataset import GraphDataset
from data_prep.errors import UserError

SUBSETS = ("train", "val", "test")
DEFAULT_RATIOS = "60:20:20"


def make_split(
    dataset: GraphDataset, usable: np.ndarray, split: str | None, seed: int
) -> dict[str, np.ndarray]:
    """Crystal numbers (int64, rising) of `train`, `val` and `test`.

    Args:
        dataset: the crystals.
        usable: numbers of those with a target.
        split: ratios as `60:20:20`, drawn at random; a JSON file with a list of ids for each
            subset; None for the split that comes with the dataset, else 60:20:20.
        seed: of the random draw.

    Raises:
        UserError: no such file, ids that are not in the dataset, overlapping or empty subsets.
    """
    if split is None and dataset.splits is not None:
        return _by_ids(dataset, usable, dataset.splits, "the dataset's own split")
    split = split or DEFAULT_RATIOS
    if Path(split).is_file():
        return _by_ids(dataset, usable, _read(Path(split)), split)
    return _at_random(usable, _ratios(split), seed)


def _ratios(text: str) -> list[float]:
    try:
        ratios = [float(part) for part in text.split(":")]
    except ValueError:
        ratios = []
    if len(ratios) != len(SUBSETS) or min(ratios) <= 0 or not np.isfinite(ratios).all():
        raise UserError(
            f"--split {text}: give three ratios above 0 as 60:20:20, or an existing JSON file with "
            "the ids of train, val and test"
        )
    return ratios


def _at_random(usable: np.ndarray, ratios: Sequence[float], seed: int) -> dict[str, np.ndarray]:
    order = np.random.default_rng(seed).permutation(usable)
    ends = np.rint(np.cumsum(ratios) / np.sum(ratios) * len(order)).astype(int)[:-1]
    parts = dict(zip(SUBSETS, map(np.sort, np.split(order, ends)), strict=True))
    if empty := [name for name in SUBSETS if len(parts[name]) == 0]:
        raise UserError(f"{len(usable)} crystals are too few to split: {empty[0]} is empty")
    return parts


def _read(path: Path) -> dict[str, list[str]]:
    try:
        split = json.loads(path.read_text())
        return {name: [str(i) for i in split[name]] for name in SUBSETS}
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f'{path} is no split file: it must be JSON like {{"train": ["id", …], "val": […], '
            '"test": […]}'
        ) from None


def _by_ids(
    dataset: GraphDataset, usable: np.ndarray, split: Mapping[str, Sequence[str]], source: str
) -> dict[str, np.ndarray]:
    number = {str(dataset.ids[i]): i for i in usable.tolist()}
    parts = {}
    taken: dict[str, str] = {}
    for name in SUBSETS:
        for identifier in split.get(name, ()):
            if taken.setdefault(identifier, name) != name:
                raise UserError(f"{source}: {identifier} is both in {taken[identifier]} and {name}")
        here = sorted({number[i] for i in split.get(name, ()) if i in number})
        if not here:
            raise UserError(f"{source}: none of the ids of {name} has a usable crystal")
        parts[name] = np.array(here)
    return parts
