"""A map of crystals as a model sees them: a picture with labels, and a page to look around in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from data_prep.properties import Property, ending_of
from gatgnn_jax.objective import class_of, deviations, value_slices
from gatgnn_jax.pages.assemble import assemble
from gatgnn_jax.pages.plots import (
    STYLE,
    class_title,
    new_panels,
    plain,
    save,
    title_of,
    with_unit,
)
from gatgnn_jax.pages.report_numbers import short
from gatgnn_jax.prediction.columns import prediction_columns

COLOR_MAP = "viridis"
"""Rises evenly in lightness, so that it also works in grey and for the colour-blind."""

TITLE = "Map of crystals – gatgnn_jax"
SCRIPTS = ("tables.js", "geometry.js", "chart.js", "map.js")

MOST_SHOWN = 20_000
"""Of more crystals, evenly chosen ones stand on the page."""

NEIGHBOURS = 6
"""Nearest crystals that the page tells of each."""

LABELS = 24
"""Crystals that the picture names."""


@dataclass(frozen=True)
class CrystalMap:
    """C crystals in a plane, with what is known of each."""

    points: np.ndarray
    """[C, 2]"""
    axis_names: tuple[str, str]
    vectors: np.ndarray
    """[C, F], by which crystals are near or far"""
    ids: Sequence[str]
    formulas: Sequence[str]
    columns: pd.DataFrame
    """Numbers of each crystal, C rows; NaN where there is none. The first is shown."""
    class_names: Mapping[str, Sequence[str]]
    """What the numbers in some columns are called."""


def map_columns(
    properties: Sequence[Property],
    predicted: np.ndarray,
    target: np.ndarray,
    uncertainty: np.ndarray | None,
    half_width: np.ndarray | None,
) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """The columns of a map, and the names of classes that are told by their numbers in some.

    As `prediction_columns` from arrays [C, V] and [C, T], with errors and units. What is drawn of
    each property comes first, with its targets and errors, then whatever else there is.
    """
    table = prediction_columns(properties, predicted, target, uncertainty, half_width)
    errors = deviations(predicted, target, properties)
    first: list[str] = []
    units: dict[str, str] = {}
    names: dict[str, tuple[str, ...]] = {}
    for t, (p, own) in enumerate(zip(properties, value_slices(properties), strict=True)):
        ending = ending_of(p, properties)
        table[f"error{ending}"] = errors[:, t]
        if p.task == "classification":
            said = predicted[:, own.start] if p.num_values == 1 else predicted[:, own]
            table[f"prediction{ending}"], table[f"target{ending}"] = class_of(said), target[:, t]
            names |= {f"{name}{ending}": p.class_names for name in ("prediction", "target")}
        value = "probability" if p.task == "classification" and p.num_values == 1 else "prediction"
        first += [f"{name}{ending}" for name in (value, "target", "error")]
        for name in ("prediction", "target", "error", "uncertainty", "lower", "upper"):
            units[f"{name}_{p.own_suffix}{ending}"] = f"{name}{ending}, {p.unit}"
            if p.trained_unit:
                units[name + ending] = f"{name}{ending}, {p.trained_unit}"
    numbers = table.select_dtypes("number").dropna(axis="columns", how="all")
    order = sorted(numbers, key=lambda name: first.index(name) if name in first else len(first))
    return numbers[order].rename(columns=units), names


def draw_map(crystals: CrystalMap, p: Property, path: Path) -> None:
    """A picture of the map, coloured by the first column, the values of a property.

    Formulas stand at crystals that are spread over the whole of it.
    """
    points, values = crystals.points, crystals.columns.iloc[:, 0]
    with mpl.rc_context(STYLE):
        figure, (axes,) = new_panels(1, (7.2, 5.6))
        shown = axes.scatter(
            points[:, 0],
            points[:, 1],
            c=values,
            s=14,
            cmap=COLOR_MAP,
            linewidths=0,
            alpha=0.85,
            rasterized=True,
        )
        for row in spread_out(points, LABELS):
            axes.annotate(
                plain(crystals.formulas[row]),
                points[row],
                xytext=(3, 3),
                textcoords="offset points",
                fontsize=7,
                bbox={"boxstyle": "round,pad=0.1", "fc": "white", "alpha": 0.6, "lw": 0},
            )
        axes.set(
            xlabel=crystals.axis_names[0],
            ylabel=crystals.axis_names[1],
            title=f"{len(points):,} crystals",
        )
        what = title_of(p)
        if p.task == "classification":
            what = f"class of {what}" if p.num_values > 1 else f"probability of {class_title(p, 1)}"
        bar = figure.colorbar(shown, label=f"predicted {with_unit(what, p)}")
        if p.num_values > 1:
            bar.set_ticks(range(p.num_values), labels=[*map(plain, p.class_names)])
        save(figure, path)


def spread_out(points: np.ndarray, count: int) -> list[int]:
    """Rows of points [C, 2] that are far from each other; the first is farthest from the middle.

    Farthest-point sampling (Gonzalez, Theor. Comput. Sci. 38, 293, 1985), of points that differ.
    """
    scaled = (points - points.mean(0)) / np.maximum(points.std(0), 1e-12)
    chosen: list[int] = []
    distance = np.linalg.norm(scaled, axis=1)
    while len(chosen) < count and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        own = np.linalg.norm(scaled - scaled[chosen[-1]], axis=1)
        distance = own if len(chosen) == 1 else np.minimum(distance, own)
    return chosen


def nearest(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other vectors of each of [C, F]: rows [C, k] and distances [C, k], k ≤ `count`.

    Euclidean distances, the nearest first.
    """
    from sklearn.neighbors import NearestNeighbors  # as elsewhere: it takes a second

    k = min(count, len(vectors) - 1)
    distances, rows = NearestNeighbors(n_neighbors=k).fit(vectors).kneighbors()
    return rows, distances


def map_page(crystals: CrystalMap, model: str) -> str:
    """The page of a model's map: crystals in the colours of any column, with their nearest ones."""
    total = len(crystals.ids)
    rows = np.linspace(0, total - 1, min(total, MOST_SHOWN)).round().astype(int)
    near, distances = nearest(crystals.vectors[rows].astype(np.float64), NEIGHBOURS)
    data: Mapping[str, Any] = {
        "model": model,
        "total": total,
        "colors": [to_hex(color) for color in mpl.colormaps[COLOR_MAP](range(256))],
        "axes": crystals.axis_names,
        "points": _shortened(crystals.points[rows], 5),
        "ids": [crystals.ids[row] for row in rows],
        "formulas": [crystals.formulas[row] for row in rows],
        "columns": [
            {
                "name": name,
                "names": list(crystals.class_names.get(name, [])),
                "values": _shortened(crystals.columns[name].to_numpy(np.float64)[rows], 5),
            }
            for name in crystals.columns
        ],
        "near": near.tolist(),
        "distances": _shortened(distances, 3),
    }
    return assemble("map.html", TITLE, ["style.css", "report.css", "map.css"], SCRIPTS, data)


def _shortened(values: np.ndarray, digits: int) -> list[Any]:
    """Nested lists with few digits, for a small page."""
    return np.vectorize(lambda value: short(value, digits), otypes=[object])(values).tolist()
