"""Explanations as one web page that needs nothing else, not even a network."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from data_prep.errors import Skipped
from gatgnn_jax.models.global_attention import label_of
from gatgnn_jax.objective import value_slices
from gatgnn_jax.pages.assemble import assemble, crystal_data
from gatgnn_jax.prediction.explanation import Explanation
from gatgnn_jax.prediction.result import Predictions

COLOR_MAP = "RdBu_r"
"""Blue below the equal share, white at it, red above; the colour-blind tell the two apart."""

LEAST_WIDTH = 0.5
"""The ends of the colour map differ from the equal share by at least this part of it."""

TITLE = "Attention – gatgnn_jax"
SCRIPTS = ("tables.js", "geometry.js", "polyhedra.js", "crystal.js", "explain.js")


class View(NamedTuple):
    """One model's explanation of a crystal."""

    run: str
    global_attention: str
    explanation: Explanation


class ExplainedCrystal(NamedTuple):
    """A crystal as one or several models see it; the views are shown side by side."""

    id: str
    views: Sequence[View]


def explain_page(crystals: Sequence[ExplainedCrystal], skipped: Sequence[Skipped]) -> str:
    """The page: crystals in 3-D, coloured by attention, with bonds by layer and sortable tables."""
    return assemble("explain.html", TITLE, ["style.css"], SCRIPTS, explain_data(crystals, skipped))


def explain_data(
    crystals: Sequence[ExplainedCrystal], skipped: Sequence[Skipped]
) -> dict[str, Any]:
    """What `explain.js` shows."""
    return {
        "colors": [to_hex(color) for color in mpl.colormaps[COLOR_MAP](range(256))],
        "crystals": [_crystal(crystal) for crystal in crystals],
        "skipped": [list(entry) for entry in skipped],
    }


def color_domain(weights: np.ndarray) -> tuple[float, float]:
    """The weights that the ends of the colour map stand for, as far below the equal share as above.

    `weights` [views, n] sum to 1 in each view, so that the equal share is 1/n. The lower end may be
    negative, which no weight is. Weights that hardly differ get hardly different colours.
    """
    equal = 1 / weights.shape[1]
    width = max(float(np.abs(weights - equal).max()), LEAST_WIDTH * equal)
    return equal - width, equal + width


def _crystal(crystal: ExplainedCrystal) -> dict[str, Any]:
    structure = crystal.views[0].explanation.structure
    weights = np.stack([view.explanation.atom_weights for view in crystal.views])
    is_new = len({view.global_attention for view in crystal.views}) == len(crystal.views)
    return {
        "id": crystal.id,
        **crystal_data(structure),
        "domain": color_domain(weights),
        "views": [
            {
                "run": view.run,
                "method": label_of(view.global_attention) + _of_members(view.explanation),
                "label": label_of(view.global_attention).partition(":")[0] if is_new else view.run,
                "predictions": prediction_texts(view.explanation.prediction),
                **_attention(view.explanation),
            }
            for view in crystal.views
        ],
    }


def _of_members(explanation: Explanation) -> str:
    """A word on ensembles, whose attention is a mean."""
    return "" if explanation.prediction.uncertainty is None else ", mean of an ensemble"


def _attention(explanation: Explanation) -> dict[str, Any]:
    return {
        "weights": [float(f"{weight:.8g}") for weight in explanation.atom_weights],
        "receivers": explanation.receivers.tolist(),
        "senders": explanation.senders.tolist(),
        "images": explanation.images.tolist(),
        "distances": np.round(explanation.distances, 4).tolist(),
        "attention": np.round(explanation.edge_attention, 6).tolist(),
    }


def interval_text(prediction: Predictions, t: int) -> str:
    """The 90 % interval of a property's value; empty if there is none."""
    if prediction.lower is None or prediction.upper is None:
        return ""
    own = value_slices(prediction.properties)[t].start
    low, high = (float(end[0, own]) for end in (prediction.lower, prediction.upper))
    return "" if np.isnan(low) else f"{low:.4g} to {high:.4g} {prediction.units[t]}".rstrip()


def _worth(prediction: Predictions, t: int) -> str:
    """Interval, nearest training crystal and warning of a property's value, where there are any."""
    p, parts = prediction.properties[t], []
    if interval := interval_text(prediction, t):
        parts.append(f"90 %: {interval}")
    nearest = prediction.neighbors and prediction.neighbors[0]
    if nearest:
        value = float(p.in_own_unit(nearest.values[t]))
        known = f"{value:.4g} {p.unit}"
        if p.classes and not np.isnan(value):
            known = p.classes[int(value)]
        true = "" if np.isnan(value) else f", true {known}".rstrip()
        near = f"{nearest.id} {nearest.formula}{true}, distance {nearest.distance:.2g}"
        parts.append(f"nearest training crystal: {near}")
    parts += filter(None, prediction.warnings)
    return " · ".join(parts)


def prediction_texts(prediction: Predictions) -> list[dict[str, str]]:
    """Value, unit and small print of every property; of an ensemble with the uncertainty."""
    texts = []
    slices = value_slices(prediction.properties)
    for t, (p, own) in enumerate(zip(prediction.properties, slices, strict=True)):
        values, unit = prediction.transformed[0, own], p.unit
        place = int(values.argmax())  # of more than two classes the likeliest
        value = values[place]
        transformed = f"{value:.4f}"
        if prediction.uncertainty is not None:
            spread = prediction.uncertainty[0, own][place]
            transformed += f" ± {spread:.4f}"
            if p.is_rescaled:  # it is not the same upwards and downwards
                low, high = p.in_own_unit(np.array([value - spread, value + spread]))
                unit += f" ({low:.4g} to {high:.4g})"
        name = p.name.replace("_", " ")
        if p.task == "classification":
            one = p.class_names[place if p.num_values > 1 else 1]
            note = f"probability, {name}" + (f" = {one}" if p.classes else "")
            texts.append({"value": transformed, "unit": "", "note": note})
        elif not p.is_rescaled:
            texts.append({"value": transformed, "unit": unit, "note": name})
        else:
            note = f"{name} · {prediction.transformed_units[t]} = {transformed}"
            texts.append(
                {"value": f"{prediction.values[0, own.start]:.4g}", "unit": unit, "note": note}
            )
        texts[-1]["worth"] = _worth(prediction, t)
    return texts
