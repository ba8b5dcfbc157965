"""The options of `train`: on the command line, in a file, or by a preset's name.

Nothing here imports JAX, so that a mistyped option is told at once.
"""

import dataclasses
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.options import IntOrNone, NothingByDefault, PathOrNone, TextOrNone, nothing_or
from data_prep.properties import Task
from data_prep.settings import check_types
from gatgnn_jax.choices import ClassWeight, Device, GroupBy, LoggerName, Streaming
from gatgnn_jax.cli import read_options
from gatgnn_jax.config import ModelConfig, TrainConfig, members_of
from gatgnn_jax.jobs.settings_file import (
    NOTHING,
    SECTIONS,
    FileSettings,
    read_settings,
    to_yaml,
    with_values,
)
from gatgnn_jax.presets import PRESETS, Preset, PresetName, others_for

if TYPE_CHECKING:
    from gatgnn_jax.pipeline import Execution
    from gatgnn_jax.training.prepare import NewRun


@dataclass(frozen=True)
class TrainOptions:
    """Train GATGNN on crystals; without arguments: bulk moduli of the bundled crystals."""

    crystals: tyro.conf.Positional[
        Annotated[Path | None, tyro.conf.arg(metavar="[DATA]", help_behavior_hint="")]
    ] = None
    """The same as --data."""
    data: PathOrNone = None
    """A dataset directory, a folder with id_prop.csv, JSON lines, a pymatgen/monty JSON or a
    Matbench json.gz. Default: the 1,181 bundled elastic crystals."""
    property: TextOrNone = None
    """What to predict: one or several (comma-separated) columns of the data. Default: its bulk
    modulus, or else its only column."""
    task: Annotated[Task | None, nothing_or("regression", "classification")] = None
    """Whether values or classes are predicted. Default: classes of a column of words and of
    is_metal, else values. Classes are words or whole numbers, two or more."""
    unit: TextOrNone = None
    """The unit of the property's values, as GPa."""
    transform: Annotated[Literal["none", "log10"] | None, nothing_or("none", "log10")] = None
    """What is learned instead of the values: their logarithm (log10). Default: that of moduli."""
    weight: TextOrNone = None
    """A column with weights of the crystals, by which their losses count in training."""
    class_weight: ClassWeight = "balanced"
    """Let all classes count alike in training however many crystals they have (balanced), or each
    crystal (none)."""
    split: TextOrNone = None
    """Ratios of train, val and test as 60:20:20 (the default, unless the data brings a split; a
    last ratio of 0 leaves out the test), or a JSON file with the ids of each."""
    preset: PresetName = "default"
    """Settings to start from; every single one can be changed below."""
    config: PathOrNone = None
    """A file with settings on top of the preset's: YAML, TOML, or a run's config.json. Options
    given here go before the file's."""
    print_config: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show all settings as a file for --config, and do nothing else."""
    limit: IntOrNone = None
    """Use only so many crystals of the data, the first ones."""
    folds: int = 0
    """Train so many folds, 3 or more, each of which is the test once: one directory with a run for
    each, out-of-fold predictions, mean and spread, and a report."""
    seeds: int = 1
    """Train so many times, with --seed and the numbers after it; of each fold, if there are any."""
    group_by: GroupBy = "formula"
    """Keep crystals of one formula in one fold, or deal each for itself (none)."""
    run_dir: PathOrNone = None
    """Where to put the results. Default: runs/PROPERTY-001, -002, …"""
    resume: PathOrNone = None
    """Go on with an interrupted run, with the settings it was started with."""
    device: Device = "auto"
    """What to run on."""
    stream: Streaming = "auto"
    """Read crystals from disk as they are needed, instead of keeping all on the device; `auto` does
    so with datasets that would take much of its memory."""
    log: Annotated[tuple[LoggerName, ...], NothingByDefault] = ()
    """Where else to send each epoch's metrics: tensorboard (to RUN/tensorboard), wandb."""
    workers: IntOrNone = None
    """Processes that prepare the data; all cores by default."""
    dask: TextOrNone = None
    """Prepare them on a Dask cluster: local, the JSON file of its scheduler, or HOST:PORT. See
    docs/scaling.md."""
    trust_code: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run the layers and attentions that came with a run to resume, wherever it is from."""
    distributed: TextOrNone = None
    """Train with several processes, each of which runs this command: auto where the cluster says
    which one this is (SLURM, Open MPI, Kubernetes), else HOST:PORT/COUNT/NUMBER: the first one's
    address, how many there are, and which this is (0, 1, …). See docs/scaling.md."""
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show errors only."""
    graph: GraphConfig = PRESETS["default"].graph
    model: ModelConfig = PRESETS["default"].model
    train: TrainConfig = PRESETS["default"].train


EXECUTION = frozenset({"device", "stream", "log", "workers", "dask", "quiet", "trust_code"})
"""The options that say how a training is run, and change none of its results."""

DATA_OPTIONS = (
    *("data", "property", "task", "unit", "transform", "weight", "class_weight", "split", "limit"),
)
"""The options that say what is learned, and from which crystals."""

FROM_THE_COMMAND_LINE_ONLY = {
    *("crystals", "config", "print_config", "resume", "distributed", "trust_code"),
    *("graph", "model", "train"),
}
"""The other fields of `TrainOptions` may be given in a file too."""


