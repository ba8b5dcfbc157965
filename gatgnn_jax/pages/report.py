"""Pictures and `report.html` of a finished run: from its files, numbers and structures."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError
from rich.console import Console

from data_prep.build import read_skipped
from data_prep.cache import open_dataset
from data_prep.compositions import compositions
from data_prep.dataset import GraphDataset
from data_prep.errors import UserError
from data_prep.lookup import find_structures
from gatgnn_jax.pages.finished import Finished
from gatgnn_jax.pages.plots import draw_training
from gatgnn_jax.pages.report_numbers import report_numbers
from gatgnn_jax.pages.report_page import report_page
from gatgnn_jax.runs.directory import RunDirectory

PAGES = ("learning_curve.png", "parity.png", "report.html")
"""What is made of the other files at the end of a training."""

MAX_SYMMETRIES = 400
"""Of more test crystals, evenly chosen ones tell the error by crystal system: each takes a few
milliseconds, and the report is to take a second or two."""

MAX_ATOMS = 60
"""The symmetry of a larger cell is not looked for: it takes too long."""


def write_report(run: RunDirectory, dataset: GraphDataset, source: Path | None) -> None:
    """Write `report.html` of a finished run, whose crystals are in a dataset made of `source`.

    Raises:
        UserError: the run is not finished, or the dataset is not that of the run.
    """
    finished = read_finished(run)
    ids = finished.predictions.id
    cells = cells_of(ids, dataset, run, source)

    worst = {row for p in finished.config.properties for row in finished.worst(p)}
    small = [row for row in finished.test if cells[row].num_atoms <= MAX_ATOMS]
    step = np.linspace(0, len(small) - 1, min(len(small), MAX_SYMMETRIES)).round().astype(int)
    sample = {small[k] for k in step}
    by_id = find_structures(source, {ids[row] for row in worst | sample})
    gone = "not found in the data any more"
    if by_id is None:
        by_id, gone = {}, "of data that are not read again: graphs, or a file of more than 64 MB"
    structures = {row: by_id[ids[row]] for row in worst | sample if ids[row] in by_id}
    systems = crystal_systems({row: structures[row] for row in sample if row in structures})
    found = len(sample & structures.keys())
    without = {
        f"with more than {MAX_ATOMS} atoms, too many to look for their symmetry": len(finished.test)
        - len(small),
        f"left out, as {MAX_SYMMETRIES} tell enough": len(small) - len(sample),
        gone: len(sample) - found,
        "of a symmetry that spglib does not determine": found - len(systems),
    }
    numbers = report_numbers(finished, cells, systems, without)
    shown = {row: structures[row] for row in sorted(worst) if row in structures}
    run.write_text("report.html", report_page(numbers, shown))


def cells_of(
    ids: Sequence[str], dataset: GraphDataset, run: RunDirectory, source: Path | None
) -> list[Composition]:
    """The contents of the cells of a run's crystals, which are in a dataset made of `source`.

    Raises:
        UserError: one is not there, so that the dataset is not that of the run.
    """
    rows = pd.Series(np.arange(len(dataset)), index=dataset.ids).reindex(ids)
    if rows.isna().any():
        missing = rows.index[rows.isna()][0]
        raise UserError(f"{source or 'the bundled data'} has no {missing}, of {run.path}")
    return compositions(dataset, rows.astype(int))


def read_finished(run: RunDirectory) -> Finished:
    """The files of a finished run.

    Raises:
        UserError: some are missing or damaged.
    """
    summary = run.read_json("summary.json")
    try:
        finished = Finished(
            name=run.path.absolute().name,
            config=run.config(),
            predictions=pd.read_csv(
                run.path / "predictions.csv",
                converters={"id": str},
                # A class may be called null.
                keep_default_na=False,
                na_values=[""],
            ),
            epochs=pd.read_csv(run.path / "metrics.csv"),
            summary=summary,
            skipped=read_skipped(run.path),
        )
        for p in finished.config.properties:
            for read in (finished.target, finished.values, finished.uncertainty):
                read(p)
        if not ("subset" in finished.predictions and "epoch" in finished.epochs):
            raise ValueError("a column is missing")
        if not isinstance(summary.get("best_epoch"), int):
            raise ValueError("no best_epoch")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: train the model again") from None
    except (ValueError, KeyError) as error:
        raise UserError(
            f"predictions.csv, metrics.csv or summary.json of {run.path} is damaged ({error}): put "
            "it back from a copy, or train again"
        ) from None
    return finished


def crystal_systems(structures: Mapping[int, Structure]) -> dict[int, str]:
    """Names of the crystal systems, cubic and so on; without those that cannot be determined."""
    systems = {}
    for row, structure in structures.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # spglib's own deprecations, for instance
                systems[row] = SpacegroupAnalyzer(structure).get_crystal_system()
        except (SymmetryUndeterminedError, ValueError):
            continue
    return systems


def write_pages(run: RunDirectory, dataset: GraphDataset, console: Console) -> None:
    """Draw the pictures of a finished training and write its report, from its files."""
    try:
        draw_training(run.path, read_finished(run))
        write_report(run, dataset, run.config().data.path)
    except Exception as error:  # the training is finished: whatever this is, it must not spoil it
        advice = f"python -m gatgnn_jax.report {run.path}"
        console.print(f"no report.html ({type(error).__name__}: {error}): {advice} tries again")


def write_missing_pages(run: RunDirectory, console: Console) -> None:
    """Do what a kill after the training has left undone."""
    if all((run.path / name).exists() for name in PAGES):
        return
    config = run.config()
    source = config.data.path
    dataset, _ = open_dataset(source, config.graph, quiet=console.quiet, limit=config.data.limit)
    write_pages(run, dataset, console)
