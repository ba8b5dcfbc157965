"""`python -m gatgnn_jax.serve [RUN…]`: a page to drop crystals on, on this machine.

For each crystal the page shows every model's value, interval and warning, what the prediction rests
on, the nearest training crystals and the model's attention in 3-D. It needs no other network than
the one to this server, which listens on 127.0.0.1 unless told otherwise, and keeps nothing.
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
class ServeOptions:
    """Serve a page that predicts the crystals dropped on it, on this machine; Ctrl-C ends it."""

    runs: tyro.conf.Positional[Annotated[tuple[Path, ...], NothingByDefault]] = ()
    """Run directories of trained models or names of ready-made ones; all ready-made ones by
    default."""
    port: int = 8000
    """Where the page is: http://127.0.0.1:PORT/; 0 for any free port."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    allow_network: bool = False
    """Take a --host that others can reach: they can use the page too, without a password or
    encryption."""
    device: Device = "auto"
    """What to run on."""
    trust_code: bool = False
    """Run the layers and attentions that came with the runs, wherever they are from."""
    quiet: bool = False
    """Show errors and the address only."""


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options = read_options(ServeOptions, "serve", arguments)
    from gatgnn_jax.jobs.serve import serve

    return serve(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
