"""What a finished training leaves in its run directory: predictions, pictures and a summary."""

import platform
from importlib import metadata
from typing import Any

import numpy as np
from flax import nnx

from gatgnn_jax import plots
from gatgnn_jax.model import parameter_count
from gatgnn_jax.run_directory import RunDirectory
from gatgnn_jax.splits import SUBSETS
from gatgnn_jax.subset_predictions import predict_subsets
from gatgnn_jax.tables import to_csv
from gatgnn_jax.training import Trainer


def write_results(
    run: RunDirectory, trainer: Trainer, ids: np.ndarray, num_skipped: int
) -> dict[str, Any]:
    """Write predictions, pictures and the summary; returns the summary.

    Args:
        run: where to.
        trainer: at the end of its training.
        ids: of the dataset's crystals [C].
        num_skipped: crystals of the source that were left out.
    """
    config, progress, subsets = trainer.config, trainer.progress, trainer.subsets
    predictions = predict_subsets(trainer.predict, trainer.best, subsets, ids, trainer.target)
    predicted, target = predictions.predicted, predictions.target
    spread = predictions.spread["test"]
    run.write_text("predictions.csv", to_csv(predictions.table()))
    plots.learning_curve(progress.rows, progress.best_epoch, config.properties, run.path)
    plots.parity(predicted, target, config.properties, run.path)
    if spread is not None:
        plots.calibration(predicted["test"], target["test"], spread, config.properties, run.path)

    summary: dict[str, Any] = {}
    for name in reversed(SUBSETS):
        summary |= predictions.scores(name)
    if spread is not None:
        summary["members"] = predictions.member_scores("test")
    seconds = sum(row["seconds"] + row["validation_seconds"] for row in progress.timing)
    summary |= {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "seconds": round(seconds, 2),
        "crystals_per_second": round(
            float(np.median([row["crystals_per_second"] for row in progress.timing])), 1
        ),
        "crystals": {name: len(rows) for name, rows in subsets.items()},
        "skipped": num_skipped,
        "parameters": parameter_count(nnx.eval_shape(config.new_model)),
        "padding_share": round(trainer.feed.plan.padding_share(subsets["train"]), 4),
        "compilations": trainer.compilations,
        "versions": {
            name: metadata.version(name)
            for name in ("gatgnn_jax", "jax", "jaxlib", "flax", "optax")
        },
        "python": platform.python_version(),
        "device": f"{trainer.mesh.size} x {trainer.mesh.devices.flat[0].device_kind}",
    }
    run.write_json("summary.json", summary)
    return summary
