"""A CSV table that grows batch by batch, survives a kill, and goes on where it was."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from data_prep.errors import Skipped
from data_prep.files import remove_unfinished, write_text
from data_prep.settings import check_types, from_dict
from gatgnn_jax.prediction.columns import to_csv


@dataclass(frozen=True)
class Progress:
    """How far a table has come."""

    done: int = 0
    """crystals of the source that are accounted for: in the table or left out"""
    rows: int = 0
    warnings: int = 0
    """rows with a warning"""
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True)
class _State:
    """What stands in `NAME.part.json`."""

    key: str
    bytes: int
    done: int
    rows: int
    warnings: int
    skipped_bytes: int

    def __post_init__(self) -> None:
        check_types(self)


class GrowingTable:
    """Rows go to `NAME.part`, what is left out to `NAME.part.skipped`, a line each.

    `NAME.part.json` says after each batch how far they can be trusted.

    When all is done the table gets its name and the other files go.
    """

    def __init__(self, path: Path, key: str, digits: int = 8):
        """`key` names what the table is made of: a table of another key is not gone on with."""
        self.path, self.key, self.digits = path, key, digits
        self.part = path.with_name(f"{path.name}.part")
        self.skipped = path.with_name(f"{path.name}.part.skipped")
        self.state = path.with_name(f"{path.name}.part.json")
        self._told = 0  # of those left out, how many stand in the file

    def restore(self) -> Progress:
        """What an earlier process has done, with rows cut off that came after its last batch."""
        remove_unfinished(self.state)
        try:
            saved = from_dict(_State, json.loads(self.state.read_text(encoding="utf-8")))
            sizes = {self.part: saved.bytes, self.skipped: saved.skipped_bytes}
            if saved.key == self.key and all(f.stat().st_size >= n for f, n in sizes.items()):
                for file, size in sizes.items():
                    os.truncate(file, size)
                lines = self.skipped.read_text(encoding="utf-8").splitlines()
                skipped = [Skipped(*json.loads(line)) for line in lines]
                self._told = len(skipped)
                return Progress(saved.done, saved.rows, saved.warnings, skipped)
        except (OSError, ValueError, TypeError):
            pass  # there is none, or it was damaged: from the beginning
        for file in (self.part, self.skipped, self.state):
            file.unlink(missing_ok=True)
        return Progress()

    def ids(self) -> set[str]:
        """Ids of the rows so far."""
        if not self.part.exists():
            return set()
        return set(pd.read_csv(self.part, usecols=["id"], dtype=str, keep_default_na=False).id)

    def append(self, rows: pd.DataFrame, progress: Progress) -> None:
        """Add rows; `progress` is how far the table has come with them."""
        new = progress.skipped[self._told :]
        skipped_bytes = _grow(self.skipped, "".join(json.dumps(entry) + "\n" for entry in new))
        self._told = len(progress.skipped)
        size = _grow(self.part, to_csv(rows, progress.rows == len(rows), self.digits))
        state = _State(
            self.key, size, progress.done, progress.rows, progress.warnings, skipped_bytes
        )
        write_text(self.state, json.dumps(asdict(state)) + "\n")

    def finish(self) -> None:
        """Give the table its name."""
        self.part.replace(self.path)
        self.skipped.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)


def _grow(file: Path, text: str) -> int:
    """Add a text to a file, for good; how many bytes it has then."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(text)
        lines.flush()
        os.fsync(lines.fileno())
        return lines.tell()
