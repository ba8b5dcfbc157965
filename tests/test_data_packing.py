"""From a stream of graphs to one dataset: growing arrays, killed processes."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from data_prep import featurize
from data_prep.config import GraphConfig
from data_prep.errors import UserError
from data_prep.graph import build_graph
from data_prep.packing import GrowingDataset, pack
from tests.crystals import NACL, diamond, ordered_alloy, rock_salt
from tests.test_data_dataset import assert_equal


def test_a_grown_dataset_is_that_of_the_crystals_kept():
    structures = [rock_salt(), diamond(), ordered_alloy(), rock_salt() * (2, 1, 1)]
    graphs = [build_graph(structure, GraphConfig()) for structure in structures]
    grown = GrowingDataset(GraphConfig())
    for graph in graphs:
        grown.append(graph)
    some = grown.finish(np.array([True, False, False, True]), ["a", "d"], {"x": np.zeros(2)})
    assert_equal(some, pack([graphs[0], graphs[3]], ["a", "d"], {"x": np.zeros(2)}, GraphConfig()))
    assert some.edge_sender.shape == (4, 2)  # the alloy alone needs more slots


def kill_once(items, config):
    """As ``_featurize_packed``, in a process that dies on its first crystals."""
    marker = Path(os.environ["KILL_ONCE"])
    if not marker.exists() or os.environ.get("KILL_ALWAYS"):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return featurize._Packed(list(items), [None] * len(items), None)


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.slow
def test_crystals_of_a_killed_process_are_given_to_another(always, tmp_path, monkeypatch):
    monkeypatch.setenv("KILL_ONCE", str(tmp_path / "killed"))
    if always:
        monkeypatch.setenv("KILL_ALWAYS", "1")
    monkeypatch.setattr(featurize, "HEAD_START", 0.0)
    monkeypatch.setattr(featurize, "BATCH", 1)
    items = [featurize.Record(str(i), NACL) for i in range(6)]
    monkeypatch.setattr(featurize, "_featurize_packed", kill_once)
    monkeypatch.setattr(featurize, "_unpacked", lambda packed: iter(packed.records))
    stream = featurize.featurize(items, GraphConfig(), workers=2)
    if always:
        with pytest.raises(UserError, match="was killed, and so was the next one"):
            list(stream)
    else:
        assert [record.id for record in stream] == [str(i) for i in range(6)]
