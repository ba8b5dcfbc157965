"""Types of command line options that need not be given, so that their help reads well."""

from pathlib import Path
from typing import Annotated, Any

import tyro


def _unless_none(default: str) -> str:
    return "" if default in ("None", "", "''") else f"(default: {default})"


def nothing_or(*choices: str) -> Any:
    """What makes an option one of some choices, of which None, its default, is not shown as one."""
    return tyro.conf.arg(metavar=f"{{{','.join(choices)}}}", help_behavior_hint=_unless_none)


NothingByDefault = tyro.conf.arg(help_behavior_hint=_unless_none)
"""Where the help of an option says what nothing, its default, means."""

PathOrNone = Annotated[Path | None, tyro.conf.arg(metavar="PATH"), NothingByDefault]
TextOrNone = Annotated[str | None, tyro.conf.arg(metavar="TEXT"), NothingByDefault]
IntOrNone = Annotated[int | None, tyro.conf.arg(metavar="INT"), NothingByDefault]
FloatOrNone = Annotated[float | None, tyro.conf.arg(metavar="FLOAT"), NothingByDefault]
