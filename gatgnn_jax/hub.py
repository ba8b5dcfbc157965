"""`python -m gatgnn_jax.hub push|pull`: runs to and from repositories of the Hugging Face Hub.

What is pushed is what every command needs of a trained model: card (`README.md`), `config.json`,
the best weights, the split, what intervals and warnings come from, and layers of the user's own.
Logging in, servers and proxies are the business of `huggingface_hub`, with its variables `HF_TOKEN`
and `HF_ENDPOINT`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.options import TextOrNone
from gatgnn_jax.cli import read_options, run_command


@dataclass(frozen=True)
class Push:
    """Put a trained run into a repository, which is made if there is none."""

    run: tyro.conf.Positional[Path]
    """The run directory of a trained model, or the name of a ready-made one."""
    repository: tyro.conf.Positional[str]
    """Its name there: you/bulk-modulus."""
    private: bool = False
    """Let nobody else see a new repository."""


@dataclass(frozen=True)
class Pull:
    """Get a run from a repository."""

    repository: tyro.conf.Positional[str]
    """Its name there: somebody/bulk-modulus."""
    out: Path
    """The run directory to make."""
    revision: TextOrNone = None
    """A branch, tag or commit. Default: the newest."""


HubOptions = (
    Annotated[Push, tyro.conf.subcommand("push")] | Annotated[Pull, tyro.conf.subcommand("pull")]
)


def main(arguments: list[str]) -> int:
    """The command; returns the exit status."""
    options: Push | Pull = read_options(HubOptions, "hub", arguments)  # type: ignore[arg-type]
    from gatgnn_jax.jobs.hub import pull, push

    return push(options) if isinstance(options, Push) else pull(options)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
