"""Comma-separated text, row by row; what is wrong with it is said, never guessed."""

import codecs
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.errors import BadCrystal, UserError
from data_prep.reading.opening import opened

SEPARATORS = {";": "semicolons", "\t": "tabs"}


def csv_rows(path: Path) -> Iterator[list[str]]:
    """The rows that are not blank, their cells stripped, of a file in UTF-8.

    UTF-16 is taken where the mark at the beginning says so.

    Raises:
        UserError: the file cannot be read, is in another encoding or has another separator, or
            quotes that do not end.
    """
    csv.field_size_limit(sys.maxsize)  # a CIF is longer than a cell usually is
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    start = 1
    try:
        with opened(path) as file:
            encoding = "utf-16" if file.peek(2)[:2] in marks else "utf-8-sig"
            with io.TextIOWrapper(file, encoding, newline="") as text:
                # Strict: a quote without its partner would swallow the rows up to the next one.
                reader = csv.reader(text, strict=True)
                for number, row in enumerate(reader):
                    if number == 0:
                        _check_separator("".join(row[:1]), path)
                    if any(row):
                        yield [cell.strip() for cell in row]
                    start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path} is no comma-separated table: the quotes of the row at line {start} do not "
            f"end as they should ({error})"
        ) from None
    except UnicodeError:
        raise UserError(f"{path} is no text in UTF-8: save it as 'CSV UTF-8'") from None


def column_names(cells: Sequence[str], path: Path) -> list[str]:
    """A header line, checked.

    Raises:
        UserError: two columns have one name.
    """
    names = [cell for cell in cells if cell]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path} has two columns {twice[0]!r}: rename or remove one")
    return list(cells)


def wrong_width(cells: Sequence[str], width: int) -> BadCrystal | None:
    """What is wrong with a row that has more cells than its table has columns."""
    if not any(cells[width:]):
        return None
    return BadCrystal(
        f"its row has {len(cells)} cells for {width} columns (decimals are written with a point, "
        "cells with commas in quotes)"
    )


def _check_separator(first: str, path: Path) -> None:
    if "\0" in first:
        raise UserError(f"{path} is no text in UTF-8: save it as 'CSV UTF-8'")
    for separator, name in SEPARATORS.items():
        if separator in first:
            raise UserError(
                f"{path} is separated by {name}: save it with commas between the cells, and "
                "points in decimals"
            )
