"""`python -m benchmarks.matbench TASK FILE`: a task of Matbench v0.1, scored as its board does.

FILE is the `json.gz` that Matbench publishes. Each of the five official folds is trained by
`python -m gatgnn_jax.train` in a run directory of its own (`RUN_DIR/fold-0`, …): a tenth of the
fold's training rows is held out to choose the best epoch, and its test rows are predicted at the
end. Finished folds are not trained again, and one that was killed goes on.

`RUN_DIR/scores.json` has the scores. The record for the leaderboard, `RUN_DIR/results.json.gz`, is
written when all folds of the published file are done: plain JSON in spite of its name, since this
is how Matbench's `to_file` writes it and `from_file` reads it.
"""

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.matbench.progress import epochs_shown
from benchmarks.matbench.record import METRICS, FoldResult, about_us, read_fold, record, statistics
from benchmarks.matbench.tasks import FOLDS, TASKS, Task, official_folds, read_targets, split_ids
from benchmarks.paper.trainings import Place, Training, train_all
from data_prep.cache import open_dataset
from data_prep.errors import UserError
from data_prep.files import write_text
from gatgnn_jax.cli import run_command
from gatgnn_jax.presets import PRESETS, PresetName
from gatgnn_jax.runs.directory import to_json
from gatgnn_jax.train import TrainOptions, parse

console = Console(highlight=False, soft_wrap=True)

TaskName = Literal[
    "matbench_dielectric",
    "matbench_jdft2d",
    "matbench_log_gvrh",
    "matbench_log_kvrh",
    "matbench_mp_e_form",
    "matbench_mp_gap",
    "matbench_mp_is_metal",
    "matbench_perovskites",
    "matbench_phonons",
]


@dataclass(frozen=True)
class Options:
    """Train and score the official folds of a task of Matbench v0.1."""

    task: Annotated[TaskName, tyro.conf.Positional]
    """The task."""
    file: Annotated[Path, tyro.conf.Positional]
    """Its published file, TASK.json.gz."""
    out: Path | None = None
    """The record for the leaderboard. Default: results.json.gz in the run directory."""
    folds: tuple[int, ...] = tuple(range(FOLDS))
    """Which folds; a record needs all."""
    preset: PresetName = "best"
    """Settings of the training to start from."""
    epochs: int | None = None
    """Other than the preset's."""
    seed: int = 0
    """Of the training, and of the rows held out for validation."""
    options: str = ""
    """Further settings of `gatgnn_jax.train`, as --options='--ensemble 5 --neurons 32'."""
    limit: int | None = None
    """Use the first rows only, to try things; no record comes of it."""
    run_dir: Path | None = None
    """Where the folds' runs and the scores go. Default: runs/matbench/TASK."""
    jobs: int = 1
    """Folds at once, each on its share of the cores; 1 on a GPU."""

    @property
    def place(self) -> Path:
        """The run directory that is meant."""
        return self.run_dir or Path("runs/matbench") / self.task


class FoldRuns(Place):
    """The run directories of the folds."""

    def run(self, training: Training, seed: int) -> Path:
        """Called by the fold: everything else is the same in all of them."""
        return self.runs / training.method

    def _split(self, training: Training, data: Path) -> str:
        """A file of ids already, taken as it is."""
        return str(training.split)


def main(options: Options) -> int:
    """Train what is not trained yet, and write scores and record."""
    task = TASKS[options.task]
    if not options.folds or not set(options.folds) <= set(range(FOLDS)):
        raise UserError(f"--folds: there are the folds 0 to {FOLDS - 1}")
    if not options.file.is_file():
        raise UserError(f"{options.file} is not there: give the file that Matbench publishes")
    with options.file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    target = read_targets(options.file, task, options.limit)
    why_not = unofficial(options, task, len(target), sha256)
    if options.out is not None and why_not:
        raise UserError(f"--out: no record comes of this, as {why_not}")
    folds = official_folds(target)
    place = FoldRuns(options.file.parent, options.place)
    trainings = {fold: training_of(options, task, fold) for fold in sorted(set(options.folds))}
    read = checked_command(options, place, next(iter(trainings.values())))
    keep_settings(options, sha256)
    for fold in trainings:
        ids = split_ids(*folds[fold], target, options.seed)
        write_text(split_file(options, fold), json.dumps(ids) + "\n")
    tell_left_out(options, read)

    results: dict[int, FoldResult] = {}
    wanted = [(training, options.seed) for training in trainings.values()]
    runs = [place.run(training, options.seed) for training in trainings.values()]
    with epochs_shown(console, runs, epochs_of(options)):
        for training, seed in train_all(place, wanted, options.jobs):
            fold = next(number for number, own in trainings.items() if own == training)
            results[fold] = read_fold(place.run(training, seed), task, target, *folds[fold])
            first, value = next(iter(results[fold].scores.items()))
            console.print(f"fold {fold}: {first} {value:.4f}")
    results = dict(sorted(results.items()))
    report(options, task, results, why_not)
    return 0


def unofficial(options: Options, task: Task, rows: int, sha256: str) -> str:
    """Why the leaderboard would not take what these options give, or nothing."""
    if options.limit is not None and options.limit < task.rows:
        return "--limit leaves rows out"
    if set(options.folds) != set(range(FOLDS)):
        return "--folds leaves folds out"
    if rows != task.rows:
        return f"{options.file} has {rows:,} rows and the task has {task.rows:,}"
    if sha256 != task.sha256:
        return f"{options.file} is not the published file (its SHA-256 is another)"
    return ""


