"""Fixtures that several test files share.

JAX is imported where it is needed: the process that only deals the tests out starts seconds sooner.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OPTIMIZED = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "0"
"""Most of the tests' programs run for milliseconds but are compiled for seconds, most of which XLA
spends on making them fast; `JAX_DISABLE_MOST_OPTIMIZATIONS=0 pytest` lets it do so."""


@contextmanager
def compiling(optimized: bool) -> Iterator[None]:
    """Compile with XLA's optimizations or without, here and in the processes that tests start."""
    import jax

    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name.upper(), str(int(not optimized)))
        jax.config.update(name, not optimized)
        try:
            yield
        finally:
            jax.config.update(name, before)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Datasets and compiled programs are kept for the session, and away from the user's."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one for all processes
        folder = folder.parent
    from gatgnn_jax.devices.chosen import use_device

    with pytest.MonkeyPatch.context() as patch, compiling(OPTIMIZED):
        patch.setenv("GATGNN_CACHE", str(folder / "cache"))
        use_device("auto")  # so that programs are kept in tests without a command as well
        yield


@pytest.fixture(scope="module")
def optimized() -> Iterator[None]:
    """Programs as users run them, for a file that compares with another program's numbers."""
    with compiling(optimized=True):
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, cache: None) -> Path:
    """A small model, trained to the end on 200 of the bundled crystals."""
    from tests.commands import TRAINING, train_run

    path = tmp_path_factory.mktemp("runs") / "uninterrupted"
    with compiling(OPTIMIZED):  # as those that are compared with it to the bit
        return train_run(path, *TRAINING)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, cache: None) -> Path:
    """A run that predicts with the weights it began with."""
    from tests.commands import untrained_run

    return untrained_run(tmp_path_factory.mktemp("runs") / "untrained")
