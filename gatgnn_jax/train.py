"""`python -m gatgnn_jax.train`: crystals → a trained, evaluated model in a run directory."""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from data_prep.build import skipped_table
from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.progress import plain_console
from gatgnn_jax.batches.feeds import Streaming
from gatgnn_jax.cli import Device, run_command, use_device
from gatgnn_jax.config import PRESETS, ModelConfig, PresetName, TrainConfig, graph_for
from gatgnn_jax.runs.directory import RunDirectory, new_run, next_run_directory
from gatgnn_jax.runs.one_writer import one_writer
from gatgnn_jax.training.loggers import LoggerName, check_loggers, logging_to
from gatgnn_jax.training.loop import Interrupted, Trainer
from gatgnn_jax.training.prepare import NewRun, Prepared, ResumedRun, prepare
from gatgnn_jax.training.results import write_missing_pages, write_pages, write_results
from gatgnn_jax.training.terminal import TrainingReporter, closing_lines, headline_metric


@dataclass(frozen=True)
class TrainOptions:
    """Train GATGNN on crystals; without arguments: bulk moduli of the bundled crystals."""

    data: Path | None = None
    """A dataset directory, a folder with id_prop.csv, JSON lines, a pymatgen/monty JSON or a
    Matbench json.gz. Default: the 1,181 bundled elastic crystals."""
    property: str | None = None
    """What to predict: one or several (comma-separated) columns of the data. Default: its bulk
    modulus, or else its only column."""
    split: str | None = None
    """Ratios of train, val and test as 60:20:20 (the default, unless the data brings a split; a
    last ratio of 0 leaves out the test), or a JSON file with the ids of each."""
    preset: PresetName = "paper-cgcnn"
    """Settings to start from; every single one can be changed below."""
    limit: int | None = None
    """Use the first crystals of the data only."""
    run_dir: Path | None = None
    """Where to put the results. Default: runs/PROPERTY-001, -002, …"""
    resume: Path | None = None
    """Go on with an interrupted run, with the settings it was started with."""
    device: Device = "auto"
    """What to run on."""
    stream: Streaming = "auto"
    """Read crystals from disk as they are needed, instead of keeping all on the device; `auto` does
    so with datasets that would take much of its memory."""
    log: tuple[LoggerName, ...] = ()
    """Where else to send each epoch's metrics: tensorboard (to RUN/tensorboard), wandb."""
    workers: int | None = None
    """Processes that prepare the data; all cores by default."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show errors only."""
    graph: Annotated[GraphConfig, tyro.conf.arg(name="")] = PRESETS["paper-cgcnn"].graph
    model: Annotated[ModelConfig, tyro.conf.arg(name="")] = PRESETS["paper-cgcnn"].model
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = PRESETS["paper-cgcnn"].train


def parse(arguments: list[str]) -> TrainOptions:
    """Options from the command line; the preset's settings are the defaults of the others."""
    # A name that does not exist is refused by the parser below.
    name = _last_value(arguments, "--preset")
    preset = next((p for known, p in PRESETS.items() if known == name), PRESETS["paper-cgcnn"])
    model = preset.sizes_for(_last_value(arguments, "--model") or preset.model.model)
    default = TrainOptions(graph=preset.graph, model=model, train=preset.train)
    try:
        return tyro.cli(
            TrainOptions,
            prog="python -m gatgnn_jax.train",
            args=arguments,
            default=default,
            # Settings can be switched either way, whatever the preset says.
            config=(tyro.conf.OmitArgPrefixes,),
        )
    except ValueError as error:  # the settings check themselves
        raise UserError(str(error)) from None


def _last_value(arguments: list[str], option: str) -> str | None:
    values = [a.partition("=")[2] for a in arguments if a.startswith(option + "=")]
    values += [b for a, b in pairwise(arguments) if a == option]
    return values[-1] if values else None


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    return run_training(parse(arguments))[1]


def asked_for(options: TrainOptions) -> NewRun:
    """The training that the options describe."""
    return NewRun(
        graph=graph_for(options.model, options.graph),
        source=options.data,
        limit=options.limit,
        split=options.split,
        seed=options.train.seed,
        model=options.model,
        train=options.train,
        property=options.property,
    )


