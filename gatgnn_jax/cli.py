"""What all commands share: options to arguments, bad input to a short message, the device."""

import logging
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import jax
import jaxlib.version

from data_prep.errors import UserError, exit_status
from data_prep.files import kept_folder
from gatgnn_jax.batches.forked import check_not_forked
from gatgnn_jax.compiler_memory import release_after_compiling

Device = Literal["auto", "cpu", "gpu"]

FAST_ATOMICS = "-nvptx-allow-ftz-atomics"
"""Has to be set before JAX starts, so it cannot be set here."""


def use_device(device: Device) -> None:
    """Run on the chosen kind of device, and keep compiled programs for the next run.

    Programs are kept under `GATGNN_CACHE` (default `~/.cache/gatgnn_jax`), unless JAX's own
    `JAX_COMPILATION_CACHE_DIR` says otherwise. Without a home directory they are not kept.

    Raises:
        UserError: there is no such device, or the process is a fork of one that has used JAX.
    """
    check_not_forked()
    if device != "auto":
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda,rocm"}[device])
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", _programs_folder())
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    release_after_compiling()
    try:
        platform = jax.devices()[0].platform
    except RuntimeError:
        raise UserError(
            f"--device {device}: JAX finds no such device here; install the extra "
            '"gatgnn_jax[cuda]" for an NVIDIA GPU, or use --device cpu'
        ) from None
    slow = (0, 10, 2) <= jaxlib.version.__version_info__ <= (0, 11, 0)
    if platform == "gpu" and slow and FAST_ATOMICS not in os.environ.get("XLA_FLAGS", ""):
        sys.stderr.write(
            f"warning: jaxlib {jaxlib.version.__version__} adds up floats slowly on NVIDIA GPUs: "
            f"set XLA_FLAGS=--xla_backend_extra_options={FAST_ATOMICS}, or use jaxlib 0.11.1\n"
        )


def _programs_folder() -> str | None:
    """Where compiled programs are kept; None if there is no place for them."""
    folder = kept_folder()
    if folder is None:  # neither HOME nor an entry of the user
        _warn_once("no home directory to keep compiled programs in: set GATGNN_CACHE")
        return None
    return str(folder / "programs")


@cache
def _warn_once(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


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


def run_command(command: Callable[[], int]) -> int:
    """Run a command; bad input becomes one message and exit status 1, without a traceback."""
    # Orbax writes there what it raises as well, and that it passes over a checkpoint that was cut
    # off by a kill.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    return exit_status(command)
