"""A CSV table that grows batch by batch, survives a kill, and goes on where it was."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from data_prep.errors import Skipped
from data_prep.files import write_text
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
            saved = json.loads(self.state.read_text())
            if saved.pop("key") == self.key:
                os.truncate(self.part, saved.pop("bytes"))
                skipped = [Skipped(*entry) for entry in saved.pop("skipped")]
                return Progress(skipped=skipped, **saved)
        except (OSError, ValueError, KeyError, TypeError):
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
        skipped = [list(entry) for entry in progress.skipped]
        state = asdict(progress) | {"skipped": skipped, "key": self.key, "bytes": size}
        write_text(self.state, json.dumps(state) + "\n")

    def finish(self) -> None:
        """Give the table its name."""
        self.part.replace(self.path)
        self.state.unlink(missing_ok=True)
