"""`python -m benchmarks.make_pretrained RUN ...`: ready-made models for the package, with cards.

A run of several properties gives a model of each. Of all that predict a property the one with the
lowest validation error is taken. `--folds` names a run of folds whose errors, out of fold, go into
the cards; with `--cards` these alone are written.
"""

import dataclasses
import gzip
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import tyro
from pymatgen.core import Composition

from benchmarks.model_card import NAMES, card, validation_score
from data_prep.cache import open_dataset
from data_prep.compositions import compositions
from data_prep.files import write_text
from data_prep.properties import Property
from gatgnn_jax.cli import run_command
from gatgnn_jax.jobs.folds import averaged, read_members
from gatgnn_jax.jobs.hub import without_folders
from gatgnn_jax.models.base import ModelState
from gatgnn_jax.objective import output_slices
from gatgnn_jax.pages.finished import Finished
from gatgnn_jax.pages.report import read_finished
from gatgnn_jax.prediction.reliability import Reliability, read_reliability, write_reliability
from gatgnn_jax.runs.config import DataInfo, RunConfig
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.ready_made import PRETRAINED, SEEN
from gatgnn_jax.training.optimizer import part_of


def of_property(config: RunConfig, model: ModelState, p: Property) -> tuple[RunConfig, ModelState]:
    """The part of a run that predicts one of its properties."""
    outputs = output_slices(config.properties)[config.properties.index(p)]
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf[..., outputs] if part_of(path) == "out" else leaf, model.params
    )
    own = dataclasses.replace(config, properties=(p,))
    return own, ModelState(params, model.stats)


def of_one_property(known: Reliability, config: RunConfig, p: Property) -> Reliability:
    """The part of what a run knows that is about one of its properties."""
    intervals, training = known.intervals, known.training
    if intervals is not None:
        own = tuple(interval for interval in intervals.properties if interval.name == p.name)
        intervals = dataclasses.replace(intervals, properties=own)
    if training is not None:
        column = config.properties.index(p)
        training = dataclasses.replace(training, values=training.values[:, [column]])
    return Reliability(intervals, training)


def out_of_fold(path: Path) -> Finished:
    """Predictions of all crystals of a run of folds, as the test crystals of its first."""
    first = read_finished(RunDirectory(path / read_members(path)[0].name))
    table = pd.read_csv(path / "predictions.csv", converters={"id": str})
    return dataclasses.replace(first, predictions=averaged(table))


def contents(run: Finished) -> list[Composition]:
    """What the crystals of a run's predictions are made of, in their order."""
    dataset, _ = open_dataset(run.config.data.path, run.config.graph, quiet=True)
    order = {name: row for row, name in enumerate(dataset.ids)}
    return compositions(dataset, [order[name] for name in run.predictions.id.astype(str)])


def export(path: Path, name: str) -> Path:
    """Copy what prediction of a property needs of a run into the package; the folder it is in."""
    run = RunDirectory.open(path)
    config, _, model = run.load_best()
    p = next(p for p in config.properties if p.name == name)
    target = PRETRAINED / p.name
    shutil.rmtree(target, ignore_errors=True)
    own, own_model = of_property(config, model, p)
    # Where the data lay is nobody's business, nor where the run that it started from.
    info = DataInfo(element_counts=config.data.known_elements)
    ready = RunDirectory.create(target, without_folders(dataclasses.replace(own, data=info)))
    ready.save_best(own_model)
    write_reliability(ready, of_one_property(read_reliability(run), config, p))
    split = run.split()
    seen = "\n".join(np.sort(split["train"] + split["val"])) + "\n"
    (target / SEEN).write_bytes(gzip.compress(seen.encode(), mtime=0))
    return target


def write_card(path: Path, name: str, folds: Path | None) -> Path:
    """Write the card of a property's model, which the package has; the file."""
    run = read_finished(RunDirectory.open(path))
    p = next(p for p in run.config.properties if p.name == name)
    assert run.config.data.source is not None
    source = Path(run.config.data.source)
    data = NAMES.get(source.name.partition(".")[0], source.name)
    dataset, _ = open_dataset(source, run.config.graph, quiet=True)
    if rest := len(dataset) - len(run.predictions):
        data += f", {rest:,} of which had no part in it"
    _, _, weights = RunDirectory.open(PRETRAINED / name).load_best()
    size = sum(leaf.size for leaf in jax.tree.leaves(weights.params))
    judged = run if folds is None else out_of_fold(folds)
    card_of = PRETRAINED / name / "README.md"
    write_text(card_of, card(run, p, data, size, judged, contents(judged)))
    return card_of


def main(
    runs: tyro.conf.Positional[tuple[Path, ...]], folds: Path | None = None, cards: bool = False
) -> int:
    """Ready-made models of some runs, one a property, with their cards.

    Args:
        runs: to choose from.
        folds: a run of folds whose errors go into the cards.
        cards: write the cards alone.
    """
    rows = []
    for path in runs:
        run = RunDirectory.open(path)
        summary = run.read_json("summary.json")
        rows += [
            {"run": path, "property": p.name, "score": validation_score(summary, p)}
            for p in run.config().properties
        ]
    for name, group in pd.DataFrame(rows).groupby("property"):
        best = group.sort_values("score").run.iloc[0]
        if not cards:
            export(best, str(name))
        sys.stdout.write(f"{write_card(best, str(name), folds)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: tyro.cli(main, prog="python -m benchmarks.make_pretrained")))
