"""Types of command line options that need not be given, so that their help reads well."""

from pathlib import Path
from typing import Annotated

import tyro


def _unless_none(default: str) -> str:
    return "" if default in ("None", "", "''") else f"(default: {default})"


NothingByDefault = tyro.conf.arg(help_behavior_hint=_unless_none)
"""Where the help of an option says what nothing, its default, means."""

PathOrNone = Annotated[Path | None, tyro.conf.arg(metavar="PATH"), NothingByDefault]
TextOrNone = Annotated[str | None, tyro.conf.arg(metavar="TEXT"), NothingByDefault]
IntOrNone = Annotated[int | None, tyro.conf.arg(metavar="INT"), NothingByDefault]
FloatOrNone = Annotated[float | None, tyro.conf.arg(metavar="FLOAT"), NothingByDefault]
