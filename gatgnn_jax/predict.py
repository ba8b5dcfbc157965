"""`python -m gatgnn_jax.predict RUN FILES…`: structures → a table of predictions, streaming.

The table has a row for each crystal: `id`, the columns of `gatgnn_jax.prediction.columns`, and
`nearest` and `distance`, the training crystal most like it, and `warning`, which says if the
crystal is far from the training crystals or has an element that they have not, or if the id came
before. Crystals that could not be predicted stand in `NAME.skipped.csv` beside it, with the
reason. Rows are appended to `NAME.part` as they come, which gets its name at the end. After a kill
the same command goes on where it was.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.options import IntOrNone, NothingByDefault, TextOrNone
from gatgnn_jax.choices import Device
from gatgnn_jax.cli import read_options, run_command
from gatgnn_jax.runs.ready_made import run_path


@dataclass(frozen=True)
class PredictOptions:
    """Predict properties of crystals with a trained model; CSV of one row a crystal."""

    run: tyro.conf.Positional[Path]
    """The run directory of a trained model, or a ready-made one: bulk_modulus, shear_modulus,
    poisson_ratio, formation_energy, band_gap, is_metal."""
    files: tyro.conf.Positional[Annotated[tuple[Path, ...], NothingByDefault]]
    """CIF or POSCAR files (.gz too), folders of them, JSON lines, JSON or CSV of structures; - for
    a list of such paths on standard input."""
    out: Path = Path("predictions.csv")
    """The table to write; crystals left out go to predictions.skipped.csv."""
    overwrite: bool = False
    """Write a table anew that is there already."""
    batch_size: int = 512
    """Crystals to predict at once, at most; lower it if the memory does not suffice."""
    device: Device = "auto"
    """What to run on."""
    workers: IntOrNone = None
    """Processes that prepare the graphs; all cores by default."""
    dask: TextOrNone = None
    """Prepare them on a Dask cluster: local, the JSON file of its scheduler, or HOST:PORT."""
    trust_code: bool = False
    """Run the layers and attentions that came with the run, wherever it is from."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(PredictOptions, "predict", arguments)
    run_path(options.run)  # a slip shows at once
    from gatgnn_jax.jobs.predict import predict

    return predict(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
