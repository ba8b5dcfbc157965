"""`python -m gatgnn_jax.explain RUN FILE…`: what a model attends to, as a table and a web page.

`attention.csv` has a row for each atom: `atom` (0, 1, … as in the file), `label` (the file's, or
element and number), `element` and `weight`; `bonds.csv` one for each edge, as `edge_table` of an
explanation. Of several crystals or runs each is one table too, with `crystal` or `run` in front.
`explain.html` shows each crystal in 3-D, the models side by side, and
needs no network.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.options import NothingByDefault
from gatgnn_jax.choices import Device
from gatgnn_jax.cli import read_options, run_command


@dataclass(frozen=True)
class ExplainOptions:
    """Show what a model attends to in crystals: attention.csv, bonds.csv and explain.html."""

    paths: tyro.conf.Positional[Annotated[tuple[Path, ...], NothingByDefault]]
    """Run directories of trained models or names of ready-made ones, one or several to compare, and
    crystals: CIF or POSCAR files (.gz too), folders of them, JSON lines, JSON or CSV of
    structures."""
    out: Path = Path("explanation")
    """The folder to write to."""
    overwrite: bool = False
    """Write an explanation anew that is there already."""
    device: Device = "auto"
    """What to run on."""
    trust_code: bool = False
    """Run the layers and attentions that came with the run, wherever it is from."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(ExplainOptions, "explain", arguments)
    from gatgnn_jax.jobs.explain import explain

    return explain(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