def parse(arguments: list[str]) -> TrainOptions:
    """Options from the command line, on top of a file's, on top of the preset's.

    Raises:
        UserError: settings that cannot be.
    """
    try:
        options = read_options(
            TrainOptions,
            "train",
            arguments,
            _unchecked(defaults(arguments)),
            # Settings can be switched either way, whatever the preset says.
            config=(tyro.conf.OmitArgPrefixes,),
        )
        options = _checked(options)
    except ValueError as error:  # the settings check themselves
        raise UserError(str(error)) from None
    if options.crystals is None:
        return options
    if _last_value(arguments, "--data") is not None:
        raise UserError(
            f"two data, {options.crystals} and --data {options.data}: give one (several properties "
            "are one word: --property a,b)"
        )
    return replace(options, data=options.crystals, crystals=None)


def defaults(arguments: list[str]) -> TrainOptions:
    """What stands where the arguments say nothing: the preset's settings, and on top the file's.

    Raises:
        UserError: the file cannot be read, or has settings that cannot be.
    """
    path = _last_value(arguments, "--config")
    given = NOTHING if path is None else read_settings(Path(path), _file_options())
    named = _last_value(arguments, "--preset")
    if named is not None and given.is_whole:
        raise UserError(f"{path} has every setting, which leaves nothing to --preset: drop one")
    # A name that does not exist is refused by the parser.
    name = named or given.options.get("preset")
    preset = next((p for known, p in PRESETS.items() if known == name), PRESETS["default"])
    try:
        starts = _last_value(arguments, "--init-from") or given.train.get("init_from")
        preset = replace(preset, train=preset.training(starts is not None))
        first = _first_of(_last_value(arguments, "--ensemble") or given.train.get("ensemble"))
        preset = _with_file(preset, given, first or preset.model.model)
        network = _last_value(arguments, "--model") or preset.model.model
        default = TrainOptions(
            graph=preset.graph, model=preset.sizes_for(network), train=preset.train
        )
        default = with_values(default, given.options)
        check_types(default)
    except ValueError as error:
        raise UserError(f"{path}: {error}" if path else str(error)) from None
    return default


def _unchecked(options: TrainOptions) -> TrainOptions:
    """Options whose settings check nothing: tyro would say what is wrong in a way of its own."""

    def unchecked(settings: Any) -> Any:
        kind = type(settings)
        plain = type(kind.__name__, (kind,), {"__post_init__": _no_check, "__doc__": kind.__doc__})
        return plain(**vars(settings))

    return replace(options, **{name: unchecked(getattr(options, name)) for name in SECTIONS})


def _checked(options: TrainOptions) -> TrainOptions:
    """Options as they were parsed, with their settings checked.

    Raises:
        ValueError: a setting that cannot be.
    """
    return replace(
        options, **{name: kind(**vars(getattr(options, name))) for name, kind in SECTIONS.items()}
    )


def _no_check(settings: Any) -> None:
    pass


def _first_of(ensemble: Any) -> str | None:
    """The network that an ensemble names first, if it names any."""
    is_named = isinstance(ensemble, str) and ":" in ensemble
    return next(iter(members_of(ensemble))) if is_named else None


def _with_file(preset: Preset, given: FileSettings, network_name: str) -> Preset:
    """A preset with the settings of a file on top, for the network of a name or the file's own."""
    network = preset.sizes_for(str(given.model.get("model", network_name)))
    return Preset(
        with_values(preset.graph, given.graph),
        with_values(network, given.model),
        with_values(preset.train, given.train),
    )


def _file_options() -> list[str]:
    names = [field.name for field in dataclasses.fields(TrainOptions)]
    return [name for name in names if name not in FROM_THE_COMMAND_LINE_ONLY]


def _last_value(arguments: list[str], option: str) -> str | None:
    values = [a.partition("=")[2] for a in arguments if a.startswith(option + "=")]
    values += [b for a, b in pairwise(arguments) if a == option]
    return values[-1] if values else None


def asked_for(options: TrainOptions) -> "NewRun":
    """The training that the options describe.

    Raises:
        UserError: `--ensemble` and `--model` contradict each other.
    """
    from gatgnn_jax.training.prepare import NewRun

    try:
        others = others_for(options.model, options.train)
    except ValueError as error:
        raise UserError(str(error)) from None
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
        others=others,
    )


def data_words(options: TrainOptions) -> list[str]:
    """The options that say what is learned from which crystals, as they are typed."""
    words = []
    for name in DATA_OPTIONS:
        value = getattr(options, name)
        if value != getattr(TrainOptions, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def execution_of(options: TrainOptions, pages: bool = True) -> "Execution":
    """How the options have trainings run, with or without a report of each.

    Raises:
        UserError: workers that cannot be had.
    """
    from data_prep.workers import workers_of
    from gatgnn_jax.pipeline import Execution

    return Execution(
        device=options.device,
        stream=options.stream,
        log=options.log,
        workers=workers_of(options.workers, options.dask),
        quiet=options.quiet,
        trust_code=options.trust_code,
        pages=pages,
    )


def as_file(options: TrainOptions) -> str:
    """All that the results depend on, as YAML for `--config`."""
    own = {name: getattr(options, name) for name in DATA_OPTIONS}
    return to_yaml(own, {name: getattr(options, name) for name in ("graph", "model", "train")})
