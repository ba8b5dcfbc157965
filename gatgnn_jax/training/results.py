"""What a finished training leaves in its run directory: predictions and a summary."""

import platform
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np
from flax import nnx

from data_prep.dataset import GraphDataset
from gatgnn_jax import __version__
from gatgnn_jax.batches.splits import SUBSETS
from gatgnn_jax.devices.processes import is_first
from gatgnn_jax.models.base import parameter_count
from gatgnn_jax.prediction.columns import digits_of, to_csv
from gatgnn_jax.prediction.reliability import Reliability, write_reliability
from gatgnn_jax.prediction.subsets import predict_subsets
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.training.loop import Trainer
from gatgnn_jax.training.reliability import measure_distances, measure_intervals


def write_results(
    run: RunDirectory, trainer: Trainer, dataset: GraphDataset, num_skipped: int
) -> dict[str, Any]:
    """Write predictions, what they are worth, and a summary, which is returned.

    All processes come here, one writes.

    Args:
        run: where to.
        trainer: at the end of its training.
        dataset: its crystals.
        num_skipped: crystals of the source that were left out.
    """
    config, progress, subsets = trainer.config, trainer.progress, trainer.subsets
    predictions = predict_subsets(
        trainer.predict, trainer.best, subsets, dataset.ids, trainer.target
    )
    intervals = measure_intervals(predictions)
    predictions = replace(predictions, intervals=intervals)
    training = measure_distances(trainer, dataset, predictions)
    table = to_csv(predictions.table(), digits=digits_of(config.properties))
    if is_first():
        run.write_text("predictions.csv", table)
        write_reliability(run, Reliability(intervals, training))

    summary: dict[str, Any] = {}
    for name in reversed([*subsets]):
        summary |= predictions.scores(name)
    if predictions.spread.get("test") is not None:
        summary["members"] = predictions.member_scores("test")
    seconds = sum(row["seconds"] + row["validation_seconds"] for row in progress.timing)
    summary |= {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "seconds": round(seconds, 2),
        "crystals_per_second": round(
            float(np.median([row["crystals_per_second"] for row in progress.timing])), 1
        ),
        "crystals": {name: len(subsets.get(name, ())) for name in SUBSETS},
        "skipped": num_skipped,
        "parameters": parameter_count(nnx.eval_shape(config.new_model)),
        "padding_share": round(trainer.feed.plan.padding_share(subsets["train"]), 4),
        "compilations": trainer.compilations,
        "versions": {"gatgnn_jax": __version__}
        | {name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")},
        "python": platform.python_version(),
        "device": f"{trainer.mesh.size} x {trainer.mesh.devices.flat[0].device_kind}",
    }
    if is_first():
        run.write_json("summary.json", summary)
    return summary
