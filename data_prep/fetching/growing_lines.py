"""JSON lines that grow chunk by chunk, survive a kill, and go on where they were."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.files import remove_unfinished, replacing, write_text

Row = Mapping[str, Any]


class GrowingLines:
    """Lines go to `NAME.part`; `NAME.part.json` says which ids are to come.

    When all is done the lines get their name, packed if it ends in `.gz`, and the others go.
    """

    def __init__(self, path: Path, key: str):
        """`key` names what is asked for: lines of another key are not gone on with."""
        self.path, self.key = path, key
        self.part = path.with_name(f"{path.name}.part")
        self.plan = path.with_name(f"{path.name}.part.json")

    def restore(self) -> list[str] | None:
        """The ids that an earlier process set out to fetch, or None if there was none."""
        for file in (self.plan, self.path):
            remove_unfinished(file)
        try:
            plan = json.loads(self.plan.read_text(encoding="utf-8"))
            if plan["key"] == self.key:
                return list(plan["ids"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # there is none, or it was damaged: from the beginning
        return None

    def begin(self, ids: Sequence[str]) -> None:
        """Set out to fetch these ids."""
        self.part.unlink(missing_ok=True)
        write_text(self.plan, json.dumps({"key": self.key, "ids": list(ids)}) + "\n")

    def ids(self) -> set[str]:
        """The ids of the lines so far; a line that was cut off is removed."""
        found: set[str] = set()
        if not self.part.exists():
            return found
        whole = 0
        with self.part.open("rb") as lines:
            for line in lines:
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if row is None:
                    break
                found.add(row["id"])
                whole += len(line)
        os.truncate(self.part, whole)
        return found

    def append(self, rows: Iterable[Row]) -> None:
        """Add lines."""
        with self.part.open("a", encoding="utf-8") as lines:
            lines.writelines(json_line(row) for row in rows)

    def finish(self) -> None:
        """Give the lines their name."""
        with self.part.open("rb") as lines, replacing(self.path) as file:
            shutil.copyfileobj(lines, file)
        self.part.unlink()
        self.plan.unlink(missing_ok=True)


def json_line(row: Row) -> str:
    """A row as one line."""
    return json.dumps(row, separators=(",", ":")) + "\n"
