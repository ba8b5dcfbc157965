"""The commands as a user calls them, on data small enough for tests."""

import gzip
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from data_prep.cache import BUNDLED, open_dataset
from data_prep.config import GraphConfig
from data_prep.properties import resolve_property
from gatgnn_jax import evaluate, predict, train
from gatgnn_jax.cli import run_command
from gatgnn_jax.config import ModelConfig, TrainConfig
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.models.networks import graph_for
from gatgnn_jax.presets import others_for
from gatgnn_jax.runs.config import DataInfo, RunConfig
from gatgnn_jax.runs.directory import RunDirectory

SMALL = ["--num-layers", "2", "--neurons", "16", "--heads", "2", "--batch-size", "32"]
"""A model that learns something in seconds."""

TINY = ["--num-layers", "1", "--neurons", "8", "--heads", "2", "--hidden-layers", "1"]
"""A model that is compiled fast."""

TRAINING = ["--limit", "200", "--epochs", "40", *SMALL]
"""The training of the fixture `run`, which interrupted trainings are compared with."""


def train_run(path: Path, *arguments: str | Path) -> Path:
    """Train without output; the run directory."""
    assert train.main(["--quiet", "--run-dir", str(path), *map(str, arguments)]) == 0
    return path


def resume(path: Path) -> None:
    """Finish an interrupted run."""
    assert train.main(["--quiet", "--resume", str(path)]) == 0


def predict_to(out: Path, run: Path, *files: Path, options: Sequence[str] = ()) -> int:
    """Predict without output, over what is there; the exit status."""
    always = ["--out", str(out), "--quiet", "--overwrite"]
    return predict.main([str(run), *map(str, files), *always, *options])


def evaluate_to(out: Path, run: Path, *arguments: str | Path) -> int:
    """Evaluate without output; the exit status."""
    return evaluate.main([str(run), "--out", str(out), "--quiet", *map(str, arguments)])


def error_of(
    command: Callable[[list[str]], int],
    arguments: Sequence[str | Path],
    capsys: pytest.CaptureFixture[str],
) -> str:
    """The message of a command that fails as it should: one or two lines, no traceback."""
    capsys.readouterr()
    assert run_command(lambda: command(list(map(str, arguments)))) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert len(message.splitlines()) <= 2
    return message


def bundled_rows(count: int) -> list[dict[str, Any]]:
    """The first of the bundled crystals: `id`, `structure`, `targets`."""
    with gzip.open(BUNDLED) as lines:
        return [json.loads(line) for line in itertools.islice(lines, count)]


def write_source(
    path: Path, count: int, targets: Callable[[int, Mapping[str, float]], Mapping[str, Any]]
) -> Path:
    """JSON lines of bundled crystals with targets made from the number and the old targets."""
    rows = bundled_rows(count)
    lines = [
        json.dumps(row | {"targets": targets(number, row["targets"])}) + "\n"
        for number, row in enumerate(rows)
    ]
    path.write_text("".join(lines))
    return path


def assert_same_run(actual: Path, expected: Path) -> None:
    """Metrics, predictions and best weights are equal to the bit, and nothing is unfinished."""
    assert not list(actual.glob(".*.new"))
    for name in ("metrics.csv", "predictions.csv", "split.json"):
        assert (actual / name).read_bytes() == (expected / name).read_bytes(), name
    assert_same_weights(actual, expected)


def assert_same_weights(actual: Path, expected: Path) -> None:
    """The best weights are equal to the bit."""
    weights = [RunDirectory(path).load_best()[2] for path in (actual, expected)]
    for a, b in zip(*map(jax.tree.leaves, weights), strict=True):
        np.testing.assert_array_equal(a, b)


def untrained_run(
    path: Path,
    properties: Sequence[str] = ("bulk_modulus",),
    source: Path | None = None,
    element_counts: Mapping[str, int] | None = None,
    split: Mapping[str, Sequence[str]] | None = None,
    ensemble: int | str = 1,
    **settings: Any,
) -> Path:
    """A run directory with the initial weights, as after a conversion; a split makes it a run."""
    model = ModelConfig(**({"num_layers": 1, "neurons": 8, "heads": 2} | settings))
    training = TrainConfig(ensemble=ensemble)
    others = others_for(model, training)
    graph = graph_for([model, *others], GraphConfig())
    dataset, _ = open_dataset(source, graph, quiet=True)
    config = RunConfig(
        graph=graph,
        model=model,
        others=others,
        train=training,
        properties=tuple(resolve_property(name, dataset.columns) for name in properties),
        data=DataInfo(
            source=None if source is None else str(source),
            content_hash=dataset.content_hash,
            element_counts=dict(element_counts or {}),
        ),
    )
    run = RunDirectory.create(path, config)
    _, params, stats = nnx.split(config.new_model(), nnx.Param, nnx.BatchStat)
    run.save_best(ModelState(params, stats))
    if split is not None:
        run.write_json("split.json", split)
    return path


def on_two_devices(program: str) -> str:
    """What a Python program prints that runs with two virtual CPU devices."""
    return on_devices(2, program)


def on_devices(count: int, program: str, *arguments: str) -> str:
    """What a Python program prints that runs with so many virtual CPU devices.

    Devices are counted when JAX starts, so it gets a process of its own.
    """
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=Path(__file__).parent.parent,
        env=os.environ | flags,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
