"""The models that come with the package: run directories that are found by their names."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import UserError
from data_prep.properties import canonical_name

PRETRAINED = Path(__file__).parents[1] / "pretrained"
"""Where they are: run directories, without their training's own files."""

SEEN = "seen.txt.gz"
"""In a ready-made model: ids of the crystals it was trained and selected with, one a line."""


def find_run(path: Path) -> Path | None:
    """The run directory that a path names, or else the ready-made model of that name."""
    named = PRETRAINED / canonical_name(str(path))
    places = [path, named] if len(path.parts) == 1 else [path]
    return next((place for place in places if (place / "config.json").is_file()), None)


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
