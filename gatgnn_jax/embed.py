"""`python -m gatgnn_jax.embed RUN FILES...`: crystals as vectors, for other models and for maps.

A crystal's vector is the weighted sum of its atoms' features, which the network's last layers turn
into the prediction. The table goes to `--out`, with the predictions; a map of the vectors in two
dimensions stands beside it as a picture, coloured by prediction, and as a page to look around in.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from data_prep.options import IntOrNone, NothingByDefault
from gatgnn_jax.choices import Device, Format
from gatgnn_jax.cli import read_options, run_command
from gatgnn_jax.runs.ready_made import run_path

Map = Literal["pca", "tsne", "none"]


@dataclass(frozen=True)
class EmbedOptions:
    """The model's vectors of crystals, as a table and as a map."""

    run: tyro.conf.Positional[Path]
    """The run directory of a trained model, or the name of a ready-made one."""
    files: tyro.conf.Positional[Annotated[tuple[Path, ...], NothingByDefault]]
    """CIF or POSCAR files (.gz too), folders of them, JSON lines, JSON or CSV of structures; - for
    a list of such paths on standard input."""
    out: Path = Path("vectors.csv")
    """The table to write: .csv, .npz (arrays `id`, `vector`, `prediction`, `lower`, `upper` and, of
    an ensemble, `uncertainty`) or .parquet. Crystals left out go to vectors.skipped.csv."""
    map: Map = "pca"
    """How the map beside it is drawn, a picture and a page: by the two directions of most variance,
    or t-SNE, which keeps neighbours together and takes longer."""
    format: Format = "png"
    """What the picture is; svg and pdf are drawn in lines and letters, for papers."""
    overwrite: bool = False
    """Write a table anew that is there already."""
    batch_size: int = 512
    """Crystals to predict at once, at most; lower it if the memory does not suffice."""
    device: Device = "auto"
    """What to run on."""
    workers: IntOrNone = None
    """Processes that prepare the graphs; all cores by default."""
    trust_code: bool = False
    """Run the layers and attentions that came with the run, wherever it is from."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(EmbedOptions, "embed", arguments)
    run_path(options.run)  # a slip shows at once
    from gatgnn_jax.jobs.embed import embed

    return embed(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
