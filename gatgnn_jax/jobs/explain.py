"""What `explain` does: attention of atoms and bonds, as a table and a web page."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from data_prep.errors import BadCrystal, Skipped, UserError, number_of
from data_prep.files import write_text
from data_prep.progress import plain_console
from data_prep.reading.sources import open_structures, read_item
from gatgnn_jax.cli import output_folder
from gatgnn_jax.pages.explain_page import ExplainedCrystal, View, explain_page
from gatgnn_jax.prediction.columns import to_csv
from gatgnn_jax.prediction.explanation import Explanation
from gatgnn_jax.prediction.predictor import Predictor
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.one_writer import one_writer
from gatgnn_jax.runs.ready_made import find_run, short_names

if TYPE_CHECKING:
    from gatgnn_jax.explain import ExplainOptions


MAX_VIEWS = 100
"""More pictures than this make a page that nobody looks at."""


def explain(options: "ExplainOptions") -> int:
    """Write attention.csv, bonds.csv and explain.html; the exit status."""
    runs, files = runs_and_files(options.paths)
    page = options.out / "explain.html"
    if page.exists() and not options.overwrite:
        raise UserError(f"{page} is there already: choose another --out, or give --overwrite")
    source = open_structures(files)
    if source.count * len(runs) > MAX_VIEWS:
        raise UserError(
            f"{source.count} crystals under {len(runs)} models are more than the {MAX_VIEWS} "
            "pictures a page can show: name fewer files"
        )
    predictors = {
        name: Predictor.load(run, device=options.device, trust_code=options.trust_code)
        for name, run in runs.items()
    }

    crystals: list[ExplainedCrystal] = []
    skipped: list[Skipped] = []
    for record, structure in map(read_item, source.items()):
        try:
            if isinstance(structure, BadCrystal):
                raise structure
            views = [
                View(
                    name,
                    predictor.config.model.global_attention,
                    predictor.explain(structure),
                )
                for name, predictor in predictors.items()
            ]
            crystals.append(ExplainedCrystal(record.id, views))
        except BadCrystal as error:
            skipped.append(Skipped(record.id, error.reason))
    if not crystals:
        raise UserError("; ".join(f"{entry.id}: {entry.reason}" for entry in skipped[:1]))

    folder = output_folder(options.out)
    with one_writer(folder):
        write_text(folder / "attention.csv", to_csv(table_of(crystals, Explanation.atom_table)))
        write_text(folder / "bonds.csv", to_csv(table_of(crystals, Explanation.edge_table)))
        write_text(page, explain_page(crystals, skipped))
    console = plain_console(quiet=options.quiet)
    for entry in skipped:
        console.print(f"left out {entry.id}: {entry.reason}")
    console.print(f"{number_of(len(crystals), 'crystal')} explained: open {page}")
    return 0


def runs_and_files(paths: tuple[Path, ...]) -> tuple[dict[str, Path], list[Path]]:
    """The run directories among some paths, by the shortest name that tells them apart; the rest.

    Raises:
        UserError: one of the two is missing.
    """
    runs = [path for path in paths if find_run(path) is not None]
    files = [path for path in paths if path not in runs]
    if not runs:
        where = paths[0] if paths else Path("RUN")
        RunDirectory.open(where)
    if not files:
        raise UserError("nothing to explain: name structure files after the run")
    return short_names(runs), files


def table_of(
    crystals: list[ExplainedCrystal], own: Callable[[Explanation], pd.DataFrame]
) -> pd.DataFrame:
    """The tables of all explanations; before them crystal and run, each if there are several."""
    tables = []
    for crystal in crystals:
        for view in crystal.views:
            table = own(view.explanation)
            if len(crystal.views) > 1:
                table.insert(0, "run", view.run)
            if len(crystals) > 1:
                table.insert(0, "crystal", crystal.id)
            tables.append(table)
    return pd.concat(tables)
