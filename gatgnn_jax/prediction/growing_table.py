"""A CSV table that grows batch by batch, survives a kill, and goes on where it was."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from data_prep.errors import Skipped
from data_prep.files import write_text
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
    skipped: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        check_types(self)


class GrowingTable:
    """Rows go to `NAME.part`; `NAME.part.json` says after each batch how far it can be trusted.

    When all is done the table gets its name and the other file goes.
    """

    def __init__(self, path: Path, key: str, digits: int = 8):
        """`key` names what the table is made of: a table of another key is not gone on with."""
        self.path, self.key, self.digits = path, key, digits
        self.part = path.with_name(f"{path.name}.part")
        self.state = path.with_name(f"{path.name}.part.json")

    def restore(self) -> Progress:
        """What an earlier process has done, with rows cut off that came after its last batch."""
        try:
            saved = from_dict(_State, json.loads(self.state.read_text(encoding="utf-8")))
            if saved.key == self.key and self.part.stat().st_size >= saved.bytes:
                os.truncate(self.part, saved.bytes)
                skipped = [Skipped(*entry) for entry in saved.skipped]
                return Progress(saved.done, saved.rows, saved.warnings, skipped)
        except (OSError, ValueError, TypeError):
            pass  # there is none, or it was damaged: from the beginning
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        return Progress()

    def ids(self) -> set[str]:
        """Ids of the rows so far."""
        if not self.part.exists():
            return set()
        return set(pd.read_csv(self.part, usecols=["id"], dtype=str, keep_default_na=False).id)

    def append(self, rows: pd.DataFrame, progress: Progress) -> None:
        """Add rows; `progress` is how far the table has come with them."""
        with self.part.open("a", encoding="utf-8") as file:
            file.write(to_csv(rows, progress.rows == len(rows), self.digits))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        skipped = tuple(tuple(entry) for entry in progress.skipped)
        state = _State(self.key, size, progress.done, progress.rows, progress.warnings, skipped)
        write_text(self.state, json.dumps(asdict(state)) + "\n")

    def finish(self) -> None:
        """Give the table its name."""
        self.part.replace(self.path)
        self.state.unlink(missing_ok=True)
