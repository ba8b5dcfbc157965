"""A training from what is asked for to the report, as `train` and `fit` run it."""

from dataclasses import dataclass, replace
from pathlib import Path

from flax import nnx
from rich.console import Console

from data_prep.build import skipped_table
from data_prep.config import GraphConfig
from data_prep.errors import UserError, number_of
from data_prep.files import remove_unfinished
from data_prep.progress import plain_console
from data_prep.workers import Workers
from gatgnn_jax.choices import Device, Streaming
from gatgnn_jax.config import ModelConfig, members_of
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.devices.mesh import data_mesh, meet_on_devices
from gatgnn_jax.devices.processes import (
    advise,
    agree,
    first_then_others,
    held_by_first,
    is_first,
)
from gatgnn_jax.models.networks import new_network
from gatgnn_jax.pages.report import write_missing_pages, write_pages
from gatgnn_jax.runs import own_code
from gatgnn_jax.runs.directory import RunDirectory, new_run, next_run_directory
from gatgnn_jax.runs.one_writer import one_writer
from gatgnn_jax.training.interruption import Interrupted
from gatgnn_jax.training.loggers import LoggerName, check_loggers, logging_to
from gatgnn_jax.training.loop import Trainer
from gatgnn_jax.training.prepare import NewRun, Prepared, Request, ResumedRun, prepare
from gatgnn_jax.training.results import write_results
from gatgnn_jax.training.terminal import TrainingReporter, closing_lines, headline_metric


@dataclass(frozen=True)
class Execution:
    """How a training is run: what changes none of its results.

    Attributes:
        device: what to run on.
        stream: whether crystals are read from disk as they are needed.
        log: where else the metrics go.
        workers: processes that prepare the data; all cores by default.
        quiet: no progress, errors only.
        trust_code: run the classes that came with a run, wherever it is from.
        pages: draw pictures and write a report at the end.
    """

    device: Device = "auto"
    stream: Streaming = "auto"
    log: tuple[LoggerName, ...] = ()
    workers: Workers = None
    quiet: bool = False
    trust_code: bool = False
    pages: bool = True

    def begin(self) -> Console:
        """Choose the device and say where to print to.

        Raises:
            UserError: there is no such device, or a logger is not installed.
        """
        check_loggers(self.log)
        use_device(self.device)
        meet_on_devices(data_mesh())
        return plain_console(quiet=self.quiet or not is_first())

    def prepare(self, request: Request) -> Prepared:
        """Data and settings; of several processes the first prepares what the others find kept."""
        quiet = self.quiet or not is_first()
        return first_then_others(lambda: prepare(request, workers=self.workers, quiet=quiet))


def start(request: NewRun, run_dir: Path | None, how: Execution) -> tuple[RunDirectory, int]:
    """Train a new run, in `runs/PROPERTY-001`, … unless a place is given; run and exit status.

    Raises:
        UserError: data, settings or a place that cannot be used.
    """
    console = how.begin()
    prepared, sources = _prepared(request, how)
    trainer = _trainer(prepared, how.stream)
    if prepared.config.train.init_from is not None:
        trainer.start_from(Path(prepared.config.train.init_from))
    path = run_dir or next_run_directory(Path("runs"), prepared.properties[0].name)
    run = RunDirectory(Path(agree(str(path))))
    with held_by_first(new_run(run.path, prepared.config)):
        if is_first():
            own_code.keep(run.path, sources)
        return run, _train(run, prepared, trainer, console, how)


def create(request: NewRun, path: Path, how: Execution) -> RunDirectory:
    """A new run for `go_on` to train: its settings, and nothing else yet.

    Raises:
        UserError: data, settings or a place that cannot be used.
    """
    prepared, sources = _prepared(request, how)
    run = RunDirectory.create(path, prepared.config)
    own_code.keep(run.path, sources)
    return run


def _prepared(request: NewRun, how: Execution) -> tuple[Prepared, dict[str, str]]:
    """Data and settings of a new run, and the source of the user's own classes."""
    models, sources = own_code.adopt((request.model, *request.others))
    request = replace(request, model=models[0], others=tuple(models[1:]))
    if request.others:  # it names files by their paths
        counts = members_of(request.train.ensemble).values()
        named = ",".join(f"{own.model}:{n}" for own, n in zip(models, counts, strict=True))
        request = replace(request, train=replace(request.train, ensemble=named))
    for own in models:
        check_network(own, request.graph)
    return how.prepare(request), sources


def go_on(path: Path, how: Execution) -> tuple[RunDirectory, int]:
    """Go on with an interrupted run; of a finished one, write the pages that are missing.

    Raises:
        UserError: there is no such run, or its data have changed.
    """
    console = how.begin()
    run = RunDirectory.open(path, how.trust_code)
    config = run.config()
    if run.came_trained:
        raise UserError(f"{run.path} was not trained here, so there is nothing to go on with")
    with held_by_first(one_writer(run.path)):
        if is_first():
            remove_unfinished(run.path)
        if agree(run.is_finished):
            console.print(f"{run.path} is finished already; see {run.path / 'summary.json'}")
            if is_first():
                write_missing_pages(run, console)
            return run, 0
        run.restore_code(config)
        prepared = how.prepare(ResumedRun.of(config))
        trainer = _trainer(prepared, how.stream)
        if not trainer.restore(run) and config.train.init_from is not None:
            trainer.start_from(Path(config.train.init_from))
        return run, _train(run, prepared, trainer, console, how)


def check_network(model: ModelConfig, graph: GraphConfig) -> None:
    """Make sure that there is such a network, before the data are looked at.

    Raises:
        UserError: there is none of that name, or it does not have what the settings ask for.
    """
    try:
        nnx.eval_shape(lambda: new_network(model, graph, 1, rngs=nnx.Rngs(0)))
    except ValueError as error:
        raise UserError(str(error)) from None


def _trainer(prepared: Prepared, streaming: Streaming) -> Trainer:
    return Trainer(
        prepared.config,
        prepared.dataset,
        prepared.target,
        prepared.subsets,
        streaming=streaming,
        weight=prepared.weight,
    )


def _train(
    run: RunDirectory,
    prepared: Prepared,
    trainer: Trainer,
    console: Console,
    how: Execution,
) -> int:
    """Train to the end and write all results; the exit status."""
    config = prepared.config
    advise(f"python -m gatgnn_jax.train --resume {run.path}")
    if is_first():
        run.write_text("skipped.csv", skipped_table(prepared.skipped))
        run.write_json("split.json", prepared.split_ids())
    sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in prepared.subsets.items())
    names = ", ".join(p.name for p in config.properties)
    console.print(f"{names}: {sizes} crystals; results in {run.path}")
    for note in prepared.notes:
        console.print(note)
    if prepared.skipped:
        report = run.path / "skipped.csv"
        console.print(f"{number_of(len(prepared.skipped), 'crystal')} left out: see {report}")
    headline = headline_metric(config.properties)
    reporter = TrainingReporter(console, config.train.epochs, trainer.progress.rows, headline)
    try:
        with reporter, logging_to(how.log if is_first() else (), run, reporter) as all_of_them:
            trainer.fit(run, all_of_them)
    except Interrupted as stopped:
        console.print(
            f"stopped after epoch {trainer.progress.epoch}; go on with\n"
            f"  python -m gatgnn_jax.train --resume {run.path}"
        )
        return 128 + stopped.number
    summary = write_results(run, trainer, prepared.dataset, len(prepared.skipped))
    if is_first() and how.pages:
        write_pages(run, prepared.dataset, console)
    start = config.train.init_from
    console.print(closing_lines(summary, config.properties, run.path, start))
    return 0
