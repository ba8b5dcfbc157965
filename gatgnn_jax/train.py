"""`python -m gatgnn_jax.train`: crystals → a trained, evaluated model in a run directory."""

import dataclasses
import sys
from typing import TYPE_CHECKING

from data_prep.errors import UserError
from data_prep.files import check_exists
from gatgnn_jax.cli import run_command
from gatgnn_jax.jobs.train_options import (
    EXECUTION,
    TrainOptions,
    as_file,
    asked_for,
    execution_of,
    parse,
)
from gatgnn_jax.presets import PRESETS

if TYPE_CHECKING:
    from gatgnn_jax.jobs.folds import Repeats


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = parse(arguments)
    if options.print_config:
        sys.stdout.write(as_file(options))
        return 0
    if options.resume is not None:
        _refuse_other_settings(options)
    if options.data is not None:
        check_exists(options.data)
    from gatgnn_jax.devices.processes import joined
    from gatgnn_jax.jobs.folds import go_on_all, is_several, start_all
    from gatgnn_jax.pipeline import go_on, start

    how = execution_of(options)
    with joined(options.distributed):
        repeats = repeats_of(options)
        if options.distributed is not None and not repeats.is_one:
            raise UserError("--distributed trains one network: leave out --folds and --seeds")
        if options.resume is not None and is_several(options.resume):
            return go_on_all(options.resume, how)
        if options.resume is None and not repeats.is_one:
            return start_all(asked_for(options), repeats, options.run_dir, how)[1]
        if options.resume is None:
            return start(asked_for(options), options.run_dir, how)[1]
        return go_on(options.resume, how)[1]


def repeats_of(options: TrainOptions) -> "Repeats":
    """The folds and seeds that the options ask for.

    Raises:
        UserError: numbers that cannot be.
    """
    from gatgnn_jax.jobs.folds import Repeats

    try:
        return Repeats(options.folds, options.seeds, options.group_by)
    except ValueError as error:
        raise UserError(f"--{error}") from None


def _refuse_other_settings(options: TrainOptions) -> None:
    """A resumed run keeps its settings; say so instead of ignoring what was asked for."""
    preset = PRESETS[options.preset]
    default = TrainOptions(graph=preset.graph, model=preset.model, train=preset.train)
    allowed = EXECUTION | {"resume", "distributed"}
    others = [f.name for f in dataclasses.fields(options) if f.name not in allowed]
    if any(getattr(options, name) != getattr(default, name) for name in others):
        raise UserError(
            f"--resume goes on with the settings in {options.resume}/config.json: drop the other "
            "options, or start a new run"
        )


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
