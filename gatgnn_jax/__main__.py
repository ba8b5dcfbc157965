"""`gatgnn-jax COMMAND …`, or `python -m gatgnn_jax COMMAND …`: all commands under one name."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, NamedTuple, Union

from gatgnn_jax import __version__


class Command(NamedTuple):
    """Where a command is; its module has `main` and, called `TrainOptions` or so, its options."""

    module: str
    about: str


COMMANDS = {
    "train": Command("gatgnn_jax.train", "crystals → a model with metrics, pictures and a report"),
    "tune": Command("gatgnn_jax.tune", "search settings that lower the validation error"),
    "predict": Command("gatgnn_jax.predict", "structures → a table of predictions"),
    "evaluate": Command("gatgnn_jax.evaluate", "metrics of a model on its own or other data"),
    "explain": Command("gatgnn_jax.explain", "attention per atom and bond, as table and page"),
    "embed": Command("gatgnn_jax.embed", "a model's vectors of crystals, and a map of them"),
    "report": Command("gatgnn_jax.report", "report.html of a finished run, again"),
    "serve": Command("gatgnn_jax.serve", "predictions over HTTP"),
    "convert": Command("gatgnn_jax.convert", "checkpoints of the published programs ↔ runs"),
    "export": Command("gatgnn_jax.export", "a run → a file that predicts without this package"),
    "hub": Command("gatgnn_jax.hub", "runs to and from the Hugging Face Hub"),
    "build": Command("data_prep.build", "crystals → a dataset of graphs"),
    "fetch": Command("data_prep.fetch", "crystals from Materials Project, JARVIS or Matbench"),
}
"""By the name they are called by."""


def overview() -> str:
    """What the program is and which commands it has."""
    rows = [f"  {name:9} {COMMANDS[name].about}" for name in available()]
    return "\n".join(
        [
            f"gatgnn_jax {__version__}: crystal properties from a graph network with attention",
            "",
            "usage: gatgnn-jax COMMAND [OPTIONS]",
            "",
            *rows,
            "",
            "gatgnn-jax COMMAND --help lists a command's options; --version, the version.",
        ]
    )


def available() -> list[str]:
    """The commands whose module is there."""
    return [name for name, command in COMMANDS.items() if find_spec(command.module)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns the exit status."""
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
    if name in ("--help", "-h", "help"):
        print(overview())
        return 0
    if name == "--version":
        print(f"gatgnn_jax {__version__}")
        return 0
    if name in ("--tyro-print-completion", "--tyro-write-completion"):
        return complete([name, *rest])
    if name not in available():
        close = difflib.get_close_matches(name, available(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(available())}"
        sys.stderr.write(f"error: {name} is no command of gatgnn-jax: {hint}\n")
        return 2
    from gatgnn_jax.cli import run_command

    command = import_module(COMMANDS[name].module)
    return run_command(lambda: command.main(rest))


def complete(arguments: Sequence[str]) -> int:
    """Print or write the completion of all commands for a shell."""
    import tyro

    every: Any = ()
    for name in available():
        command = COMMANDS[name]
        options = getattr(import_module(command.module), f"{name.capitalize()}Options")
        every += (Annotated[options, tyro.conf.subcommand(name, description=command.about)],)
    config = (tyro.conf.OmitArgPrefixes,)
    tyro.cli(Union[every], prog="gatgnn-jax", args=arguments, config=config)  # noqa: UP007
    return 0


if __name__ == "__main__":
    sys.exit(main())
