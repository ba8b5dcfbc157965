"""Where runs are: their directories, or the names of the models that come with the package."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import UserError
from data_prep.properties import canonical_name

PRETRAINED = Path(__file__).parents[1] / "pretrained"
"""Where they are: run directories, without their training's own files."""

MEMBERS = "members.json"
"""What makes a directory one of several runs: folds, or seeds."""

SEEN = "seen.txt.gz"
"""In a ready-made model: ids of the crystals it was trained and selected with, one a line."""


def find_run(path: Path) -> Path | None:
    """The run directory that a path names, or else the ready-made model of that name."""
    named = PRETRAINED / canonical_name(str(path))
    places = [path, named] if len(path.parts) == 1 else [path]
    return next((place for place in places if (place / "config.json").is_file()), None)


def run_path(path: Path) -> Path:
    """The run directory that a path or the name of a ready-made model names.

    Raises:
        UserError: there is no run there.
    """
    if (place := find_run(path)) is not None:
        return place
    if (path / MEMBERS).is_file():
        first = next((own.parent for own in sorted(path.glob("*/config.json"))), path)
        raise UserError(f"{path} holds several trainings: name one, as {first}")
    raise UserError(
        f"{path} is no run: it has no config.json (train one with --run-dir), and no ready-made "
        f"model has that name (there are: {', '.join(ready_made_names())})"
    )


def short_names(runs: Sequence[Path]) -> dict[str, Path]:
    """Run directories by their names, or by their paths where names do not tell them apart."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    return dict(zip(names, runs, strict=True))


def ready_made_names() -> list[str]:
    """What there is."""
    return sorted(config.parent.name for config in PRETRAINED.glob("*/config.json"))


def read_seen(path: Path) -> list[str]:
    """The ids in a ready-made model's list of crystals.

    Raises:
        UserError: it is damaged.
    """
    try:
        return gzip.decompress(path.read_bytes()).decode().split()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        raise UserError(f"{path} is damaged: put it back from a copy") from None
