"""The one table of a batch's fields is true of what is gathered, in both layouts."""

import re
from typing import Any

import jax.numpy as jnp
import jraph
import numpy as np
import pytest

from data_prep.config import GraphConfig
from gatgnn_jax.batches import gathering, layout
from gatgnn_jax.batches.arrays import BatchShape
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


def test_the_worked_example_of_gathering() -> None:
    """What the docstring of `_members` says of crystals of 3, 2 and 4 nodes."""
    count = jnp.array([[4, 3, 0]] * 4)
    start = jnp.array([[5, 0, 0]] * 4)
    node, *_ = gathering._members(count, start, BatchShape(2, 9, 9, 9, 9))
    assert node.count.tolist() == [4, 3, 2]
    assert node.first.tolist() == [0, 4, 7]
    assert node.graph.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert node.local.tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1]
    assert node.row.tolist() == [5, 6, 7, 8, 0, 1, 2, 0, 0]
    assert node.real.tolist() == [True] * 7 + [False] * 2
