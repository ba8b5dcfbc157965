"""What pages show of classes: which are taken for which, and ROC curves."""

from typing import Any

import numpy as np

from data_prep.properties import Property
from gatgnn_jax.objective import confusion, every_probability, known_pairs
from gatgnn_jax.pages.finished import Finished


def class_numbers(run: Finished, p: Property) -> dict[str, Any]:
    """What the page says of classes: names, which are taken for which, ROC curves by subset."""
    if p.task == "regression":
        return {}
    target, subset = run.target(p), run.predictions.subset
    judged = {name: (subset == name) & np.isfinite(target) for name in ("val", "test")}
    pairs = {
        name: known_pairs(run.values(p)[rows], target[rows][:, None], [p], 0)
        for name, rows in judged.items()
        if rows.any()
    }
    return {
        "classes": p.class_names,
        "truth": [None if np.isnan(k) else int(k) for k in target],
        "said": run.said(p).tolist(),
        "confusion": {name: confusion(*own, p).tolist() for name, own in pairs.items()},
        "roc": {
            name: [[label, curve.round(4).tolist()] for label, curve in roc_curves(*own, p).items()]
            for name, own in pairs.items()
        },
    }


def roc_curves(target: np.ndarray, probability: np.ndarray, p: Property) -> dict[str, np.ndarray]:
    """False and true positives and the threshold, [points, 3], by the class that is looked for.

    Of two classes the second is, of more each against the rest; one that all crystals have, or
    none, has no curve. Arguments as of `objective.known_pairs`.
    """
    from sklearn.metrics import roc_curve  # as in `objective`: only where needed

    curves = {}
    every = every_probability(probability)
    for k, name in enumerate(p.class_names):
        found = target == k
        if (p.num_values > 1 or k == 1) and found.any() and not found.all():
            wrong, right, threshold = roc_curve(found, every[:, k])
            # The first, which nothing reaches, is infinite.
            curves[name] = np.stack([wrong, right, np.minimum(threshold, 1)], axis=1)
    return curves
