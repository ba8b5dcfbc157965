"""What a finished fold comes to: its predictions and scores, and the leaderboard's record."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from benchmarks.matbench.tasks import VALIDATION_SHARE, Task
from data_prep.errors import UserError
from gatgnn_jax.runs.directory import RunDirectory

METRICS = {
    False: ("mae", "rmse", "mape", "max_error"),
    True: ("accuracy", "balanced_accuracy", "f1", "rocauc"),
}
"""Matbench's scores of a regression and of a classification; the first ranks it here."""

SMALLEST = 1e-5
"""Targets nearer to 0 do not count in `mape`."""

RECORD_VERSION = "0.6"
"""The release of the `matbench` package whose records these are."""

CITATION = (
    "S.-Y. Louis, Y. Zhao, A. Nasiri, X. Wang, Y. Song, F. Liu, J. Hu: Graph convolutional neural "
    "networks with global attention for improved materials property prediction, Phys. Chem. Chem. "
    "Phys. 22 (2020), doi:10.1039/D0CP01474E"
)


@dataclass(frozen=True)
class FoldResult:
    """A finished fold.

    Attributes:
        predictions: by Matbench's id, in the order of the rows; of a classification the probability
            of true.
        scores: by Matbench's names.
        parameters: how the model was trained, as plain JSON values.
        fallbacks: test rows without a graph, which got the mean of the training targets.
    """

    predictions: dict[str, float]
    scores: dict[str, float]
    parameters: dict[str, Any]
    fallbacks: int


def scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Matbench's scores of a fold.

    Args:
        true: targets [N], of a classification as bool.
        predicted: predictions [N], of a classification the probabilities of true.
    """
    if true.dtype == bool:
        # The leaderboard's "rocauc" is that of the classes, as its program rounds the probabilities
        # before it gets there: the same number as the balanced accuracy.
        label = predicted > 0.5
        found = (
            metrics.accuracy_score(true, label),
            metrics.balanced_accuracy_score(true, label),
            metrics.f1_score(true, label),
            metrics.roc_auc_score(true, label),
        )
    else:
        counted = np.abs(true) > SMALLEST
        found = (
            metrics.mean_absolute_error(true, predicted),
            metrics.root_mean_squared_error(true, predicted),
            metrics.mean_absolute_percentage_error(true[counted], predicted[counted]),
            metrics.max_error(true, predicted),
        )
    return dict(zip(METRICS[true.dtype == bool], map(float, found), strict=True))


def read_fold(
    path: Path, task: Task, target: np.ndarray, train_rows: np.ndarray, test_rows: np.ndarray
) -> FoldResult:
    """The result of a fold whose training is finished.

    A test row that is no crystal for our graphs (an isolated atom, say) gets the mean of the
    fold's training targets, since a record needs a prediction of every row.

    Args:
        path: the run directory.
        task: what was trained.
        target: of every row [N].
        train_rows: rows of the fold to train with, validation included.
        test_rows: rows of the fold to test with.

    Raises:
        UserError: the run is not finished, or its predictions are not numbers.
    """
    run = RunDirectory.open(path)
    summary, config = run.read_json("summary.json"), run.read_json("config.json")
    table = pd.read_csv(path / "predictions.csv")
    test = table[table.subset == "test"]
    column = "probability" if task.classification else "prediction"
    known = dict(zip(test.id.astype(int).tolist(), test[column].tolist(), strict=True))
    predicted = np.full(len(test_rows), float(target[train_rows].mean()))
    for place, row in enumerate(test_rows.tolist()):
        predicted[place] = known.get(row, predicted[place])
    if not np.isfinite(predicted).all():
        raise UserError(f"{path} predicts values that are no numbers: train it with a lower rate")
    fallbacks = len(test_rows) - len(known)
    names = task.ids(len(target))[test_rows].tolist()
    return FoldResult(
        predictions=dict(zip(names, predicted.tolist(), strict=True)),
        scores=scores(target[test_rows], predicted),
        parameters={
            "validation_share": VALIDATION_SHARE,
            "training_crystals": summary["crystals"]["train"],
            "validation_crystals": summary["crystals"]["val"],
            "predicted_by_training_mean": fallbacks,
            "epochs": summary["epochs"],
            "best_epoch": summary["best_epoch"],
            "weights": summary["parameters"],
            **{name: config[name] for name in ("graph", "model", "train")},
        },
        fallbacks=fallbacks,
    )


def statistics(results: Sequence[FoldResult]) -> dict[str, dict[str, float]]:
    """Mean, max, min and standard deviation over the folds (N in its denominator), by score."""
    table = pd.DataFrame([result.scores for result in results])
    return {
        name: {
            "mean": float(values.mean()),
            "max": float(values.max()),
            "min": float(values.min()),
            "std": float(values.std(ddof=0)),
        }
        for name, values in table.items()
    }


def record(
    task: Task, results: Sequence[FoldResult], user_metadata: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """What `MatbenchBenchmark.from_file` reads.

    Args:
        task: the task.
        results: of all folds, in their order.
        user_metadata: about the algorithm; plain JSON values, no mappings within lists.
        now: the time to put on it, UTC.
    """
    folds = {
        f"fold_{fold}": {
            "data": result.predictions,
            "parameters": result.parameters,
            "scores": result.scores,
            "uncertainty": None,
        }
        for fold, result in enumerate(results)
    }
    content = {
        "@module": "matbench.bench",
        "@class": "MatbenchBenchmark",
        "version": RECORD_VERSION,
        "tasks": {
            task.name: {
                "@module": "matbench.task",
                "@class": "MatbenchTask",
                "benchmark_name": "matbench_v0.1",
                "dataset_name": task.name,
                "results": folds,
            }
        },
        "user_metadata": dict(user_metadata),
        "benchmark_name": "matbench_v0.1",
        "datestamp": now.strftime("%Y.%m.%d %H:%M.%S"),
    }
    return content | {"hash": content_hash(content)}


def content_hash(content: Mapping[str, Any]) -> str:
    """The hash with which Matbench sees whether a record has been changed."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def about_us(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The record's `user_metadata`."""
    return {
        "algorithm": "GATGNN (gatgnn_jax)",
        "algorithm_version": metadata.version("gatgnn_jax"),
        "citation": CITATION,
        "settings": dict(settings),
    }
