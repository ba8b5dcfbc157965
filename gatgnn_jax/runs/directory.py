"""A run on disk: everything evaluation and prediction need, and all that training leaves.

    config.json        settings, properties, data, elements seen in training
    split.json         ids of train, val and test
    skipped.csv        crystals that were left out, and why
    metrics.csv        a row an epoch, the same on every run of the same config on a machine
    timing.csv         seconds and crystals a second of each epoch
    checkpoints/       `latest`: the whole training state; `best`: the model with the lowest score
    predictions.csv    train, val and test crystals
    summary.json       final metrics
    *.png              pictures
    report.html        all of it as one page (see report.py)

Files are written under a temporary name and then renamed.
"""

import gzip
import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from flax import nnx

from data_prep.errors import UserError
from data_prep.files import write_text
from data_prep.properties import canonical_name
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.runs.config import RunConfig

PRETRAINED = Path(__file__).parents[1] / "pretrained"
"""The models that come with the package: run directories, without their training's own files."""

SEEN = "seen.txt.gz"
"""In a ready-made model: ids of the crystals it was trained and selected with, one a line."""


def find_run(path: Path) -> Path | None:
    """The run directory that a path names, or else the ready-made model of that name."""
    named = PRETRAINED / canonical_name(str(path))
    places = [path, named] if len(path.parts) == 1 else [path]
    return next((place for place in places if (place / "config.json").is_file()), None)


class RunDirectory:
    """Reads and writes the files of one run."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "RunDirectory":
        """Start a run in a new or empty directory.

        Raises:
            UserError: it cannot be written, or holds something already.
        """
        if path.is_file():
            raise UserError(f"{path} is a file: choose another --run-dir")
        if path.is_dir() and any(path.iterdir()):
            hint = f"--resume {path}, or " if (path / "config.json").exists() else ""
            raise UserError(f"{path} is not empty: {hint}choose another --run-dir")
        run = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            run.write_text("config.json", config.to_json())
        except OSError as error:
            raise UserError(
                f"cannot write to {path}: {error.strerror}; choose another --run-dir"
            ) from None
        return run

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """A run that exists, or a ready-made model by its name.

        Raises:
            UserError: there is no run there.
        """
        place = find_run(path)
        if place is None:
            ready = ", ".join(sorted(p.parent.name for p in PRETRAINED.glob("*/config.json")))
            raise UserError(
                f"{path} is no run: it has no config.json (train one with --run-dir), and no "
                f"ready-made model has that name (there are: {ready})"
            )
        return cls(place)

    def config(self) -> RunConfig:
        """The settings of the run."""
        try:
            return RunConfig.from_json((self.path / "config.json").read_text())
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path / 'config.json'} cannot be read: {error}") from None

    def seen_ids(self) -> list[str]:
        """The crystals the model was trained and selected with; of a converted one none is known.

        Raises:
            UserError: the file that names them is damaged.
        """
        path = self.path / SEEN
        if path.exists():
            return gzip.decompress(path.read_bytes()).decode().split()
        if not (self.path / "split.json").exists():
            return []
        split = self.read_json("split.json")
        return [*split["train"], *split["val"]]

    def write_text(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        write_text(self.path / name, text)

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a mapping as indented JSON."""
        self.write_text(name, to_json(values))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read what `write_json` wrote.

        Raises:
            UserError: the file is missing or damaged.
        """
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            raise UserError(
                f"{self.path} has no {name}: finish the run with --resume {self.path}"
            ) from None
        except ValueError as error:
            raise UserError(f"{self.path / name} cannot be read: {error}") from None

    def save_training(self, state: Any, progress: Mapping[str, Any]) -> None:
        """Save all that training needs to go on; the one before is removed afterwards.

        `state` is a pytree of arrays, `progress` plain JSON values with the number of finished
        epochs under `epoch`.
        """
        with self._manager() as manager:
            manager.save(
                progress["epoch"],
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(dict(progress))
                ),
            )

    def restore_training(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """State and progress as last saved; None if nothing was. `like` gives the structure."""
        if not (self.path / "checkpoints" / "latest").exists():
            return None
        with self._manager() as manager:
            epoch = manager.latest_step()
            if epoch is None:
                return None
            restored = manager.restore(
                epoch,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(like), progress=ocp.args.JsonRestore()
                ),
            )
        return restored.state, restored.progress

    def _manager(self) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(
            (self.path / "checkpoints" / "latest").absolute(),
            options=ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False),
        )

    def save_best(self, model: ModelState) -> None:
        """Save the model that predictions are made with."""
        target = (self.path / "checkpoints" / "best").absolute()
        unfinished = target.with_name(".best.new")
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(unfinished, tuple(model), force=True)
            checkpointer.wait_until_finished()
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)

    def load_best(self) -> tuple[RunConfig, nnx.GraphDef, ModelState]:
        """The settings, the model's structure, and the weights with the lowest score.

        Raises:
            UserError: the run has none yet.
        """
        best = (self.path / "checkpoints" / "best").absolute()
        config = self.config()
        if not best.exists():
            raise UserError(
                f"{self.path} has no trained model yet: finish it with --resume {self.path}"
            )
        graphdef, *states = nnx.split(nnx.eval_shape(config.new_model), nnx.Param, nnx.BatchStat)
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tuple(states)
        )
        with ocp.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(best, like)
        return config, graphdef, ModelState(*restored)


def to_json(values: Mapping[str, Any]) -> str:
    """Indented JSON; a metric that is NaN becomes null, as JSON has no such number."""
    known = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}
    return json.dumps(known, indent=1, allow_nan=False) + "\n"


def next_run_directory(parent: Path, name: str) -> Path:
    """`parent/name-001`, or the first number that is free; without what no file may be called."""
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.")[:100]
    number = 1
    while (path := parent / f"{plain or 'run'}-{number:03d}").exists():
        number += 1
    return path
