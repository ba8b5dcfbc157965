"""`python -m gatgnn_jax.train`: crystals → a trained, evaluated model in a run directory."""

import dataclasses
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.properties import Task
from gatgnn_jax.batches.feeds import Streaming
from gatgnn_jax.batches.processes import joined
from gatgnn_jax.cli import Device, run_command
from gatgnn_jax.config import PRESETS, ModelConfig, PresetName, TrainConfig
from gatgnn_jax.folds import GroupBy, Repeats, go_on_all, is_several, start_all
from gatgnn_jax.pipeline import Execution, go_on, start
from gatgnn_jax.training.data import ClassWeight
from gatgnn_jax.training.loggers import LoggerName
from gatgnn_jax.training.prepare import NewRun


@dataclass(frozen=True)
class TrainOptions:
    """Train GATGNN on crystals; without arguments: bulk moduli of the bundled crystals."""

    data: Path | None = None
    """A dataset directory, a folder with id_prop.csv, JSON lines, a pymatgen/monty JSON or a
    Matbench json.gz. Default: the 1,181 bundled elastic crystals."""
    property: str | None = None
    """What to predict: one or several (comma-separated) columns of the data. Default: its bulk
    modulus, or else its only column."""
    task: Task | None = None
    """Whether values or classes are predicted. Default: classes of a column of words and of
    is_metal, else values. Classes are words or whole numbers, two or more."""
    unit: str | None = None
    """The unit of the property's values, as GPa."""
    transform: Literal["none", "log10"] | None = None
    """What is learned instead of the values: their logarithm (log10). Default: that of moduli."""
    weight: str | None = None
    """A column with weights of the crystals, by which their losses count in training."""
    class_weight: ClassWeight = "balanced"
    """Let all classes count alike in training however many crystals they have (balanced), or each
    crystal (none)."""
    split: str | None = None
    """Ratios of train, val and test as 60:20:20 (the default, unless the data brings a split; a
    last ratio of 0 leaves out the test), or a JSON file with the ids of each."""
    preset: PresetName = "default"
    """Settings to start from; every single one can be changed below."""
    limit: int | None = None
    """Use the first crystals of the data only."""
    folds: int = 0
    """Train so many folds, 3 or more, each of which is the test once: one directory with a run for
    each, out-of-fold predictions, mean and spread, and a report."""
    seeds: int = 1
    """Train so many times, with --seed and the numbers after it; of each fold, if there are any."""
    group_by: GroupBy = "formula"
    """Keep crystals of one formula in one fold, or deal each for itself (none)."""
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
    trust_code: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run the layers and attentions that came with a run to resume, wherever it is from."""
    distributed: str | None = None
    """Train with several processes, each of which runs this command: auto where the cluster says
    which one this is (SLURM, Open MPI, Kubernetes), else HOST:PORT/COUNT/NUMBER: the first one's
    address, how many there are, and which this is (0, 1, …). See docs/scaling.md."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show errors only."""
    graph: Annotated[GraphConfig, tyro.conf.arg(name="")] = PRESETS["default"].graph
    model: Annotated[ModelConfig, tyro.conf.arg(name="")] = PRESETS["default"].model
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = PRESETS["default"].train


def parse(arguments: list[str]) -> TrainOptions:
    """Options from the command line; the preset's settings are the defaults of the others."""
    # A name that does not exist is refused by the parser below.
    name = _last_value(arguments, "--preset")
    preset = next((p for known, p in PRESETS.items() if known == name), PRESETS["default"])
    model = preset.sizes_for(_last_value(arguments, "--model") or preset.model.model)
    training = preset.training(_last_value(arguments, "--init-from") is not None)
    default = TrainOptions(graph=preset.graph, model=model, train=training)
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
    options = parse(arguments)
    how = Execution(
        options.device,
        options.stream,
        options.log,
        options.workers,
        options.quiet,
        options.trust_code,
    )
    with joined(options.distributed):
        repeats = repeats_of(options)
        if options.distributed is not None and not repeats.is_one:
            raise UserError("--distributed trains one network: leave out --folds and --seeds")
        if options.resume is not None and is_several(options.resume):
            _refuse_other_settings(options)
            return go_on_all(options.resume, how)
        if options.resume is None and not repeats.is_one:
            return start_all(asked_for(options), repeats, options.run_dir, how)[1]
        if options.resume is None:
            return start(asked_for(options), options.run_dir, how)[1]
        _refuse_other_settings(options)
        return go_on(options.resume, how)[1]


def repeats_of(options: TrainOptions) -> Repeats:
    """The folds and seeds that the options ask for.

    Raises:
        UserError: numbers that cannot be.
    """
    try:
        return Repeats(options.folds, options.seeds, options.group_by)
    except ValueError as error:
        raise UserError(f"--{error}") from None


def asked_for(options: TrainOptions) -> NewRun:
    """The training that the options describe."""
    return NewRun(
        graph=options.graph,
        source=options.data,
        limit=options.limit,
        split=options.split,
        seed=options.train.seed,
        model=options.model,
        train=options.train,
        property=options.property,
        task=options.task,
        unit=options.unit,
        transform=options.transform,
        weight=options.weight,
        class_weight=options.class_weight,
    )


def _refuse_other_settings(options: TrainOptions) -> None:
    """A resumed run keeps its settings; say so instead of ignoring what was asked for."""
    preset = PRESETS[options.preset]
    default = TrainOptions(graph=preset.graph, model=preset.model, train=preset.train)
    own = {"device", "stream", "log", "workers", "quiet", "trust_code"}
    allowed = own | {"resume", "distributed"}
    changed = [
        f.name.replace("_", "-")
        for f in dataclasses.fields(options)
        if f.name not in allowed and getattr(options, f.name) != getattr(default, f.name)
    ]
    if changed or options.preset != "default":
        raise UserError(
            f"--resume goes on with the settings in {options.resume}/config.json: drop the other "
            "options, or start a new run"
        )


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
