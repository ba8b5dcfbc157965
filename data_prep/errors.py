"""The two errors a user can mend: shown in one or two lines, never as a traceback."""

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