def run_training(options: TrainOptions) -> tuple[RunDirectory, int]:
    """Train as the options say, from the data to the results; the run and the exit status."""
    check_loggers(options.log)
    use_device(options.device)
    console = plain_console(quiet=options.quiet)
    if options.resume is not None:
        return go_on(options, options.resume, console)
    prepared = prepare(asked_for(options), workers=options.workers, quiet=options.quiet)
    trainer = make_trainer(prepared, options.stream)
    if prepared.config.train.init_from is not None:
        trainer.start_from(Path(prepared.config.train.init_from))
    path = options.run_dir or next_run_directory(Path("runs"), prepared.properties[0].name)
    with new_run(path, prepared.config) as run:
        return run, train(run, prepared, trainer, console, options.log)


def go_on(options: TrainOptions, path: Path, console: Console) -> tuple[RunDirectory, int]:
    """Go on with an interrupted run; of a finished one, write the pages that are missing."""
    _refuse_other_settings(options)
    run = RunDirectory.open(path)
    config = run.config()
    if (run.path / "checkpoints" / "best").exists() and not (run.path / "split.json").exists():
        raise UserError(f"{run.path} was not trained here, so there is nothing to go on with")
    with one_writer(run.path):
        if (run.path / "summary.json").exists():
            console.print(f"{run.path} is finished already; see {run.path / 'summary.json'}")
            write_missing_pages(run, console)
            return run, 0
        request = ResumedRun.of(config)
        prepared = prepare(request, workers=options.workers, quiet=options.quiet)
        trainer = make_trainer(prepared, options.stream)
        if not trainer.restore(run) and config.train.init_from is not None:
            trainer.start_from(Path(config.train.init_from))
        return run, train(run, prepared, trainer, console, options.log)


def make_trainer(prepared: Prepared, streaming: Streaming) -> Trainer:
    """A trainer at its beginning.

    Raises:
        UserError: a part to freeze that the network does not have.
    """
    return Trainer(
        prepared.config, prepared.dataset, prepared.target, prepared.subsets, streaming=streaming
    )


def train(
    run: RunDirectory,
    prepared: Prepared,
    trainer: Trainer,
    console: Console,
    loggers: Sequence[LoggerName] = (),
) -> int:
    """Train to the end and write all results; the exit status."""
    config = prepared.config
    run.write_text("skipped.csv", skipped_table(prepared.skipped))
    run.write_json("split.json", prepared.split_ids())
    sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in prepared.subsets.items())
    names = ", ".join(p.name for p in config.properties)
    console.print(f"{names}: {sizes} crystals; results in {run.path}", highlight=False)
    for note in prepared.notes:
        console.print(note, highlight=False, soft_wrap=True)
    if prepared.skipped:
        report = run.path / "skipped.csv"
        left_out = f"{len(prepared.skipped):,} crystals left out: see {report}"
        console.print(left_out, highlight=False, soft_wrap=True)
    headline = headline_metric(config.properties)
    reporter = TrainingReporter(console, config.train.epochs, trainer.progress.epoch, headline)
    try:
        with reporter, logging_to(loggers, run, reporter) as all_of_them:
            trainer.fit(run, all_of_them)
    except Interrupted as stopped:
        console.print(
            f"stopped after epoch {trainer.progress.epoch}; go on with\n"
            f"  python -m gatgnn_jax.train --resume {run.path}",
            highlight=False,
            soft_wrap=True,
        )
        return 128 + stopped.number
    summary = write_results(run, trainer, prepared.dataset.ids, len(prepared.skipped))
    write_pages(run, prepared.dataset, console)
    console.print(closing_lines(summary, config.properties, run.path), highlight=False)
    return 0


def _refuse_other_settings(options: TrainOptions) -> None:
    """A resumed run keeps its settings; say so instead of ignoring what was asked for."""
    preset = PRESETS[options.preset]
    default = TrainOptions(graph=preset.graph, model=preset.model, train=preset.train)
    allowed = {"resume", "device", "stream", "log", "workers", "quiet"}
    changed = [
        f.name.replace("_", "-")
        for f in dataclasses.fields(options)
        if f.name not in allowed and getattr(options, f.name) != getattr(default, f.name)
    ]
    if changed or options.preset != "paper-cgcnn":
        raise UserError(
            f"--resume goes on with the settings in {options.resume}/config.json: drop the other "
            "options, or start a new run"
        )


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
