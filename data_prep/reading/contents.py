"""Crystals in what is in memory, say because it came over a connection, and never had a path.

The format is told by the content: CIF, POSCAR, a structure or a list of them as JSON, JSON lines.
"""

import gzip
import io
import zlib
from pathlib import Path

from data_prep.errors import BadCrystal
from data_prep.reading.cif_blocks import decode
from data_prep.reading.folders import structure_id
from data_prep.reading.formats import JsonLine, Record, json_records
from data_prep.reading.sources import Item
from data_prep.reading.structures import texts_in
from data_prep.reading.texts import parse_json

PACKED = b"\x1f\x8b"
"""What begins a `.gz` file."""


def items_in(name: str, content: bytes, most: int) -> list[Item]:
    """The crystals of a file's content, for `read_item`.

    Args:
        name: the file's; crystals without an id of their own are called by it.
        content: plain or packed as `.gz`.
        most: bytes it may unpack to.

    Raises:
        BadCrystal: it is empty, damaged or too large, or JSON of something else.
    """
    text = decode(_unpacked(content, most))
    if not text.strip():
        raise BadCrystal("the file is empty")
    own = structure_id(Path(name.removesuffix(".gz").removesuffix(".json")))
    if not text.lstrip().startswith(("{", "[")):
        return [Record(*pair) for pair in texts_in(own, text)]
    try:
        records = json_records(parse_json(text), own)
    except ValueError as error:
        lines = [line.encode() for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.startswith(b"{") for line in lines[:2]):
            return [JsonLine(number, line) for number, line in enumerate(lines, 1)]
        raise BadCrystal(f"the file {error}") from None
    if not records:
        raise BadCrystal("the file is no structure as JSON, nor a list of structures or rows")
    return [*records]


def _unpacked(content: bytes, most: int) -> bytes:
    if content.startswith(PACKED):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(most + 1)
        except (EOFError, OSError, zlib.error):
            raise BadCrystal("the file is cut off or damaged: copy it again") from None
    if len(content) > most:
        raise BadCrystal(f"the file is larger than {most // 1_000_000} MB: is it a structure?")
    return content
