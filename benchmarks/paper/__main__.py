"""`python -m benchmarks.paper NAME`: a table or figure of the paper, trained and written down.

Every finished training is put into `benchmarks/results/NAME.json` at once and is not repeated when
the command runs again; one that was interrupted goes on. The runs themselves stay under
`runs/paper`, where `evaluate`, `predict` and the other commands can use them.
"""

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from benchmarks import provenance
from benchmarks.paper import results
from benchmarks.paper.features import features, features_markdown
from benchmarks.paper.figures import figure4, table5, table5_markdown
from benchmarks.paper.networks import compare, models_markdown, speeds
from benchmarks.paper.paired import FIRST, compare_methods
from benchmarks.paper.recipes import large, models, models_as_published
from benchmarks.paper.studies import FULL_EPOCHS, STUDIES, in_full
from benchmarks.paper.trainings import Place, Training, train_all
from data_prep.errors import UserError
from data_prep.files import write_text
from gatgnn_jax.cli import run_command

DOCUMENTS = (Path("docs/reproduction.md"), Path("docs/experiments.md"), Path("docs/results.md"))
"""Where the tables stand, between marks of the study's name."""

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Options:
    """Train and write down a table or figure of the paper."""

    name: Annotated[
        Literal[
            "table2",
            "table3",
            "table3_recipe",
            "table4",
            "table5",
            "figure4",
            "features",
            "transfer",
            "models",
            "large",
            "best",
        ],
        tyro.conf.Positional,
    ]
    """What to reproduce."""
    data_dir: Path = Path("../shared/data")
    """Folder with mp_elastic.jsonl.gz, mp_elastic_split.json, mp_cgcnn.jsonl.gz, …"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One training each."""
    epochs: int | None = None
    """Other than the study's own."""
    property: str | None = None
    """Only the rows of this property."""
    method: str | None = None
    """Only the rows of this method."""
    full: bool = False
    """The paper's training size and epochs for all rows, instead of samples of the large sets; of
    `models` every network by its own paper's recipe too."""
    jobs: int = max(os.cpu_count() or 1, 1)
    """Trainings at once, each on its share of the cores; 1 on a GPU."""
    out: Path = Path("benchmarks/results")
    """Folder for NAME.json and NAME.md."""
    runs: Path = Path("runs/paper")
    """Folder for the run directories."""


def chosen(options: Options) -> list[Training]:
    """The trainings of a study, as the options change them."""
    trainings = selected(options, STUDIES[options.name]())
    if options.full:
        trainings = [in_full(t) for t in trainings]
    if options.epochs is not None:
        trainings = [replace(t, epochs=options.epochs) for t in trainings]
    return trainings


def selected(options: Options, trainings: list[Training]) -> list[Training]:
    """Those of the property and the method asked for, or all."""
    own = [
        t
        for t in trainings
        if options.property in (None, t.target) and options.method in (None, t.method)
    ]
    if not own:
        asked = " and ".join(filter(None, (options.property, options.method)))
        raise UserError(f"{options.name} has no row of {asked}")
    return own


def study(options: Options) -> None:
    """Train what is not in the results yet, seed by seed, and write the results after each."""
    trainings = chosen(options)
    place = Place(options.data_dir, options.runs)
    path = options.out / f"{options.name}.json"
    rows = results.read_rows(path)
    wanted = []
    for seed in options.seeds:
        for training in trainings:
            done = results.find(rows, training)
            if not done or seed not in done[0]["seeds"]:
                wanted.append((training, seed))
    console.print(f"{len(wanted)} trainings to do, {options.jobs} at a time")
    order, first = STUDIES[options.name](), FIRST.get(options.name)
    for training, seed in train_all(place, wanted, options.jobs):
        results.record(rows, training, seed, place)
        rows.sort(key=lambda row: results.position(row, order))
        results.write_rows(path, rows)
        for row in results.find(rows, training):
            value = row["test_mae"][row["seeds"].index(seed)]
            told = f"{row['property']}, {training.method}, seed {seed}"
            console.print(f"{told}: test MAE {value:.4f}")
    if first is not None:
        compare_methods(rows, place, first)
        results.write_rows(path, rows)
    of_the_paper = options.name in ("table2", "table3", "table4")
    full_epochs = FULL_EPOCHS if of_the_paper else None
    publish(options, results.markdown(rows, full_epochs, first))
    console.print(f"see {path} and {path.with_suffix('.md')}")


NETWORKS = {"models": models, "large": large}
"""The studies that compare networks."""


def networks(options: Options) -> None:
    """Train the networks asked for; with `--full` by their own recipes too, where there are folds.

    The table has all that are trained.
    """
    trainings = NETWORKS[options.name]()
    own = models_as_published() if options.name == "models" else []
    wanted = selected(options, trainings + (own if options.full else []))
    place = Place(options.data_dir, options.runs)
    speeds = speeds_once(options, trainings, place) if options.name == "models" else []
    for _ in train_all(place, [(training, 0) for training in wanted], options.jobs):
        pass
    rows = compare(place, [t for t in trainings + own if place.is_finished(t, 0)])
    path = options.out / f"{options.name}.json"
    results.write_rows(path, rows)
    publish(options, models_markdown(rows, speeds))
    console.print(f"see {path} and {path.with_suffix('.md')}")


def speeds_once(options: Options, trainings: list[Training], place: Place) -> list[results.Row]:
    """How fast the networks are, measured unless an earlier call has written it down."""
    path = options.out / "models_speed.json"
    if not path.exists():
        made_by = {"commit": provenance.commit(), "machine": provenance.machine()}
        results.write_rows(path, [row | made_by for row in speeds(trainings, place)])
    return json.loads(path.read_text())


FIGURES = {
    "figure4": (figure4, None),
    "table5": (table5, table5_markdown),
    "features": (features, features_markdown),
}
"""What works on single trained runs: rows to be written, and a table of them if it is one."""


def figure(options: Options) -> None:
    """Train what it needs, with the first seed, unless it is there, and write what it says."""
    make, to_markdown = FIGURES[options.name]
    options.out.mkdir(parents=True, exist_ok=True)
    place = Place(options.data_dir, options.runs)
    rows = make(place, options.seeds[0], options.jobs, options.out)
    path = options.out / f"{options.name}.json"
    results.write_rows(path, [row | {"commit": provenance.commit()} for row in rows])
    if to_markdown is not None:
        publish(options, to_markdown(rows))
    console.print(f"see {path}")


def publish(options: Options, table: str) -> None:
    """Write a table as a file of its own and into the documents that show it."""
    write_text(options.out / f"{options.name}.md", table)
    for document in DOCUMENTS:
        results.put_section(document, options.name, table)


def main(options: Options) -> int:
    """Run a study, or draw a figure from the runs of one."""
    if options.name in STUDIES:
        study(options)
    elif options.name in NETWORKS:
        networks(options)
    else:
        figure(options)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Options, prog="python -m benchmarks.paper"))))
