"""How many crystals a step has where nobody says it."""

import dataclasses

import pytest

from gatgnn_jax.config import PRESETS, TrainConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.train import asked_for, parse
from gatgnn_jax.training.prepare import prepare
from tests.commands import TINY


@pytest.mark.parametrize(
    ("crystals", "size"), [(20, 16), (160, 16), (300, 30), (1001, 101), (2560, 256), (10**6, 256)]
)
def test_ten_steps_make_an_epoch(crystals: int, size: int) -> None:
    assert TrainConfig(batch_size=0).batches_for(crystals).batch_size == size
    assert TrainConfig(batch_size=64).batches_for(crystals).batch_size == 64


@pytest.mark.parametrize("name", ["paper-cgcnn", "paper-megnet", "official", "cgcnn", "megnet"])
def test_presets_of_publications_keep_their_batches(name: str) -> None:
    assert PRESETS[name].train.batches_for(100).batch_size == 256  # type: ignore[index]


def test_a_run_has_the_number(run) -> None:
    """Of 300 bundled crystals 180 are trained on; a choice of the user's own is kept."""
    config = prepare(asked_for(parse(["--limit", "300", *TINY]))).config
    assert config.train.batch_size == 18
    again = dataclasses.replace(config.train, batch_size=18)
    assert again.batches_for(10**6) == config.train
    own = prepare(asked_for(parse(["--limit", "300", "--batch-size", "7", *TINY]))).config
    assert own.train.batch_size == 7
    assert RunDirectory(run).config().train.batch_size == 32
