"""The golden file of CGCNN: numbers from running the published program's network.

`tests/data/README.md` says what each array is. The graphs are ours, with every atom and every edge.
"""

from functools import cache

import numpy as np

from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from tests.crystals import bundled
from tests.golden import DATA
from tests.models import dataset_of

GRAPH = GraphConfig(fake_edges=True, reduce=False)


@cache
def golden() -> dict[str, np.ndarray]:
    """All arrays."""
    with np.load(DATA / "cgcnn.npz") as file:
        return dict(file)


def named(kind: str) -> dict[str, np.ndarray]:
    """The arrays called `kind/NAME` (param, grad, after, official), by NAME."""
    return {n.removeprefix(f"{kind}/"): a for n, a in golden().items() if n.startswith(f"{kind}/")}


@cache
def golden_dataset() -> GraphDataset:
    """Its crystals, in its order."""
    structures = dict(bundled(1))
    return dataset_of([structures[name] for name in golden()["ids"]], GRAPH)
