"""The one table of a batch's fields is true of what is gathered, in both layouts."""

import re
from typing import Any

import jraph
import numpy as np
import pytest

from data_prep.config import GraphConfig
from gatgnn_jax.batches import layout
from tests.crystals import bundled
from tests.models import arrays_of, batch_of, dataset_of

ROWS = re.findall(r"^\| (`.*?`) +\| (\[.*?) +\| (\w+) +\|", layout.__doc__ or "", re.MULTILINE)


def fields_of(graph: jraph.GraphsTuple) -> dict[str, Any]:
    """Every array of a batch, by the name that the table has for it."""
    named = {name: getattr(graph, name) for name in ("senders", "receivers", "n_node", "n_edge")}
    for group in ("nodes", "edges", "globals"):
        for key, value in getattr(graph, group).items():
            named[f'{group}["{key}"]'] = value
    return named


@pytest.mark.parametrize("reduce", [True, False], ids=["quotient", "full"])
def test_the_table_of_fields(reduce: bool) -> None:
    structures = [structure for _, structure in bundled(12)]
    data = arrays_of(dataset_of(structures, GraphConfig(reduce=reduce)), np.zeros((12, 2)))
    fields = fields_of(batch_of(data, extra=3))
    sizes: dict[str, int] = {}
    told = set()
    for names, shape, kind in ROWS:
        letters = re.findall(r"[A-Z]", shape.partition("]")[0])
        for name in re.findall(r"`(.*?)`", names):
            told.add(name)
            if fields[name] is None:
                assert "None" in shape, name
                continue
            assert str(fields[name].dtype) == kind, name
            assert fields[name].ndim == len(letters), name
            for letter, size in zip(letters, fields[name].shape, strict=True):
                assert sizes.setdefault(letter, size) == size, (name, letter)
    assert told == set(fields)
    assert sizes.keys() == set("GNEBAT")
    assert len(set(sizes.values())) >= 5  # the letters are not confused with each other
