"""TF32 without a GPU: `pytest -p tests.tf32_plugin` multiplies as NVIDIA GPUs from Ampere on do.

They round the float32 inputs of a matmul to 10 bits of mantissa, unless the precision that the
matmul was traced with forbids it. So does this, on any machine, and counts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core.primitives import dot_general_p

IN_FULL = {jax.lax.Precision.HIGHEST, jax.lax.DotAlgorithmPreset.F32_F32_F32}


@dataclass
class Counts:
    """Matmuls that were traced: in full precision, and with rounded inputs."""

    full: int = 0
    rounded: int = 0


def allows_tf32(precision: Any) -> bool:
    """Whether a matmul of this `precision` may round; None is JAX's default, which may."""
    each = precision if isinstance(precision, tuple) else (precision,)
    return not IN_FULL.intersection(each)


@contextmanager
def tf32() -> Iterator[Counts]:
    """Programs that are traced meanwhile multiply in TF32 where they allow it."""
    counts = Counts()
    bind = dot_general_p.bind

    def rounding_bind(*operands: Any, **params: Any) -> Any:
        if allows_tf32(params["precision"]):
            counts.rounded += 1
            operands = tuple(
                jax.lax.reduce_precision(x, 8, 10) if x.dtype == jnp.float32 else x
                for x in operands
            )
        else:
            counts.full += 1
        return bind(*operands, **params)

    with mock.patch.object(dot_general_p, "bind", rounding_bind):
        yield counts


_active = tf32()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNTS] = _active.__enter__()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counts = config.stash[_COUNTS]
    terminalreporter.write_line(f"matmuls: {counts.full} in full, {counts.rounded} rounded")


_COUNTS = pytest.StashKey[Counts]()
