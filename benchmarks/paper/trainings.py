"""Trainings of the paper: what each is, and running several at once as separate commands."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from data_prep.errors import UserError
from data_prep.files import replacing, write_text
from gatgnn_jax.batches.splits import SUBSETS
from gatgnn_jax.jobs.folds import is_several
from gatgnn_jax.runs.directory import RunDirectory

Split = dict[str, list[str]]


@dataclass(frozen=True)
class Sample:
    """Some of a file's crystals, drawn at random: a stated share of what the paper trains on.

    Attributes:
        train, val, test: how many of each.
        of: a file's list (`lists` of its rows) or None for every row.
    """

    train: int
    val: int
    test: int
    of: str | None = None


@dataclass(frozen=True)
class Training:
    """A figure of the paper, trained: one `python -m gatgnn_jax.train` for each seed.

    Attributes:
        target: the property that is predicted, or several (comma-separated).
        method: its name in the paper's table.
        data: the file of crystals, or several (joined by `+`).
        split: a file of ids beside the data, ratios, a sample, or None for the data's own split.
        preset: settings to start from.
        epochs: passes over the training crystals.
        options: further settings of the command.
        paper_mae: the paper's figure.
        paper_size: training crystals in the paper.
        held_out: ids kept out of training and validation.
        train_size: use that many of the training crystals, drawn at random.
        init_from: a training whose weights this one starts from (those of its seed 0).
        note: what a reader of the table must know.
    """

    target: str
    method: str
    data: str
    split: str | Sample | None
    preset: str
    epochs: int
    options: tuple[str, ...] = ()
    paper_mae: float | None = None
    paper_size: int | None = None
    held_out: tuple[str, ...] = ()
    train_size: int | None = None
    init_from: "Training | None" = None
    note: str = ""

    @property
    def name(self) -> str:
        """A file name: different for any two trainings."""
        method = re.sub(r"[^A-Za-z0-9]+", "-", self.method)
        parts = [self.target.replace(",", "-"), method, self.preset, f"{self.epochs}-epochs"]
        if isinstance(self.split, Sample):
            parts.append(f"{self.split.train}-crystals")
        if self.train_size is not None:
            parts.append(f"{self.train_size}-crystals")
        return "_".join(parts)


@dataclass(frozen=True)
class Place:
    """Where trainings find their data and leave their runs."""

    data_dir: Path
    runs: Path

    def run(self, training: Training, seed: int) -> Path:
        """The run directory of one seed."""
        return self.run_named(training.name, seed)

    def run_named(self, name: str, seed: int) -> Path:
        """The same, by the training's name."""
        return self.runs / f"{name}_seed-{seed}"

    def is_finished(self, training: Training, seed: int) -> bool:
        """Whether that run is there, whole."""
        return RunDirectory(self.run(training, seed)).is_finished

    def command(self, training: Training, seed: int) -> list[str]:
        """The arguments of `python -m gatgnn_jax.train`.

        Raises:
            UserError: the data is not there.
        """
        data = self._data(training)
        arguments = [f"--data={data}", f"--property={training.target}"]
        if training.split is not None:
            arguments.append(f"--split={self._split(training, data)}")
        arguments += [
            f"--preset={training.preset}",
            f"--epochs={training.epochs}",
            f"--seed={seed}",
        ]
        if training.init_from is not None:
            arguments.append(f"--init-from={self.run(training.init_from, 0)}")
        return [*arguments, *training.options, f"--run-dir={self.run(training, seed)}"]

    def _data(self, training: Training) -> Path:
        """The file of crystals; several are joined beside the runs."""
        files = [self.data_dir / name for name in training.data.split("+")]
        for file in files:
            if not file.exists():
                raise UserError(
                    f"{file} is not there: give the folder that holds it with --data-dir (the "
                    "paper's crystals are no part of this repository)"
                )
        if len(files) == 1:
            return files[0]
        joined = self.runs / training.data
        if not joined.exists():
            self.runs.mkdir(parents=True, exist_ok=True)
            with replacing(joined) as out:
                for file in files:
                    with gzip.open(file) as lines:
                        shutil.copyfileobj(lines, out)
        return joined

    def _split(self, training: Training, data: Path) -> str:
        """Ratios, or a file of ids; one that is drawn is written beside the runs."""
        split = training.split
        if isinstance(split, str) and ":" in split:
            return split
        if isinstance(split, Sample):
            ids = sample(data, split)
        else:
            ids = json.loads((self.data_dir / str(split)).read_text())
            if not training.held_out and training.train_size is None:
                return str(self.data_dir / str(split))
        held_out = set(training.held_out)
        for name in ("train", "val"):
            ids[name] = [i for i in ids[name] if i not in held_out]
        if training.train_size is not None:
            shuffled = np.random.default_rng(0).permutation(ids["train"]).tolist()
            ids["train"] = sorted(shuffled[: training.train_size])
        self.runs.mkdir(parents=True, exist_ok=True)
        path = self.runs / f"{training.name}_split.json"
        write_text(path, json.dumps(ids) + "\n")
        return str(path)


