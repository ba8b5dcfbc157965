"""The types of options: names to choose from, and values that need not be given."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

Device = Literal["auto", "cpu", "gpu"]

Streaming = Literal["auto", "always", "never"]
"""Whether crystals are read from disk as they are needed."""

LoggerName = Literal["tensorboard", "wandb"]


def _unless_none(default: str) -> str:
    return "" if default in ("None", "", "''") else f"(default: {default})"


NothingByDefault = tyro.conf.arg(help_behavior_hint=_unless_none)
"""Where the help of an option says what nothing, its default, means."""

PathOrNone = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint=_unless_none)]

TextOrNone = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint=_unless_none)]

IntOrNone = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint=_unless_none)]
