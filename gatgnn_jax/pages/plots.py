"""Pictures: learning curve and parity plot (Figure 4 of the paper), calibration."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from data_prep.properties import Property, ending_of
from gatgnn_jax.choices import Format
from gatgnn_jax.objective import known_pairs, metrics, value_slices
from gatgnn_jax.pages.calibration import coverage, reliability
from gatgnn_jax.pages.classes import roc_curves
from gatgnn_jax.pages.finished import Finished

COLORS = {"train": "#9aa5b1", "val": "#e08e2b", "test": "#1f6fb2"}
STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # letters stay letters, as journals ask
    "svg.fonttype": "none",
    "svg.hashsalt": "gatgnn_jax",  # the same picture is the same file
}


def draw_training(directory: Path, run: Finished, kind: Format = "png") -> list[Path]:
    """Draw the pictures of a finished training; the files that were written."""
    paths = [directory / f"{name}.{kind}" for name in ("learning_curve", "parity", "calibration")]
    properties = run.config.properties
    rows = run.epochs.to_dict("records")
    learning_curve(rows, run.summary["best_epoch"], properties, paths[0])
    subset = run.predictions.subset
    predicted, target = (
        {name: values[subset == name] for name in subset.unique()}
        for values in (
            np.concatenate([run.values(p) for p in properties], axis=1),
            _stacked(run.target, properties),
        )
    )
    parity(predicted, target, properties, paths[1])
    if run.config.train.members > 1 and "test" in predicted:
        test = subset == "test"
        drawn, truth, spread = (
            _stacked(own, properties)[test] for own in (run.predicted, run.aim, run.uncertainty)
        )
        calibration(drawn, truth, spread, properties, paths[2])
        return paths
    return paths[:2]


def _stacked(column: Callable[[Property], Any], properties: Sequence[Property]) -> np.ndarray:
    return np.stack([column(p) for p in properties], axis=1)


def learning_curve(
    rows: Sequence[Mapping[str, float]],
    best_epoch: int,
    properties: Sequence[Property],
    path: Path,
) -> None:
    """The learning curve: training and validation error by epoch, a panel for each property."""
    with mpl.rc_context(STYLE):
        figure, panels = new_panels(len(properties), (6.4, 4.2))
        epochs = [row["epoch"] for row in rows]
        for p, axes in zip(properties, panels, strict=True):
            ending = ending_of(p, properties)
            is_class = p.task == "classification"
            train = [row[("train_error" if is_class else "train_mae") + ending] for row in rows]
            val = np.array(
                [row[("val_accuracy" if is_class else "val_mae") + ending] for row in rows]
            )
            val = 1 - val if is_class else val
            axes.plot(epochs, train, color=COLORS["train"], label="training", linewidth=1.2)
            axes.plot(epochs, val, color=COLORS["val"], label="validation", linewidth=1.2)
            axes.axvline(best_epoch, color=COLORS["test"], linewidth=0.9, linestyle="--")
            axes.plot(
                best_epoch,
                val[best_epoch - 1],
                "o",
                color=COLORS["test"],
                label=f"best: {val[best_epoch - 1]:.4f} in epoch {best_epoch}",
            )
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel("epoch")
            axes.set_ylabel("wrong class" if is_class else with_unit("mean absolute error", p))
            axes.set_title(title_of(p))
            axes.legend()
        save(figure, path)


def parity(
    predicted: Mapping[str, np.ndarray],
    target: Mapping[str, np.ndarray],
    properties: Sequence[Property],
    path: Path,
) -> None:
    """The parity plot: predicted against true values; for a classification the ROC curve.

    Arrays by subset, [C, V] and [C, T]. Without test crystals those of validation are shown.
    """
    with mpl.rc_context(STYLE):
        figure, panels = new_panels(len(properties), (5.2, 5.2))
        slices = value_slices(properties)
        for t, (p, own, axes) in enumerate(zip(properties, slices, panels, strict=True)):
            draw = _roc if p.task == "classification" else _scatter
            draw(
                axes,
                p,
                {name: values[:, own] for name, values in predicted.items()},
                {name: values[:, t] for name, values in target.items()},
            )
        save(figure, path)


def calibration(
    predicted: np.ndarray,
    target: np.ndarray,
    uncertainty: np.ndarray,
    properties: Sequence[Property],
    path: Path,
) -> None:
    """Calibration: do an ensemble's test errors lie where its uncertainty says?

    All arrays [C, T]. For a regression the share of errors within the interval that should hold
    each share of them, were they normal; for a classification how often a class is right, by its
    probability: class 1, of more than two classes the true one. On the diagonal all is as it should
    be; below it the model is too sure.
    """
    with mpl.rc_context(STYLE):
        figure, panels = new_panels(len(properties), (5.2, 5.2))
        for t, (p, axes) in enumerate(zip(properties, panels, strict=True)):
            known = np.isfinite(target[:, t])
            value, truth = predicted[known, t], target[known, t]
            if p.task == "classification":
                x, y = reliability(value, truth)
                one = class_title(p, 1)
                axes.set(xlabel=f"predicted probability of {one}", ylabel=f"share of {one}")
            else:
                x, y = coverage(np.abs(value - truth), uncertainty[known, t])
                axes.set(xlabel="expected share of errors", ylabel="share of errors found")
            axes.plot(x, y, color=COLORS["test"], marker="o", markersize=4)
            axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title_of(p))
        save(figure, path)


def _scatter(
    axes: Axes, p: Property, predicted: Mapping[str, np.ndarray], target: Mapping[str, np.ndarray]
) -> None:
    shown = _judged(predicted)
    predicted = {name: values[:, 0] for name, values in predicted.items()}
    for name, marker_size in (("train", 8), (shown, 16)):
        if name not in predicted:  # out of folds there are test crystals only
            continue
        axes.scatter(
            target[name],
            predicted[name],
            s=marker_size,
            color=COLORS[name],
            alpha=0.35 if name == "train" else 0.6,
            linewidths=0,
            label=f"{name} ({np.isfinite(target[name]).sum():,})",
            rasterized=True,
        )
    everything = np.concatenate([*predicted.values(), *target.values()])
    low, high = np.nanmin(everything), np.nanmax(everything)
    margin = 0.04 * max(high - low, 1e-6)
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color="black", linewidth=0.8)
    axes.set(xlim=limits, ylim=limits, aspect="equal", title=title_of(p))
    axes.set_xlabel(with_unit("true", p))
    axes.set_ylabel(with_unit("predicted", p))
    scores = metrics(predicted[shown][:, None], target[shown][:, None], [p])
    text = f"{shown} MAE {scores['mae']:.4f}\nRMSE {scores['rmse']:.4f}"
    if np.isfinite(scores["r2"]):  # a single crystal has none
        text += f"\nR² {scores['r2']:.4f}"
    axes.text(0.97, 0.04, text, transform=axes.transAxes, ha="right", va="bottom")
    axes.legend(loc="upper left", markerscale=2)


def _roc(
    axes: Axes, p: Property, predicted: Mapping[str, np.ndarray], target: Mapping[str, np.ndarray]
) -> None:
    shown = _judged(predicted)
    truth = target[shown][:, None]
    scores = metrics(predicted[shown], truth, [p])
    pair = known_pairs(predicted[shown], truth, [p], 0)
    for name, curve in roc_curves(*pair, p).items():
        color = None if p.num_values > 1 else COLORS[shown]
        axes.plot(curve[:, 0], curve[:, 1], color=color, label=plain(name))
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title_of(p))
    axes.set_xlabel("false positives")
    axes.set_ylabel("true positives")
    if axes.lines[:-1] and p.num_values > 1:
        axes.legend(loc="center right")
    text = (
        f"{shown} accuracy {scores['accuracy']:.4f}\n"
        f"balanced {scores['balanced_accuracy']:.4f}\nAUC {scores['auc']:.4f}"
    )
    axes.text(0.97, 0.04, text, transform=axes.transAxes, ha="right", va="bottom")


def _judged(predicted: Mapping[str, np.ndarray]) -> str:
    """The subset that tells how good a model is."""
    return "test" if "test" in predicted else "val"


def new_panels(count: int, size: tuple[float, float]) -> tuple[Figure, Sequence[Axes]]:
    """A picture of so many panels side by side, each of a size in inches."""
    # A figure of its own canvas, not pyplot's: works without a screen and leaves no global state.
    figure = Figure(figsize=(size[0] * count, size[1]), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, count, squeeze=False)[0]


def title_of(p: Property) -> str:
    """A property's name for a picture."""
    return plain(p.name.replace("_", " "))


def class_title(p: Property, number: int) -> str:
    """What a class is called: by its name, or class 1."""
    return plain(p.classes[number]) if p.classes else f"class {number}"


def with_unit(text: str, p: Property) -> str:
    """A text for a picture with the unit that the model works with."""
    unit = p.trained_unit
    return f"{text} ({plain(unit)})" if unit else text


def plain(text: str) -> str:
    """The text for matplotlib, which takes what stands between dollars for a formula."""
    return text.replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write a picture whole or not at all, as what its name ends in: PNG, SVG or PDF."""
    temporary = path.with_name(f".{path.name}")
    kind = path.suffix[1:]
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    try:
        figure.savefig(temporary, format=kind, metadata=undated)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
