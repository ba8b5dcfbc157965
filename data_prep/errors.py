"""The errors a user can mend: shown in one or two lines, never as a traceback."""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple


class UserError(Exception):
    """Bad input with a known fix. Commands print ``error: ...`` and exit with status 1."""


class BadCrystal(UserError):
    """One crystal that cannot become a graph; a build reports it and goes on.

    Args:
        reason: one line that says what is wrong with the crystal.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Skipped(NamedTuple):
    """A crystal that was left out of a dataset, and why."""

    id: str
    reason: str


def one_line(error: object) -> str:
    """An error's text for one line of a report, cut at 200 characters."""
    return " ".join(str(error).split())[:200]


def some_of(names: Sequence[str]) -> str:
    """How many crystals, and the first few of their names: ``5 crystals (a, b, c, …)``."""
    listed = ", ".join([one_line(name) for name in names[:3]] + ["…"] * (len(names) > 3))
    return f"{len(names):,} crystal{'s' if len(names) > 1 else ''} ({listed})"


def exit_status(command: Callable[[], int | None]) -> int:
    """Run a command; bad input becomes one message and exit status 1, without a traceback."""
    try:
        return command() or 0
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    except BrokenPipeError:  # the reader of a pipe has seen enough
        return 0
    except OSError as error:  # a full disk, say
        sys.stderr.write(f"error: {error}\n")
        return 1
