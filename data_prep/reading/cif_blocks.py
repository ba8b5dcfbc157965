"""A CIF as text: its bytes decoded, cut into blocks, and each block's items by tag.

A tag stands here in small letters with ``_`` for ``.``: CIF does not tell capitals apart, and the
newer dictionaries write ``_atom_site.fract_x`` for ``_atom_site_fract_x``.
"""

import codecs
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import gemmi

from data_prep.errors import BadCrystal, one_line

Items: TypeAlias = dict[str, list[str]]
"""The values of a block as they stand in the file, quoted or not: a column for each tag."""

_CRYSTAL_TAGS = ("_cell_length_", "_cell_angle_", "_atom_site_fract_", "_atom_site_label")
_OTHER_TAGS = ("_publ_", "_journal_", "_pd_", "_refln_", "_iucr_", "_vrf_", "_diffrn_")

# What begins a block, or begins or ends a text field.
_MARK = re.compile(r"^(?:;|[^\S\n]*data_(\S*))", re.IGNORECASE | re.MULTILINE)


class Block(NamedTuple):
    """A data block of a CIF."""

    name: str
    text: str
    """from its ``data_`` line on"""


def decode(content: bytes) -> str:
    """The text of a CIF or another text file, without a byte-order mark.

    UTF-8 is expected, UTF-16 known by its mark; what is neither is read as Latin-1.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def is_cut(numbers: Sequence[str]) -> bool:
    """Whether the last of some numbers has fewer decimals than the others, which agree."""
    decimals = [len(number.partition(".")[2]) for number in numbers]
    return len(decimals) > 2 and len({*decimals[:-1]}) == 1 and decimals[-1] < decimals[0]


def split_blocks(text: str) -> list[Block]:
    """The blocks of a CIF, in order; what comes before the first is dropped.

    A ``data_`` line within a text field (between lines that begin with ``;``) begins no block.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text = text.rstrip("\0\x1a")  # how DOS marks the end
    names, starts = list[str](), list[int]()
    in_text = False
    for mark in _MARK.finditer(text):
        if mark[0] == ";":
            in_text = not in_text
        elif not in_text:
            names.append(mark[1])
            starts.append(mark.start())
    ends = [*starts, len(text)][1:]
    return [
        Block(name, text[start:end]) for name, start, end in zip(names, starts, ends, strict=True)
    ]


def crystal_blocks(text: str) -> list[Block]:
    """The blocks that describe a crystal: not those of publications and diffractograms.

    Of the last block nothing but the beginning may be left, where a file was cut off: without
    cell and atoms it is still taken for a crystal, unless its tags are those of something else.
    """
    blocks = split_blocks(text)
    crystals = [block for block in blocks[:-1] if _mentions(block, _CRYSTAL_TAGS)]
    last = blocks[-1:]
    if last and (_mentions(last[0], _CRYSTAL_TAGS) or not _mentions(last[0], _OTHER_TAGS)):
        crystals += last
    return crystals


def _mentions(block: Block, tags: tuple[str, ...]) -> bool:
    text = block.text.lower().replace(".", "_")
    if not any(tag in text for tag in tags):  # so that a million empty blocks take no time
        return False
    text = re.sub(r"^;.*?^;", "", text, flags=re.MULTILINE | re.DOTALL)
    return any(word.startswith(tags) for word in text.split())


def parse_block(block: Block) -> Items:
    """The items of a block.

    Raises:
        BadCrystal: it does not follow the grammar of CIF, or contradicts itself.
    """
    text = block.text
    if not text.isascii():  # only names and remarks have other letters; CIF knows no others
        text = re.sub(r"[^\x00-\x7f]", "~", text)  # not "?", which would be a value not known
    try:
        parsed = gemmi.cif.read_string(text, check_level=0)[0]
    except (ValueError, RuntimeError, IndexError) as error:
        cause = re.sub(r"^string:(\d+):\d+ ?\(\d+\): ", r"line \1: ", one_line(error))
        raise BadCrystal(
            f"unreadable CIF: block {block.name or 'without a name'}, {cause} (is it cut off?)"
        ) from None
    items: Items = {}
    values: list[str] = []
    for item in parsed:
        pair: Any = item.pair
        if pair is not None:
            tag, value = pair
            _add(items, tag, [value])
            values = []
        elif item.loop is not None:
            tags, values = item.loop.tags, item.loop.values
            for column, tag in enumerate(tags):
                _add(items, tag, values[column :: len(tags)])
    if values and not text[-1].isspace() and _ends_cut(tags, values):
        raise BadCrystal(
            f"the CIF ends within a line, and {values[-1]} has fewer digits than the numbers above "
            "it: it seems to be cut off; get the whole file"
        )
    return items


def _ends_cut(tags: list[str], values: list[str]) -> bool:
    """Whether the last number of the atoms has been cut, by its column or by all positions.

    Of other loops nothing is needed.
    """
    positions = [number for number, tag in enumerate(tags) if "fract_" in tag.lower()]
    if not positions:
        return False
    alike = [[len(tags) - 1], positions if len(tags) - 1 in positions else []]
    rows = [values[row : row + len(tags)] for row in range(0, len(values), len(tags))]
    return any(is_cut([row[column] for row in rows for column in columns]) for columns in alike)


def _add(items: Items, tag: str, values: list[str]) -> None:
    known = tag.lower().replace(".", "_")
    if items.setdefault(known, values) != values:
        raise BadCrystal(f"{tag} stands in the CIF twice, with different values: remove one")


def value_of(items: Items, *tags: str) -> str:
    """The first of some tags that has a value, without quotes; empty if none has.

    Raises:
        BadCrystal: it has several, in a loop.
    """
    for tag in tags:
        values = items.get(tag, [])
        if len({*values}) > 1:
            raise BadCrystal(
                f"{tag} has several values ({values[0]}, {values[1]}, …): write a CIF for each"
            )
        if values and (value := text_of(values[0])):
            return value
    return ""


def text_of(value: str) -> str:
    """A value without its quotes; empty for the placeholders ``.`` and ``?``."""
    text = gemmi.cif.as_string(value).strip()
    return "" if text in {".", "?"} else text


def number_of(value: str) -> float:
    """A number, in quotes or not, with or without its standard uncertainty in parentheses; NaN if
    it is none."""
    return gemmi.cif.as_number(gemmi.cif.as_string(value))
