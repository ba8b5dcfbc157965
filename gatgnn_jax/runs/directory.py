"""A run on disk: everything evaluation and prediction need, and all that training leaves.

    config.json        settings, properties, data, elements seen in training
    split.json         ids of train, val and test
    skipped.csv        crystals that were left out, and why
    metrics.csv        a row an epoch, the same on every run of the same config on a machine
    timing.csv         seconds and crystals a second of each epoch
    intervals.json     how wide the intervals of predictions are
    neighbors.npz      vectors and values of training crystals, for the nearest ones
    crystals.jsonl.gz  the crystals of a training from Python that were in memory
    source/            classes of the user's own that the settings name
    checkpoints/       `latest`: the whole training state; `best`: the model with the lowest score
    predictions.csv    train, val and test crystals
    summary.json       final metrics
    *.png              pictures
    report.html        all of it as one page (`gatgnn_jax.pages.report`)

Files are written under a temporary name and then renamed. What is read is checked. Hidden files
are what a kill left behind, and the lock of who works there (`gatgnn_jax.runs.one_writer`).
"""

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flax import nnx

from data_prep.errors import UserError
from data_prep.files import write_text
from gatgnn_jax.batches.splits import SUBSETS
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.runs import checkpoints, own_code
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.one_writer import one_writer
from gatgnn_jax.runs.ready_made import SEEN, read_seen, run_path

CRYSTALS = "crystals.jsonl.gz"


