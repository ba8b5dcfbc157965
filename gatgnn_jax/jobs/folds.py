"""Several trainings as one: folds, each of which is the test once, and seeds.

    RUN/members.json      the trainings and how they were made
    RUN/fold-1.json, …    the split of each fold
    RUN/fold-1_seed-0/, … a run directory each
    RUN/predictions.csv   test crystals of all of them: out of fold, each crystal once a seed
    RUN/summary.json      errors: mean and spread over the trainings, and of all crystals together
    RUN/parity.png, report.html

The runs are made first and trained then, so that a kill loses nothing but steps: whatever is not
finished goes on.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from data_prep.compositions import compositions
from data_prep.errors import UserError
from data_prep.files import remove_unfinished, write_text
from data_prep.labels import formula
from data_prep.properties import Property, ending_of
from data_prep.settings import check_types, from_dict
from gatgnn_jax.batches.splits import deal_groups
from gatgnn_jax.choices import GroupBy
from gatgnn_jax.objective import metrics
from gatgnn_jax.pages.finished import Finished
from gatgnn_jax.pages.folds_page import write_folds_page
from gatgnn_jax.pages.report import read_finished
from gatgnn_jax.pipeline import Execution, create, go_on
from gatgnn_jax.runs.directory import (
    RunDirectory,
    entries,
    next_run_directory,
    remove_entries,
    to_json,
)
from gatgnn_jax.runs.one_writer import one_writer
from gatgnn_jax.runs.ready_made import MEMBERS
from gatgnn_jax.training.prepare import NewRun, Prepared


@dataclass(frozen=True)
class Repeats:
    """How often a training is made.

    Attributes:
        folds: so many folds; each is the test once and, before that, the validation once. 0: the
            split of a single training.
        seeds: so many trainings of each fold, with the seeds after the one of the settings.
        group_by: crystals of one formula come into one fold; or each for itself.

    Raises:
        ValueError: a number that cannot be.
    """

    folds: int = 0
    seeds: int = 1
    group_by: GroupBy = "formula"

    def __post_init__(self) -> None:
        check_types(self)
        if self.folds and self.folds < 3:
            raise ValueError(f"folds is {self.folds}: give 3 or more, for train, val and test")
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}: give 1 or more")

    @property
    def is_one(self) -> bool:
        """A single training, as there are without folds and seeds."""
        return not self.folds and self.seeds == 1


@dataclass(frozen=True)
class Member:
    """One of the trainings; `fold` counts from 1, 0: there are none."""

    name: str
    fold: int
    seed: int


def start_all(
    request: NewRun, repeats: Repeats, run_dir: Path | None, how: Execution
) -> tuple[Path, int]:
    """Train all folds and seeds; where they are, and the exit status.

    Raises:
        UserError: data, settings or a place that cannot be used.
    """
    if repeats.folds and request.split is not None:
        raise UserError("--folds makes the splits itself: leave out --split")
    console = how.begin()
    whole = replace(request, split="60:20:20") if repeats.folds else request
    prepared = how.prepare(whole)
    path = run_dir or next_run_directory(Path("runs"), prepared.properties[0].name)
    if path.exists() and (not path.is_dir() or entries(path)):
        raise UserError(f"{path} is there already: choose another --run-dir")
    splits = splits_of(prepared, repeats)
    path.mkdir(parents=True, exist_ok=True)
    with one_writer(path):
        try:
            _make_members(path, request, repeats, splits, how)
        except BaseException:  # nothing is trained yet: a second try finds the place as it was
            remove_entries(path)
            raise
    return path, go_on_all(path, how, console)


def is_several(path: Path) -> bool:
    """Whether a directory is one of folds or seeds."""
    return (path / MEMBERS).is_file()


def go_on_all(path: Path, how: Execution, console: Console | None = None) -> int:
    """Train what is not finished, and write what all come to; the exit status.

    Raises:
        UserError: a file is damaged, or the data have changed.
    """
    console = console or how.begin()
    members = read_members(path)
    with one_writer(path):
        remove_unfinished(path)
        for number, member in enumerate(members, 1):
            if RunDirectory(path / member.name).is_finished:
                continue
            console.print(f"{member.name}: training {number} of {len(members)}")
            _, status = go_on(path / member.name, how)
            if status:
                console.print(f"or with all of them\n  python -m gatgnn_jax.train --resume {path}")
                return status
        summary = write_all(path, members)
    properties = RunDirectory(path / members[0].name).config().properties
    console.print(closing_lines(summary, properties), highlight=False, soft_wrap=True)
    console.print(f"see {path / 'report.html'}", soft_wrap=True)
    return 0


def splits_of(prepared: Prepared, repeats: Repeats) -> list[dict[str, list[str]]]:
    """Ids of train, val and test of each fold, or of the only split.

    Fold k is tested, the next one validates, the others train.
    """
    if not repeats.folds:
        return [prepared.split_ids()]
    rows = np.sort(np.concatenate([*prepared.subsets.values()]))
    ids = prepared.dataset.ids[rows]
    groups: Sequence[Any] = ids
    if repeats.group_by == "formula":
        groups = [formula(cell) for cell in compositions(prepared.dataset, rows)]
    shares, count = [1.0] * repeats.folds, repeats.folds
    fold = deal_groups(groups, shares, prepared.config.train.seed)
    if len({*fold.tolist()}) < count:
        what = "formulas" if repeats.group_by == "formula" else "crystals"
        most = len({*groups})
        raise UserError(f"too few {what} for {count} folds: there are {most:,}")
    subset = [(k - fold) % count for k in range(count)]  # 0: the test, 1: the validation
    return [
        {
            "train": ids[own > 1].tolist(),
            "val": ids[own == 1].tolist(),
            "test": ids[own == 0].tolist(),
        }
        for own in subset
    ]


def _make_members(
    path: Path,
    request: NewRun,
    repeats: Repeats,
    splits: Sequence[dict[str, list[str]]],
    how: Execution,
) -> None:
    members = []
    for number, split in enumerate(splits, 1):
        fold = number if repeats.folds else 0
        file = path / (f"fold-{fold}.json" if fold else "split.json")
        write_text(file, json.dumps(split) + "\n")
        for seed in range(request.seed, request.seed + repeats.seeds):
            parts = [f"fold-{fold}"] if fold else []
            parts += [f"seed-{seed}"] if repeats.seeds > 1 else []
            member = Member("_".join(parts), fold, seed)
            own = replace(
                request,
                split=str(file.absolute()),
                seed=seed,
                train=replace(request.train, seed=seed),
            )
            create(own, path / member.name, how)
            members.append(member)
    content = {"members": [dataclasses.asdict(own) for own in members]}
    write_text(path / MEMBERS, to_json(dataclasses.asdict(repeats) | content))


def read_members(path: Path) -> list[Member]:
    """The trainings of a directory.

    Raises:
        UserError: the file is damaged.
    """
    content = RunDirectory(path).read_json(MEMBERS)
    try:
        return [from_dict(Member, own) for own in content["members"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / MEMBERS} cannot be read: {error}") from None


def write_all(path: Path, members: Sequence[Member]) -> dict[str, Any]:
    """Write predictions, summary and report of trainings that are finished; the summary."""
    finished = [read_finished(RunDirectory(path / own.name)) for own in members]
    tables = []
    for member, own in zip(members, finished, strict=True):
        table = own.predictions[own.predictions.subset == "test"].drop(columns="subset")
        table.insert(1, "fold", member.fold)
        table.insert(2, "seed", member.seed)
        tables.append(table if member.fold else table.drop(columns="fold"))
    table = pd.concat(tables, ignore_index=True)
    together = replace(finished[0], name=path.absolute().name, predictions=averaged(table))
    summary = summarized(members, finished, together)
    write_text(path / "predictions.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(path / "summary.json", json.dumps(summary, indent=1) + "\n")
    write_folds_page(path, together, summary)
    return summary


def averaged(table: pd.DataFrame) -> pd.DataFrame:
    """A row a crystal: the mean over the seeds of numbers, and the first of anything else."""
    how: dict[str, Any] = {
        name: "mean" if pd.api.types.is_float_dtype(table[name]) else "first"
        for name in table.columns.drop(["id", "seed"])
    }
    return table.groupby("id", sort=False).agg(how).reset_index().assign(subset="test")


def summarized(
    members: Sequence[Member], finished: Sequence[Finished], together: Finished
) -> dict[str, Any]:
    """`summary.json`: metrics of each training, mean and spread over them, and of all crystals."""
    every = [own.summary for own in finished]
    names = dict.fromkeys(  # a fold may lack one: of a single class there is no AUC
        name
        for own in every
        for name, value in own.items()
        if name.startswith(("test_", "val_")) and isinstance(value, int | float)
    )
    over = {}
    for name in names:
        known = [own[name] for own in every if isinstance(own.get(name), int | float)]
        spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
        over[name] = {"mean": float(np.mean(known)), "std": spread}
    return {
        "crystals": len(together.predictions),
        "trainings": [
            dataclasses.asdict(member) | {name: own.get(name) for name in names}
            for member, own in zip(members, every, strict=True)
        ],
        "over_trainings": over,
        "all_together": scores_of(together),
        "seconds": round(sum(own.get("seconds", 0) for own in every), 2),
    }


def scores_of(together: Finished) -> dict[str, float | None]:
    """Metrics of all test crystals at once; None for what is no number."""
    properties = together.config.properties
    predicted, target = (
        np.column_stack([of(p) for p in properties]) for of in (together.values, together.target)
    )
    scores = metrics(predicted, target, properties)
    return {name: None if np.isnan(value) else value for name, value in scores.items()}


def closing_lines(summary: dict[str, Any], properties: Sequence[Property]) -> str:
    """The error of each property: mean and spread over the trainings, and of all crystals."""
    lines = []
    for p in properties:
        ending = ending_of(p, properties)
        is_class = p.task == "classification"
        name, label = ("accuracy", "accuracy") if is_class else ("mae", "MAE")
        over = summary["over_trainings"].get(f"test_{name}{ending}")
        if over is None:  # there are no test crystals
            continue
        unit = "" if is_class or not p.trained_unit else f" {p.trained_unit}"
        spread = "" if over["std"] is None else f" ± {over['std']:.4f}"
        together = summary["all_together"][name + ending]
        lines.append(
            f"{p.name}: test {label} {over['mean']:.4f}{spread}{unit} over "
            f"{len(summary['trainings'])} trainings; all crystals together {together:.4f}{unit}"
        )
    return "\n".join(lines)
