"""What `tune` does: trials in run directories, told to Optuna, and what it found as a file."""

import dataclasses
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from data_prep.errors import UserError
from data_prep.files import remove_unfinished, write_text
from gatgnn_jax.jobs.ranges import Range, read_ranges, written
from gatgnn_jax.jobs.train_options import (
    EXECUTION,
    TrainOptions,
    asked_for,
    data_words,
    execution_of,
)
from gatgnn_jax.pipeline import Execution, go_on, start
from gatgnn_jax.presets import Preset
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.one_writer import one_writer

if TYPE_CHECKING:
    import optuna

    from gatgnn_jax.tune import TuneOptions


def tune(options: "TuneOptions", base: TrainOptions) -> int:
    """Search as `options` say, in trainings as `base` says; the exit status."""
    if base.resume is not None or base.run_dir is not None or base.folds or base.seeds > 1:
        raise UserError("tune makes the runs itself: leave out --resume, --run-dir and the like")
    if options.trials < 1:
        raise UserError(f"--trials is {options.trials}: give 1 or more")
    if base.distributed is not None or base.print_config:
        raise UserError("tune has no --distributed and no --print-config: leave them out")
    preset = Preset(base.graph, base.model, base.train)
    ranges = read_ranges(options.search, preset)
    how = execution_of(base, pages=False)
    console = how.begin()
    how.prepare(asked_for(base))  # what is wrong with the data shows at once
    options.out.mkdir(parents=True, exist_ok=True)
    with one_writer(options.out), opened(options.out, base, ranges) as study:
        remove_unfinished(options.out)
        while (trial := next_trial(study, options.trials, ranges, base.train.seed)) is not None:
            named = " ".join(f"{name} {written(value)}" for name, value in trial.params.items())
            console.print(f"trial {trial.number}: {named}", soft_wrap=True)
            try:
                run, status = trained(run_of(options.out, trial.number).path, base, trial, how)
            except UserError as error:  # a rate too high, say: the others go on
                console.print(f"trial {trial.number} failed: {error}", soft_wrap=True)
                study.tell(trial.number, state=_state("FAIL"))
                continue
            if status:
                console.print("the same command goes on with the search")
                return status
            study.tell(trial.number, validation_score(run))
            write_results(study, options.out)
        if not study.get_trials(states=[_state("COMPLETE")]):
            raise UserError(f"none of {len(study.trials)} trials came to its end: see above")
        write_results(study, options.out)
        best, trials = study.best_trial, len(study.trials)
    command = ["gatgnn-jax", "train", *data_words(base), "--config", str(options.out / "best.json")]
    console.print(
        f"best validation score {best.value:.4f} of {trials} trials, in trial "
        f"{best.number}; train with\n  {shlex.join(command)}",
        soft_wrap=True,
    )
    return 0


@contextmanager
def opened(folder: Path, base: TrainOptions, ranges: dict[str, Range]) -> Iterator["optuna.Study"]:
    """The search in a folder, begun or new.

    Raises:
        UserError: Optuna is not installed, or the search there is another one.
    """
    try:
        import optuna
    except ImportError:
        raise UserError('tune needs Optuna: pip install "gatgnn_jax[tune]"') from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    asked = dataclasses.asdict(base) | {"search": {k: str(v) for k, v in ranges.items()}}
    for name in EXECUTION:
        asked.pop(name)
    text = json.dumps(asked, default=str, sort_keys=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / 'study.db').absolute()}")
    try:
        study = optuna.create_study(
            storage=storage, study_name="tune", direction="minimize", load_if_exists=True
        )
        if study.user_attrs.setdefault("asked", text) != text:
            raise UserError(f"{folder} has a search with other settings: choose another --out")
        study.set_user_attr("asked", text)
        yield study
    finally:  # else Python complains of open databases, from 3.13 on
        storage.remove_session()
        storage.engine.dispose()


def next_trial(study: "optuna.Study", count: int, ranges: dict[str, Range], seed: int) -> Any:
    """The trial that a kill interrupted, or else a new one; None if there are enough."""
    import optuna

    if running := study.get_trials(states=[_state("RUNNING")]):
        return running[0]
    if len(study.trials) >= count:
        return None
    # Seeded by the trial, so that a search that was killed goes on as it would have.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    trial = study.ask({name: own.distribution() for name, own in ranges.items()})
    return study.trials[trial.number]


def trained(path: Path, base: TrainOptions, trial: Any, how: Execution) -> tuple[RunDirectory, int]:
    """Train a trial, or go on with it; its run and exit status.

    Raises:
        UserError: it cannot be trained with these settings.
    """
    if (path / "config.json").exists():
        return go_on(path, how)
    chosen = settings_of(base, trial.params)
    request = asked_for(replace(base, graph=chosen.graph, model=chosen.model, train=chosen.train))
    return start(request, path, how)


def settings_of(base: TrainOptions, params: dict[str, Any]) -> Preset:
    """The settings of a trial.

    Raises:
        UserError: they cannot go together.
    """
    try:
        return Preset(base.graph, base.model, base.train).changed(params)
    except ValueError as error:
        raise UserError(str(error)) from None


def validation_score(run: RunDirectory) -> float:
    """What chose the best epoch of a run: of a single regression its validation MAE."""
    return float(pd.read_csv(run.path / "metrics.csv").val_score.min())


def run_of(folder: Path, number: int) -> RunDirectory:
    """The run of a trial."""
    return RunDirectory(folder / f"trial-{number:03d}")


def write_results(study: "optuna.Study", folder: Path) -> None:
    """Write the table of trials and the best settings."""
    rows = [
        {"trial": own.number, "val_score": own.value, "state": own.state.name.lower()} | own.params
        for own in study.trials
    ]
    write_text(folder / "trials.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    best = run_of(folder, study.best_trial.number).config()
    parts = {name: dataclasses.asdict(getattr(best, name)) for name in ("graph", "model", "train")}
    write_text(folder / "best.json", json.dumps(parts, indent=1) + "\n")


def _state(name: str) -> Any:
    import optuna

    return optuna.trial.TrialState[name]
