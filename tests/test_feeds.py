"""Crystals read from disk as they are needed, against all of them on the device."""

import os
from pathlib import Path

import jax
import jraph
import numpy as np
import pytest

from data_prep.cache import open_dataset
from data_prep.config import GraphConfig
from gatgnn_jax.batches import feeds
from gatgnn_jax.batches.arrays import crystal_arrays
from gatgnn_jax.batches.feeds import ResidentFeed, StreamedFeed
from gatgnn_jax.batches.gathering import gather_batch
from gatgnn_jax.devices.mesh import data_mesh
from tests.commands import TINY, train_run


def real(graph: jraph.GraphsTuple) -> jraph.GraphsTuple:
    """The batch without what may differ: padding's values, and rows of the arrays behind it."""
    known = {k: v for k, v in graph.globals.items() if k != "atom_number"}
    distance = known.pop("bond_distance")[graph.edges["bond"]]
    is_atom = known["atom_graph"] < len(graph.n_node) - 1
    return graph._replace(
        globals=known
        | {
            "distance": np.where(graph.edges["multiplicity"] > 0, distance, 0),
            "cluster": np.where(is_atom, known["cluster"], 0),
        }
    )


@pytest.mark.parametrize("what", ["KEPT_BYTES", "MADE_BYTES"])
def test_what_would_crowd_a_memory_is_streamed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's to keep it, or the machine's to make it."""
    dataset, _ = open_dataset(None, GraphConfig(), limit=20)
    arguments = dataset, np.zeros((20, 1)), {"train": np.arange(20)}, 16
    mesh = data_mesh(jax.devices()[:1])
    assert isinstance(feeds.make_feed(*arguments, mesh), ResidentFeed)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(feeds, what, memory)  # by the edge
    assert isinstance(feeds.make_feed(*arguments, mesh), StreamedFeed)
    assert isinstance(feeds.make_feed(*arguments, mesh, "never"), ResidentFeed)


@pytest.mark.parametrize("reduce", [True, False])
def test_a_streamed_batch_is_the_resident_one(
    reduce: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "CHUNK", 50)
    dataset, _ = open_dataset(None, GraphConfig(reduce=reduce, clusters=True), limit=120)
    target = np.random.default_rng(0).normal(size=(len(dataset), 1))
    subsets = {"train": np.arange(0, 120, 2), "val": np.arange(1, 60, 2)}
    mesh = data_mesh(jax.devices()[:1])
    resident = ResidentFeed(crystal_arrays(dataset, target), subsets, 16, mesh)
    streamed = StreamedFeed(dataset, target, subsets, 16, mesh)
    assert streamed.plan.shape == resident.plan.shape
    dealt = resident.plan.deal(subsets["train"], np.random.default_rng(1))
    parts = dealt.reshape(2, -1, dealt.shape[-1])
    gather = jax.jit(gather_batch, static_argnums=2)
    windows = list(zip(streamed(parts), resident(parts), strict=True))
    assert len(windows) == 2
    for (window, local), (everything, numbers) in windows:
        assert len(window.target) < len(everything.target)
        for own, other in zip(local, numbers, strict=True):
            actual = gather(window, own, streamed.plan.shape)
            expected = gather(everything, other, resident.plan.shape)
            jax.tree.map(np.testing.assert_array_equal, real(actual), real(expected))


@pytest.mark.slow
def test_a_streamed_training_gives_the_same_numbers(tmp_path: Path) -> None:
    options = ["--limit", "120", "--epochs", "2", "--batch-size", "2", *TINY]
    for stream in ("always", "never"):
        train_run(tmp_path / stream, "--stream", stream, *options)
    for name in ("metrics.csv", "predictions.csv"):
        assert (tmp_path / "always" / name).read_text() == (tmp_path / "never" / name).read_text()
