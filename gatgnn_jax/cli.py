"""What all commands share: arguments to options, bad input to a short message, the device."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from data_prep.errors import UserError, exit_status

Options = TypeVar("Options")


def output_folder(folder: Path) -> Path:
    """A folder to write results to; made if it is not there.

    Raises:
        UserError: it is a run, whose own files would be overwritten, or cannot be made.
    """
    if (folder / "config.json").exists():
        raise UserError(f"--out: {folder} is a run with files of its own; choose another place")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from None
    return folder


def read_options(
    kind: type[Options],
    name: str,
    arguments: Sequence[str],
    default: Options | None = None,
    config: Sequence[Any] = (
        tyro.conf.FlagCreatePairsOff,
        tyro.conf.PositionalMetavarFromFieldName,
    ),
) -> Options:
    """The options of the command `name` from its arguments, the others as in `default`.

    `config` are markers of tyro's. Help and bad usage end the program, as argparse's do.
    """
    given = {} if default is None else {"default": default}
    return tyro.cli(kind, prog=f"gatgnn-jax {name}", args=arguments, config=config, **given)  # type: ignore[call-overload]


def run_command(command: Callable[[], int]) -> int:
    """Run a command; bad input becomes one message and exit status 1, without a traceback."""
    # Orbax writes there what it raises as well, and that it passes over a checkpoint that was cut
    # off by a kill.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    return exit_status(command)