def keep_settings(options: Options, sha256: str) -> None:
    """Write down what the folds are trained with, or check that it is what it was.

    Raises:
        UserError: the run directory is of other settings or another file.
    """
    settings = training_settings(options) | {"sha256": sha256, "limit": options.limit}
    path = options.place / "settings.json"
    options.place.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_text(path, to_json(settings))
        return
    earlier = json.loads(path.read_text())
    names = {"sha256": "file"}
    differing = [names.get(k, k) for k in settings if earlier.get(k) != settings[k]]
    if differing:
        raise UserError(
            f"{options.place} was begun with other settings ({', '.join(differing)}): choose "
            "another --run-dir"
        )


def training_settings(options: Options) -> dict[str, Any]:
    """What the folds are trained with."""
    return {
        "task": options.task,
        "preset": options.preset,
        "epochs": epochs_of(options),
        "seed": options.seed,
        "options": options.options,
    }


def epochs_of(options: Options) -> int:
    """The epochs asked for, or the preset's."""
    return PRESETS[options.preset].train.epochs if options.epochs is None else options.epochs


def split_file(options: Options, fold: int) -> Path:
    """Where the ids of a fold's rows stand."""
    return options.place / f"fold-{fold}_split.json"


def training_of(options: Options, task: Task, fold: int) -> Training:
    """A fold, as a training."""
    limit = () if options.limit is None else (f"--limit={options.limit}",)
    return Training(
        task.target,
        f"fold-{fold}",
        options.file.name,
        str(split_file(options, fold).absolute()),
        options.preset,
        epochs_of(options),
        (*limit, *shlex.split(options.options)),
    )


def checked_command(options: Options, place: FoldRuns, training: Training) -> TrainOptions:
    """The command of a fold, read as the training will read it.

    Raises:
        UserError: `--options` with something else than settings of graphs, network and training.
    """
    read = parse(place.command(training, options.seed))
    meant = {
        "data": place.data_dir / training.data,
        "property": training.target,
        "split": training.split,
        "preset": options.preset,
        "limit": options.limit,
        "run_dir": place.run(training, options.seed),
        "resume": None,
    }
    changed = [name for name, value in meant.items() if getattr(read, name) != value]
    changed += ["seed"] if read.train.seed != options.seed else []
    changed += ["epochs"] if read.train.epochs != epochs_of(options) else []
    if changed:
        raise UserError(f"--options: --{changed[0].replace('_', '-')} is not to be set there")
    return read


def tell_left_out(options: Options, read: TrainOptions) -> None:
    """Make the graphs before the first fold needs them, and say which rows have none."""
    dataset, skipped = open_dataset(
        options.file, read.graph, workers=read.workers, quiet=read.quiet, limit=options.limit
    )
    if skipped:
        first, rows = skipped[0], len(dataset) + len(skipped)
        console.print(
            f"no graph for {len(skipped):,} of {rows:,} rows (row {first.id}: {first.reason}): "
            "they are predicted to have the mean of the training targets"
        )


def report(options: Options, task: Task, results: Mapping[int, FoldResult], why_not: str) -> None:
    """Write the scores, and the record if there is to be one, and show them."""
    over_folds = statistics(list(results.values()))
    console.print(scores_table(task, results, over_folds))
    first, unit = METRICS[task.classification][0], "" if task.classification else task.unit
    mean, std = over_folds[first]["mean"], over_folds[first]["std"]
    console.print(f"{task.name}: {first} {mean:.4f} ± {std:.4f} {unit}".rstrip())
    content = {
        "settings": training_settings(options),
        "no_record_as": why_not or None,
        "folds": {f"fold_{fold}": result.scores for fold, result in results.items()},
        "statistics": over_folds,
        "predicted_by_training_mean": sum(result.fallbacks for result in results.values()),
    }
    path = options.place / "scores.json"
    write_text(path, to_json(content))
    console.print(f"see {path}")
    if why_not:
        console.print(f"not an official result, and no record of it: {why_not}")
        return
    out = options.out or options.place / "results.json.gz"
    about = about_us(training_settings(options))
    made = record(task, list(results.values()), about, datetime.now(UTC))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, json.dumps(made, allow_nan=False))
    console.print(f"the record for the leaderboard: {out}")


def scores_table(
    task: Task, results: Mapping[int, FoldResult], over_folds: Mapping[str, Mapping[str, float]]
) -> Table:
    """A row of scores for each fold, then their mean and standard deviation."""
    names = METRICS[task.classification]
    table = Table("fold", "rows", "no graph", *names, title=task.name)
    for column in table.columns[1:]:
        column.justify = "right"
    for fold, result in results.items():
        values = [f"{result.scores[name]:.4f}" for name in names]
        table.add_row(str(fold), f"{len(result.predictions):,}", str(result.fallbacks), *values)
    table.add_section()
    for kind in ("mean", "std"):
        table.add_row(kind, "", "", *(f"{over_folds[name][kind]:.4f}" for name in names))
    return table


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Options, prog="python -m benchmarks.matbench"))))
