"""The models as estimators of scikit-learn: `GATGNNRegressor` and `GATGNNClassifier`.

They train as `fit` does and work where scikit-learn's own do: `cross_val_score`, `GridSearchCV`,
`Pipeline`, `clone`. X are crystals instead of rows of numbers: a list, an array or a Series of
structures or paths, or a table with a column of them.
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_array, check_is_fitted, column_or_1d

from data_prep.errors import UserError, some_of
from data_prep.files import replacing_folder
from data_prep.reading.given import Crystals, as_list
from gatgnn_jax.api import Predictor, fit
from gatgnn_jax.cli import Device, use_device
from gatgnn_jax.config import PresetName
from gatgnn_jax.prediction.result import Predictions
from gatgnn_jax.runs.config import RunConfig
from gatgnn_jax.runs.directory import RunDirectory

ESTIMATOR = "estimator.json"
"""Beside the files of a run that was saved: the parameters, and the classes of a classifier."""


class _Crystals(BaseEstimator):
    """What both share; see `GATGNNRegressor`."""

    _task: ClassVar[str]
    _predictor: Predictor | None
    run_dir_: Path

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
        return {"seed": self._seed()} | chosen | (self.settings or {})

    def _fit(self, X: Crystals, y: Any, groups: Sequence[Any] | None) -> Self:
        """Train in a directory that goes with the estimator."""
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is {self.validation_fraction}: give a share between 0 and 1"
            )
        X = X if isinstance(X, pd.DataFrame | pd.Series) else as_list(X)
        check_consistent_length(X, y)
        share = 100 * self.validation_fraction
        self._keep_in(tempfile.mkdtemp(prefix="gatgnn-"))
        self._predictor = fit(
            X,
            y,
            property=self.property,
            split=f"{100 - share}:{share}:0",
            groups=groups,
            run_dir=self.run_dir_,
            preset=self.preset,
            device=self.device,
            workers=self.workers,
            quiet=self.quiet,
            pages=False,
            **self._settings(),
        )
        return self

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
        saved = run.read_json(ESTIMATOR) if (run.path / ESTIMATOR).exists() else {}
        own = cls(**saved.get("parameters", _parameters_of(config)))
        own.set_params(device=device)
        own._keep_in(tempfile.mkdtemp(prefix="gatgnn-"))
        shutil.copytree(run.path, own.run_dir_)
        own._take_classes(saved.get("classes"))
        return own

    def _take_classes(self, classes: list[Any] | None) -> None:
        """What a saved classifier calls its classes."""

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
        return hasattr(self, "run_dir_") and (self.run_dir_ / "checkpoints" / "best").exists()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Crystals, by themselves or as names of files.
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.dict = True
        tags.target_tags.required = True
        return tags


def _parameters_of(config: RunConfig) -> dict[str, Any]:
    """The parameters that a run's settings are."""
    parts = (config.graph, config.model, config.train)
    settings = {name: value for part in parts for name, value in vars(part).items()}
    seed = settings.pop("seed")
    names = ",".join(p.name for p in config.properties)
    return {"property": names, "settings": settings, "random_state": seed}


class GATGNNRegressor(RegressorMixin, _Crystals):
    """A property of crystals, learned from examples; an estimator of scikit-learn::

        model = GATGNNRegressor(property="bulk_modulus", epochs=200)
        cross_val_score(model, structures, y, scoring="neg_mean_absolute_error")

    Args:
        property: what the values are, as `bulk_modulus`: known properties have their unit and
            transform (y and predictions are in GPa, the logarithm is trained on).
        preset: settings to start from.
        epochs: passes over the training crystals; None here and below: the preset's.
        batch_size: crystals a step, at most.
        learning_rate: the highest rate.
        num_layers: attention layers.
        neurons: features of an atom in every layer.
        heads: attention heads.
        ensemble: networks trained at once, whose mean is the prediction.
        settings: any further settings of graph, model or training by name.
        validation_fraction: the share of the crystals that chooses the best epoch.
        random_state: seed of the initial weights, the batches, and the validation crystals.
        device: what to run on.
        workers: processes that prepare the data; all cores by default.
        quiet: show errors only.

    Attributes:
        predictor_: the trained `Predictor`, for intervals, warnings and explanations.
        run_dir_: its run directory; it goes with the estimator, `save` keeps it.
    """

    _task = "regression"

    def fit(self, X: Crystals, y: Any, groups: Sequence[Any] | None = None) -> Self:
        """Train on crystals X [C] and their values y [C], or [C, T] of several properties.

        With `groups` [C] the validation crystals are of other groups than the training crystals.

        Raises:
            UserError: crystals and values that do not fit together, or too few of them.
        """
        y = check_array(y, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan")
        if y.ndim == 1 or y.shape[1] == 1:  # of several some may be missing
            assert_all_finite(y, input_name="y")
        return self._fit(X, y, groups)

    def predict(self, X: Crystals) -> np.ndarray:
        """Values in the unit of y: float64 [C], or [C, T] of several properties.

        Raises:
            UserError: a crystal that cannot be predicted.
        """
        values = self._predicted(X).values
        return values[:, 0] if values.shape[1] == 1 else values

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class GATGNNClassifier(ClassifierMixin, _Crystals):
    """A class of crystals, learned from examples; an estimator of scikit-learn::

        model = GATGNNClassifier(epochs=200).fit(structures, ["metal", "insulator", ...])
        model.predict_proba(others)

    Its parameters are those of `GATGNNRegressor`.

    Attributes:
        classes_: the classes, in the order of `predict_proba`.
        predictor_: the trained `Predictor`, which speaks of the classes by their numbers.
        run_dir_: its run directory; it goes with the estimator, `save` keeps it.
    """

    _task = "classification"

    def fit(self, X: Crystals, y: Any, groups: Sequence[Any] | None = None) -> Self:
        """Train on crystals X [C] and their classes y [C]: numbers, words, or true and false.

        With `groups` [C] the validation crystals are of other groups than the training crystals.

        Raises:
            UserError: crystals and classes that do not fit together, or too few of them.
        """
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only, {classes[0]!r}: give two or more")
        self._fit(X, numbers, groups)
        self.classes_ = classes
        return self

    def _take_classes(self, classes: list[Any] | None) -> None:
        known = [0, 1] if classes is None else classes
        self.classes_ = np.array(known)

    def predict_proba(self, X: Crystals) -> np.ndarray:
        """The probability of each of the K classes: float64 [C, K].

        Raises:
            UserError: a crystal that cannot be predicted.
        """
        values = self._predicted(X).transformed
        return np.hstack([1 - values, values]) if values.shape[1] == 1 else values

    def predict(self, X: Crystals) -> np.ndarray:
        """The most probable class of each crystal [C].

        Raises:
            UserError: a crystal that cannot be predicted.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
