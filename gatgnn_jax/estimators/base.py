"""What the estimators of crystals share: parameters, the run behind them, saving and loading."""

import json
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_consistent_length, check_random_state
from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d

from data_prep.build import read_skipped
from data_prep.errors import UserError, some_of
from data_prep.files import replacing_folder
from data_prep.properties import Task
from data_prep.reading.given import Crystals, as_list
from gatgnn_jax.api import Predictor, fit
from gatgnn_jax.choices import Device
from gatgnn_jax.devices.chosen import use_device
from gatgnn_jax.prediction.result import Predictions
from gatgnn_jax.presets import PresetName
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory

ESTIMATOR = "estimator.json"
"""Beside the files of a run that was saved: the parameters, and the classes of a classifier."""


class CrystalEstimator(BaseEstimator):
    """What both share; see `GATGNNRegressor`."""

    _task: ClassVar[Task]
    _predictor: Predictor | None
    run_dir_: Path
    classes_: np.ndarray

    def __init__(
        self,
        *,
        property: str | None = None,
        preset: PresetName = "default",
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        num_layers: int | None = None,
        neurons: int | None = None,
        heads: int | None = None,
        ensemble: int | None = None,
        settings: dict[str, Any] | None = None,
        validation_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = 0,
        device: Device = "auto",
        workers: int | None = None,
        quiet: bool = True,
    ):
        self.property = property
        self.preset = preset
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.num_layers = num_layers
        self.neurons = neurons
        self.heads = heads
        self.ensemble = ensemble
        self.settings = settings
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.workers = workers
        self.quiet = quiet

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _settings(self) -> dict[str, Any]:
        """Settings by name, where they are not the preset's."""
        names = ("epochs", "batch_size", "learning_rate", "num_layers", "neurons", "heads")
        own = {name: getattr(self, name) for name in (*names, "ensemble")}
        chosen = {name: value for name, value in own.items() if value is not None}
        # JSON, where saved parameters come from, has lists for tuples.
        rest = {k: tuple(v) if isinstance(v, list) else v for k, v in (self.settings or {}).items()}
        return {"seed": self._seed()} | chosen | rest

    def _fit(self, X: Crystals, y: Any, groups: Sequence[Any] | None, sample_weight: Any) -> Self:
        """Train in a directory that goes with the estimator."""
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is {self.validation_fraction}: give a share between 0 and 1"
            )
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        X = X if isinstance(X, pd.DataFrame | pd.Series) else as_list(X)
        check_consistent_length(X, y)
        if isinstance(X, pd.DataFrame | pd.Series) and not X.index.is_unique:  # drawn at random
            X, y = as_list(X), np.asarray(y)
        if len(X) < 2:
            raise ValueError(f"n_samples={len(X)}: give crystals to train and to validate with")
        if sample_weight is not None:
            sample_weight = column_or_1d(sample_weight, dtype=np.float64)
            check_consistent_length(X, sample_weight)
            assert_all_finite(sample_weight, input_name="sample_weight")
            if not np.any(sample_weight):
                raise ValueError("sample_weight is zero for all crystals: nothing to learn from")
        share = 100 * self.validation_fraction
        self._keep_in(tempfile.mkdtemp(prefix="gatgnn-"))
        self._predictor = fit(
            X,
            y,
            property=self.property,
            task=None if np.ndim(y) > 1 and np.shape(y)[1] > 1 else self._task,  # of one alone
            split=f"{100 - share}:{share}:0",
            groups=groups,
            weight=sample_weight,
            run_dir=self.run_dir_,
            preset=self.preset,
            device=self.device,
            workers=self.workers,
            quiet=self.quiet,
            pages=False,
            **self._settings(),
        )
        self._tell_of_unusable()
        return self

    def _tell_of_unusable(self) -> None:
        """Warn of crystals that had to be left out of the training, as nothing is printed."""
        if skipped := read_skipped(self.run_dir_):
            names = some_of([own.id for own in skipped])
            report = self.run_dir_ / "skipped.csv"
            warnings.warn(f"left out {names}: {skipped[0].reason}; see {report}", stacklevel=4)

    def _keep_in(self, folder: str) -> None:
        """Keep the run in a folder that is removed with the estimator."""
        self._predictor = None
        self.run_dir_ = Path(folder) / "run"
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @property
    def predictor_(self) -> Predictor:
        """The trained model, which also explains and judges its predictions."""
        check_is_fitted(self)
        if self._predictor is None:
            use_device(self.device)
            self._predictor = Predictor.of(RunDirectory.open(self.run_dir_))
        return self._predictor

    def _predicted(self, X: Crystals) -> Predictions:
        """Predictions for all of the crystals.

        Raises:
            UserError: some cannot be predicted; the message says which, and why.
        """
        result = self.predictor_.predict(as_list(X), workers=self.workers)
        if skipped := result.skipped:
            names = some_of([own.id for own in skipped])
            raise UserError(
                f"cannot predict {names}: {skipped[0].reason}\nleave them out, or use "
                "predictor_.predict, which goes on without them"
            )
        return result

    def save(self, path: str | Path) -> None:
        """Write the trained model as a run directory, which every command reads; no pickle.

        Raises:
            UserError: something is there already.
        """
        check_is_fitted(self)
        path = Path(path)
        if path.exists():
            raise UserError(f"{path} is there already: choose another place")
        content = {"parameters": self.get_params()}
        if not isinstance(self.random_state, int):
            content["parameters"]["random_state"] = None
        if hasattr(self, "classes_"):
            content["classes"] = self.classes_.tolist()
        with replacing_folder(path) as folder:
            shutil.copytree(self.run_dir_, folder, dirs_exist_ok=True)
            (folder / ESTIMATOR).write_text(json.dumps(content, indent=1, default=str))

    @classmethod
    def load(cls, path: str | Path, *, device: Device = "auto") -> Self:
        """The estimator of a run directory: one that was saved, or that any training made.

        Its parameters are those it was saved with, or else the settings of the run.

        Raises:
            UserError: no run there, or one of another task.
        """
        run = RunDirectory.open(Path(path))
        config = run.config()
        if {*(p.task for p in config.properties)} != {cls._task}:
            raise UserError(f"{path} is of another task than {cls._task}")
        if cls._task == "classification" and len(config.properties) > 1:
            raise UserError(f"{path} has several properties: a classifier has one")
        saved = run.read_json(ESTIMATOR) if (run.path / ESTIMATOR).exists() else {}
        try:
            own = cls(**saved.get("parameters", _parameters_of(config)))
        except TypeError as error:
            raise UserError(f"{run.path / ESTIMATOR} cannot be read: {error}") from None
        own.set_params(device=device)
        own._keep_in(tempfile.mkdtemp(prefix="gatgnn-"))
        shutil.copytree(run.path, own.run_dir_)
        if cls._task == "classification":
            own.classes_ = np.array(saved.get("classes") or _classes_of(config))
        return own

    def __getstate__(self) -> dict[str, Any]:
        # Processes of joblib, and deep copies: the run's files stand for the model.
        state = {k: v for k, v in super().__getstate__().items() if k != "_predictor"}
        if "run_dir_" in state:
            root = state.pop("run_dir_")
            files = [file for file in sorted(root.rglob("*")) if file.is_file()]
            state["_files"] = {str(file.relative_to(root)): file.read_bytes() for file in files}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.pop("_files", None)
        super().__setstate__(state)
        if files is None:
            return
        self._keep_in(tempfile.mkdtemp(prefix="gatgnn-"))
        for name, content in files.items():
            file = self.run_dir_ / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "run_dir_") and RunDirectory(self.run_dir_).is_trained

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Crystals, by themselves or as names of files.
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.dict = True
        tags.target_tags.required = True
        return tags


def _classes_of(config: RunConfig) -> list[Any]:
    """What a run calls its classes; whole numbers where these are their names."""
    names = config.properties[0].class_names
    return [int(name) for name in names] if all(map(str.isdigit, names)) else list(names)


def _parameters_of(config: RunConfig) -> dict[str, Any]:
    """The parameters that a run's settings are."""
    parts = (config.graph, config.model, config.train)
    settings = {name: value for part in parts for name, value in vars(part).items()}
    seed = settings.pop("seed")
    names = ",".join(p.name for p in config.properties)
    return {"property": names, "settings": settings, "random_state": seed}
