"""Which code made a figure, on what, and how sure it is: kept beside the figures of benchmarks."""

import os
import platform
import subprocess
from pathlib import Path

import jax
import numpy as np

REPOSITORY = Path(__file__).parent.parent


WRITTEN = ("benchmarks/results", "docs")
"""Where benchmarks write themselves, figure after figure."""


def commit() -> str | None:
    """The commit of this code, ending in `-dirty` if it differs from it; None outside git.

    What benchmarks have written does not count, nor files that git does not know.
    """
    own = _git("rev-parse", "--short", "HEAD")
    others = [f":(exclude){folder}" for folder in WRITTEN]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *others)
    return f"{own}-dirty" if own and changed else own


def _git(*arguments: str) -> str | None:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def machine() -> str:
    """The accelerators JAX chose, or the cores and the kind of processor."""
    devices = jax.devices()
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    return f"{os.cpu_count()} cores, {processor()}"


def processor() -> str:
    """The processor's name as its maker gives it, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def standard_error(errors: np.ndarray) -> float:
    """How far chance in the choice of crystals moves the mean of their errors; NaN: unknown."""
    known = errors[np.isfinite(errors)]
    return float(known.std(ddof=1) / np.sqrt(len(known)))
