"""What JAX runs on: chosen, checked, and where its compiled programs are kept."""

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from data_prep.errors import UserError
from data_prep.files import kept_folder

if TYPE_CHECKING:
    import jax

    from gatgnn_jax.choices import Device

FAST_ATOMICS = "-nvptx-allow-ftz-atomics"
"""Has to be set before JAX starts, so it cannot be set here."""

SLOW_SUMS = (0, 10, 2), (0, 11, 0)
"""The first and the last jaxlib that add up floats slowly on NVIDIA GPUs."""


def use_device(device: "Device") -> None:
    """Run on the chosen kind of device (`auto`: JAX's choice), and keep compiled programs.

    Programs are kept under `GATGNN_CACHE` (default `~/.cache/gatgnn_jax`), unless JAX's own
    `JAX_COMPILATION_CACHE_DIR` says otherwise. Without a home directory they are not kept.

    Raises:
        UserError: there is no such device, or the process is a fork of one that has used JAX.
    """
    # Imported where needed, so that help and usage errors come at once.
    import jax

    from gatgnn_jax.devices.compiler_memory import release_after_compiling
    from gatgnn_jax.devices.forked import check_not_forked

    check_not_forked()
    if device not in ("auto", "cpu", "gpu"):
        raise UserError(f"device is {device!r}: choose auto, cpu or gpu")
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", _programs_folder())
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    release_after_compiling()
    _warn_of_slow_sums(_chosen(device))


def _chosen(device: "Device") -> "jax.Device":
    """The device that JAX runs on; a UserError if there is none, or none of the kind.

    JAX's choice is looked at, not made: told which platforms to use, JAX refuses to start if its
    installation lacks one of them, as that for NVIDIA GPUs lacks `rocm`.
    """
    import jax

    try:
        found = jax.devices()[0]
    except (RuntimeError, AssertionError):  # JAX_PLATFORMS names what is not there
        found = None
    if found is not None and (device != "gpu" or found.platform == "gpu"):
        return found
    what = "no device" if found is None else f"no GPU, only {found.device_kind}"
    platforms = os.environ.get("JAX_PLATFORMS")
    limit = f" (with JAX_PLATFORMS={platforms})" if platforms else ""
    raise UserError(
        f"--device {device}: JAX finds {what} here{limit}; for a GPU of NVIDIA's\n"
        'pip install "gatgnn_jax[cuda13]" (or [cuda12] if its driver is older than 580), '
        "or use --device cpu"
    )


def _warn_of_slow_sums(device: "jax.Device") -> None:
    """Tell of a jaxlib that is slow on NVIDIA GPUs; newer ones than 0.10.2 need Python 3.12."""
    import jaxlib.version

    slow = SLOW_SUMS[0] <= jaxlib.version.__version_info__ <= SLOW_SUMS[1]
    is_nvidia = "cuda" in device.client.platform_version
    if slow and is_nvidia and FAST_ATOMICS not in os.environ.get("XLA_FLAGS", ""):
        other = ">=0.11.1" if sys.version_info >= (3, 12) else "==0.10.1"
        _warn_once(
            f"jaxlib {jaxlib.version.__version__} adds up floats slowly on NVIDIA GPUs: "
            f"set XLA_FLAGS=--xla_backend_extra_options={FAST_ATOMICS}, "
            f'or pip install "jax[cuda13]{other}" (or [cuda12])'
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
