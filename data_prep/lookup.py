"""Structures read again from where they came from, by id."""

import re
from collections.abc import Collection
from pathlib import Path

from pymatgen.core import Structure

from data_prep.cache import BUNDLED
from data_prep.reading.formats import JsonLine
from data_prep.reading.sources import open_source, read_item

MAX_BYTES = 64_000_000
"""A larger file is not read again: it would take longer than what it is wanted for."""

_NAMES = re.compile(rb'"(?:id|material_id|task_id|mp_id|jid)"\s*:\s*"?([^",}]+)')


def find_structures(data: Path | None, ids: Collection[str]) -> dict[str, Structure] | None:
    """The structures with these ids, of a source as for `open_dataset`.

    None for a dataset directory (it holds graphs) and a file too large to be read again; a
    structure that is no longer there, or cannot be read, is left out.

    Raises:
        UserError: there is no source any more.
    """
    path = BUNDLED if data is None else data
    if (path / "dataset.json").exists() or (path.is_file() and path.stat().st_size > MAX_BYTES):
        return None
    found: dict[str, Structure] = {}
    for item in open_source(path).items():
        # Looking for names is much faster than decoding a line.
        if isinstance(item, JsonLine):
            names = {name.decode(errors="replace") for name in _NAMES.findall(item.text or b"")}
            wanted = not names.union({f"line {item.number}"}).isdisjoint(ids)
        else:
            wanted = item.id in ids
        if wanted:
            record, structure = read_item(item)
            # Of several crystals of one id the first was kept.
            if isinstance(structure, Structure) and record.id in ids:
                found.setdefault(record.id, structure)
    return found
