"""`python -m gatgnn_jax.export RUN`: a trained model as a file that predicts without this package.

    OUT/model.stablehlo    the network with its weights, as `jax.export` serializes it
    OUT/model.json         what it predicts, in which unit, and which neighbours it wants

`jax` and `flatbuffers` are all that a program needs to call it, on CPU, GPU or TPU; how, and what
goes in and out, is in docs/export.md and in `gatgnn_jax.prediction.portable`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from gatgnn_jax.cli import read_options, run_command
from gatgnn_jax.runs.ready_made import run_path


@dataclass(frozen=True)
class ExportOptions:
    """Write a model as a file that predicts without this package (StableHLO)."""

    run: tyro.conf.Positional[Path]
    """The run directory of a trained model, or the name of a ready-made one."""
    out: Path = Path("exported")
    """The folder to write to."""
    trust_code: bool = False
    """Run the layers and attentions that came with the run, wherever it is from."""
    quiet: bool = False
    """Show errors only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(ExportOptions, "export", arguments)
    run_path(options.run)  # a slip shows at once
    from gatgnn_jax.jobs.export import export

    return export(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
