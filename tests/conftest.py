"""Fixtures that several test files share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import TRAINING, train_run


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Datasets and compiled programs are kept for the session, and away from the user's."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one for all processes
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATGNN_CACHE", str(folder / "cache"))
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, cache: None) -> Path:
    """A small model, trained to the end on 200 of the bundled crystals."""
    return train_run(tmp_path_factory.mktemp("runs") / "uninterrupted", *TRAINING)
