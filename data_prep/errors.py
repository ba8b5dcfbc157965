"""The errors a user can mend: shown in one or two lines, never as a traceback."""

import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

# Control characters, line ends of all kinds, and bytes of a file name that are no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

MAX_LINE = 1000
"""Characters of a line of an error: a path may have any number."""


class UserError(Exception):
    """Bad input with a known fix. Commands print ``error: ...`` and exit with status 1."""


class BadCrystal(UserError):
    """One crystal that cannot become a graph; a build reports it and goes on.

    Args:
        reason: one line that says what is wrong with the crystal.
    """

    def __init__(self, reason: str):
        self.reason = printable(reason)
        super().__init__(self.reason)


class Skipped(NamedTuple):
    """A crystal that was left out of a dataset, and why."""

    id: str
    reason: str


def check_limit(limit: int | None) -> None:
    """Make sure that at least one crystal is asked for.

    Raises:
        UserError: the limit is less.
    """
    if limit is not None and limit < 1:
        raise UserError(f"the limit is {limit}: give 1 or more crystals")


def printable(text: str) -> str:
    """A text in one line for files and terminals; other characters as ``\\n`` or ``\\udcff``."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(error: object) -> str:
    """An error's text for one line of a report, cut at 200 characters."""
    return printable(" ".join(str(error).split())[:200])


def some_of(names: Sequence[str]) -> str:
    """How many crystals, and the first few of their names: ``5 crystals (a, b, c, …)``."""
    listed = ", ".join([one_line(name) for name in names[:3]] + ["…"] * (len(names) > 3))
    return f"{number_of(len(names), 'crystal')} ({listed})"


def number_of(count: int, thing: str) -> str:
    """A count with its word: ``1 crystal``, ``1,181 crystals``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def exit_status(command: Callable[[], int | None]) -> int:
    """Run a command; bad input becomes one message and exit status 1, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may have bytes that are no UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        return command() or 0
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    except BrokenPipeError:  # the reader of a pipe has seen enough
        return 0
    except (UserError, OSError) as error:  # bad input, or a full disk, say
        lines = [printable(line)[:MAX_LINE] for line in f"error: {error}".split("\n")]
        sys.stderr.write("\n".join(lines) + "\n")
        return 1