class RunDirectory:
    """Reads and writes the files of one run."""

    def __init__(self, path: Path, trust_code: bool = False):
        """`trust_code`: run the classes that came with the run, wherever it is from."""
        self.path = path
        self.trust_code = trust_code

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "RunDirectory":
        """Start a run in a new or empty directory.

        Raises:
            UserError: it cannot be written, or holds something already.
        """
        _make(path)
        _check_empty(path, but_for=CRYSTALS)
        run = cls(path)
        run.write_text("config.json", config.to_json())
        return run

    @classmethod
    def open(cls, path: Path, trust_code: bool = False) -> "RunDirectory":
        """A run that exists, or a ready-made model by its name; `trust_code` as for the class.

        Raises:
            UserError: there is no run there.
        """
        return cls(run_path(path), trust_code)

    @property
    def is_trained(self) -> bool:
        """Whether it has a model to predict with."""
        return (self.path / "checkpoints" / "best").exists()

    @property
    def is_finished(self) -> bool:
        """Whether its training came to the end."""
        return (self.path / "summary.json").exists()

    @property
    def came_trained(self) -> bool:
        """Whether it was converted or came with the package: nothing is here of its training."""
        return self.is_trained and not (self.path / "split.json").exists()

    def check_trained(self) -> None:
        """Make sure that it has a model to predict with.

        Raises:
            UserError: it has none yet.
        """
        if not self.is_trained:
            raise UserError(
                f"{self.path} has no trained model yet: finish it with --resume {self.path}"
            )

    def config(self) -> RunConfig:
        """The settings of the run.

        Raises:
            UserError: the file is damaged, or has a setting that cannot be.
        """
        path = self.path / "config.json"
        try:
            return RunConfig.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None

    def seen_ids(self) -> list[str]:
        """The crystals the model was trained and selected with; of a converted one none is known.

        Raises:
            UserError: the file that names them is damaged.
        """
        if (self.path / SEEN).exists():
            return read_seen(self.path / SEEN)
        if not (self.path / "split.json").exists():
            return []
        split = self.split()
        return [*split["train"], *split["val"]]

    def split(self) -> dict[str, list[str]]:
        """The ids of train, val and test.

        Raises:
            UserError: the file is missing or damaged.
        """
        split = self.read_json("split.json")
        for name in SUBSETS:
            ids = split.get(name)
            if not (isinstance(ids, list) and all(isinstance(own, str) for own in ids)):
                raise UserError(f"{self.path / 'split.json'} has no list of ids of {name}")
        return split

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
            values = json.loads((self.path / name).read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError("it holds no object")
        except FileNotFoundError:
            if self.came_trained:
                raise UserError(f"{self.path} has no {name}: it was not trained here") from None
            raise UserError(
                f"{self.path} has no {name}: finish the run with --resume {self.path}"
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / name} cannot be read: {error}") from None
        return values

    def save_training(self, state: Any, progress: Mapping[str, Any]) -> None:
        """Save all that training needs to go on: see `checkpoints.save_training`."""
        checkpoints.save_training(self.path / "checkpoints" / "latest", state, progress)

    def restore_training(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """State and progress as last saved, or None: see `checkpoints.load_training`."""
        return checkpoints.load_training(self.path / "checkpoints" / "latest", like)

    def save_best(self, model: ModelState) -> None:
        """Save the model that predictions are made with."""
        checkpoints.save_model(self.path / "checkpoints" / "best", tuple(model))

    def restore_code(self, config: RunConfig) -> None:
        """Make the classes known that the settings name: see `own_code.restore`."""
        own_code.restore(self.path, (config.model, *config.others), self.trust_code)

    def load_best(self) -> tuple[RunConfig, nnx.GraphDef, ModelState]:
        """The settings, the model's structure, and the weights with the lowest score.

        Raises:
            UserError: the run has none yet, or they or the settings are damaged.
        """
        config = self.config()
        self.check_trained()
        self.restore_code(config)
        try:
            model = nnx.eval_shape(config.new_model)
        except ValueError as error:  # no such network, or it has no such settings
            raise UserError(f"{self.path / 'config.json'} cannot be used: {error}") from None
        graphdef, *states = nnx.split(model, nnx.Param, nnx.BatchStat)
        weights = checkpoints.load_model(self.path / "checkpoints" / "best", tuple(states))
        return config, graphdef, ModelState(*weights)


@contextmanager
def new_run(path: Path, config: RunConfig) -> Iterator[RunDirectory]:
    """Start a run in a new or empty directory, where nobody else may write while this lasts.

    Whatever ends it before training has saved anything takes the run away again, so that a second
    try finds the place as it was.

    Raises:
        UserError: the directory cannot be written, or holds something already.
    """
    is_new = not path.exists()
    _make(path)
    try:
        with one_writer(path):
            run = RunDirectory.create(path, config)
            try:
                yield run
            except BaseException:
                if not checkpoints.has_training(path / "checkpoints" / "latest"):
                    remove_entries(path)
                raise
    finally:
        if is_new:
            with suppress(OSError):  # only an empty directory goes
                path.rmdir()


@contextmanager
def kept_crystals(path: Path) -> Iterator[Path]:
    """Where a new run keeps crystals that are in memory, so that it can go on and report.

    If the training does not come about, the place is left as it was.

    Raises:
        UserError: the directory cannot be written, or holds something already.
    """
    is_new = not path.exists()
    _make(path)
    _check_empty(path)
    try:
        yield path / CRYSTALS
    except BaseException:
        if not (path / "config.json").exists():
            (path / CRYSTALS).unlink(missing_ok=True)
            if is_new:
                with suppress(OSError):  # only an empty directory goes
                    path.rmdir()
        raise


def _check_empty(path: Path, but_for: str = "") -> None:
    if [file for file in entries(path) if file.name != but_for]:
        hint = f"--resume {path}, or " if (path / "config.json").exists() else ""
        raise UserError(f"{path} is not empty: {hint}choose another --run-dir")


def _make(path: Path) -> None:
    if path.is_file():
        raise UserError(f"{path} is a file: choose another --run-dir")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {path}: {error.strerror}; choose another --run-dir"
        ) from None


def entries(path: Path) -> list[Path]:
    """The files and folders in a directory, but for hidden ones."""
    return [file for file in path.iterdir() if not file.name.startswith(".")]


def remove_entries(path: Path) -> None:
    """Remove the files and folders in a directory, but for hidden ones."""
    for file in entries(path):
        if file.is_dir():
            shutil.rmtree(file, ignore_errors=True)
        else:
            file.unlink(missing_ok=True)


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
