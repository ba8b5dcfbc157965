"""`python -m gatgnn_jax.explain RUN FILE…`: what a model attends to, as a table and a web page.

`attention.csv` has a row for each atom: `atom` (0, 1, … as in the file), `label` (the file's, or
element and number), `element` and `weight`. Of several crystals or runs it is one table too, with
`crystal` or `run` in front. `explain.html` shows each crystal in 3-D, the models side by side, and
needs no network.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from data_prep.errors import BadCrystal, Skipped, UserError
from data_prep.files import write_text
from data_prep.progress import plain_console
from data_prep.reading.sources import open_structures, read_item
from gatgnn_jax.api import Predictor
from gatgnn_jax.cli import Device, output_folder, run_command, use_device
from gatgnn_jax.pages.explain_page import ExplainedCrystal, View, explain_page
from gatgnn_jax.prediction.columns import to_csv
from gatgnn_jax.runs.directory import RunDirectory
from gatgnn_jax.runs.one_writer import one_writer
from gatgnn_jax.runs.ready_made import find_run

MAX_VIEWS = 100
"""More pictures than this make a page that nobody looks at."""


@dataclass(frozen=True)
class ExplainOptions:
    """Show what a model attends to in crystals: attention.csv and explain.html."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories of trained models or names of ready-made ones, one or several to compare, and
    crystals: CIF or POSCAR files (.gz too), folders of them, JSON lines, JSON or CSV of
    structures."""
    out: Path = Path("explanation")
    """The folder to write to."""
    device: Device = "auto"
    """What to run on."""
    trust_code: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run the layers and attentions that came with the run, wherever it is from."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = tyro.cli(ExplainOptions, prog="python -m gatgnn_jax.explain", args=arguments)
    runs, files = runs_and_files(options.paths)
    source = open_structures(files)
    if source.count * len(runs) > MAX_VIEWS:
        raise UserError(
            f"{source.count} crystals under {len(runs)} models are more than the {MAX_VIEWS} "
            "pictures a page can show: name fewer files"
        )
    use_device(options.device)
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
        write_text(folder / "attention.csv", to_csv(attention_table(crystals)))
        write_text(folder / "explain.html", explain_page(crystals, skipped))
    console = plain_console(quiet=options.quiet)
    for entry in skipped:
        console.print(f"left out {entry.id}: {entry.reason}")
    console.print(f"{len(crystals):,} crystals explained: open {folder / 'explain.html'}")
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
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    return dict(zip(names, runs, strict=True)), files


def attention_table(crystals: list[ExplainedCrystal]) -> pd.DataFrame:
    """Atom, label, element and weight; before them crystal and run, each if there are several."""
    tables = []
    for crystal in crystals:
        for view in crystal.views:
            table = view.explanation.atom_table()
            if len(crystal.views) > 1:
                table.insert(0, "run", view.run)
            if len(crystals) > 1:
                table.insert(0, "crystal", crystal.id)
            tables.append(table)
    return pd.concat(tables)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
