"""What `predict` and `embed` write: a table, and beside it the crystals that were left out."""

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from data_prep.build import skipped_table
from data_prep.errors import Skipped, UserError
from data_prep.files import remove_unfinished, write_text


def skipped_path(table: Path) -> Path:
    """Where a table's crystals that were left out are listed: `NAME.skipped.csv`."""
    return table.with_name(f"{table.stem}.skipped.csv")


def write_skipped(table: Path, skipped: Sequence[Skipped]) -> None:
    """List them, or take away the list of an earlier call if there are none."""
    path = skipped_path(table)
    remove_unfinished(path)
    if skipped:
        write_text(path, skipped_table(skipped))
    else:
        path.unlink(missing_ok=True)


def check_replaceable(table: Path, columns: Sequence[str], overwrite: bool) -> None:
    """Make sure that nothing is lost where a table is to be written.

    Args:
        table: .csv, .npz or .parquet.
        columns: its first ones (in .npz: arrays), if it is one of the same kind.
        overwrite: whether one of the same kind may be written anew.

    Raises:
        UserError: there is a table already, or something else.
    """
    if not table.exists():
        return
    if _columns_of(table)[: len(columns)] != list(columns):
        raise UserError(
            f"{table} is there already, with other columns than this command writes: choose "
            "another --out, or remove it"
        )
    if not overwrite:
        raise UserError(f"{table} is there already: choose another --out, or give --overwrite")


def _columns_of(table: Path) -> list[str]:
    """The names of a table's columns; none of what is no table."""
    try:
        if table.suffix == ".npz":
            with np.load(table) as arrays:
                return list(arrays.files)
        if table.suffix == ".parquet":
            return list(pd.read_parquet(table).columns)
        return list(pd.read_csv(table, nrows=0).columns)
    except (OSError, ValueError, BadZipFile):  # ValueError: pandas' and pyarrow's own too
        return []