def sample(data: Path, wanted: Sample) -> Split:
    """Draw crystals: from the file's own split if its rows carry one, else from 60:20:20."""
    own: dict[str, list[str]] = {name: [] for name in SUBSETS}
    ids: list[str] = []
    with gzip.open(data, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            if wanted.of is not None and wanted.of not in row["lists"]:
                continue
            ids.append(row["id"])
            if "split" in row:
                own[row["split"]].append(row["id"])
    rng = np.random.default_rng(0)
    if not any(own.values()):
        shuffled = rng.permutation(ids)
        ends = np.rint(np.array([0.6, 0.8]) * len(ids)).astype(int)
        own = {
            name: part.tolist()
            for name, part in zip(SUBSETS, np.split(shuffled, ends), strict=True)
        }
    return {
        name: sorted(rng.permutation(own[name])[: getattr(wanted, name)].tolist())
        for name in SUBSETS
    }


def train_all(
    place: Place, wanted: Iterable[tuple[Training, int]], jobs: int
) -> Iterator[tuple[Training, int]]:
    """Train what is wanted, `jobs` at a time, and yield each (training, seed) as it finishes.

    Each job has its own cores: on two cores, two trainings beside each other get half as much again
    done as one after the other. A run that was interrupted goes on; one that another starts from is
    trained first.

    Raises:
        UserError: a training failed; the others are finished first.
    """
    wanted = list(wanted)
    first = dict.fromkeys((t.init_from, 0) for t, _ in wanted if t.init_from is not None)
    if missing := [(t, seed) for t, seed in first if not place.is_finished(t, seed)]:
        for _ in train_all(place, missing, jobs):
            pass
    cores: SimpleQueue[list[int]] = SimpleQueue()
    own_cores = _own_cores()
    jobs = max(min(jobs, len(own_cores)), 1)  # a core each at least
    for share in np.array_split(own_cores, jobs):
        cores.put(share.tolist())

    def work(training: Training, seed: int) -> None:
        if not place.is_finished(training, seed):
            share = cores.get()
            try:
                _train(place, training, seed, share)
            finally:
                cores.put(share)

    failures = []
    with ThreadPoolExecutor(jobs) as pool:
        tasks = {pool.submit(work, t, seed): (t, seed) for t, seed in wanted}
        for task in as_completed(tasks):
            if isinstance(error := task.exception(), UserError):
                failures.append(str(error))
            elif error is not None:
                raise error
            else:
                yield tasks[task]
    if failures:
        raise UserError("\n".join(dict.fromkeys(failures)))  # one reason may stop them all


def _own_cores() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _train(place: Place, training: Training, seed: int, cores: Sequence[int]) -> None:
    run = place.run(training, seed)
    if (run / "config.json").exists() or is_several(run):
        arguments = [f"--resume={run}"]
    else:
        arguments = place.command(training, seed)
    command = [sys.executable, "-m", "gatgnn_jax.train", "--quiet", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if hasattr(os, "sched_setaffinity"):  # threads started later inherit it
        os.sched_setaffinity(process.pid, cores)
    _, errors = process.communicate()
    if process.returncode != 0:
        last = (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        raise UserError(f"{training.name}, seed {seed}: {last}")
