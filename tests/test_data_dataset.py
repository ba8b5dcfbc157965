"""Datasets in memory, on disk and in the cache."""

import dataclasses
import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from data_prep import cache
from data_prep.build import build_dataset
from data_prep.cache import BUNDLED, open_dataset
from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset
from data_prep.errors import UserError
from data_prep.graph import build_graph
from data_prep.packing import pack
from data_prep.storage import save_dataset
from tests.crystals import bundled, diamond, ordered_alloy, rock_salt

STRUCTURES = [rock_salt(), diamond(), ordered_alloy(), *(s for _, s in bundled(step=300))]


@pytest.fixture(scope="module")
def dataset() -> GraphDataset:
    graphs = [build_graph(structure, GraphConfig()) for structure in STRUCTURES]
    ids = [f"crystal-{index}" for index in range(len(graphs))]
    columns = {"gap": np.arange(len(graphs)) / 2, "other": np.full(len(graphs), np.nan)}
    splits = {"train": ids[:2], "test": ids[2:]}
    return pack(graphs, ids, columns, GraphConfig(), splits)


@pytest.fixture
def source(tmp_path):
    """Twenty bundled crystals and a broken one."""
    path = tmp_path / "source.jsonl"
    with gzip.open(BUNDLED, "rt") as lines:
        path.write_text("".join(itertools.islice(lines, 20)) + '{"id": "broken"}\n')
    return path


def entries(cache_dir: Path) -> list[Path]:
    return [path for path in (cache_dir / "datasets").iterdir() if path.is_dir()]


def assert_equal(one: GraphDataset, other: GraphDataset) -> None:
    for field in dataclasses.fields(GraphDataset):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "columns":
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def test_each_crystal_comes_back_as_it_was_packed(dataset):
    for index, structure in enumerate(STRUCTURES):
        graph = build_graph(structure, GraphConfig())
        packed = dataset.crystal(index)
        for field in dataclasses.fields(graph):
            expected, found = getattr(graph, field.name), getattr(packed, field.name)
            assert found.dtype == expected.dtype
            if expected.ndim == 2:
                assert not expected[:, found.shape[1] :].any()
                expected = expected[:, : found.shape[1]]
            np.testing.assert_array_equal(found, expected)
    assert set(np.unique(dataset.node_atomic_number).tolist()) == {
        site.specie.Z for s in STRUCTURES for site in s
    }
    assert dataset.n_atom.tolist() == [len(structure) for structure in STRUCTURES]


def test_unused_columns_are_trimmed_to_the_widest_node(dataset):
    assert np.count_nonzero(dataset.edge_multiplicity, axis=1).max() == dataset.edge_sender.shape[1]
    salt = pack([dataset.crystal(0)], ["a"], {}, GraphConfig())
    assert salt.edge_sender.shape == (2, 2)


def test_take_selects_crystals_with_all_that_belongs_to_them(dataset):
    some = dataset.take([4, 0, 2])
    assert some.ids.tolist() == ["crystal-4", "crystal-0", "crystal-2"]
    assert some.columns["gap"].tolist() == [2.0, 0.0, 1.0]
    assert some.splits == {"train": ["crystal-0"], "test": ["crystal-2", "crystal-4"]}
    for new, old in enumerate([4, 0, 2]):
        for field in dataclasses.fields(dataset.crystal(old)):
            np.testing.assert_array_equal(
                getattr(some.crystal(new), field.name), getattr(dataset.crystal(old), field.name)
            )
    assert_equal(dataset.take(range(len(dataset))), dataset)


def test_hash_tells_datasets_apart(dataset):
    columns = {**dataset.columns, "gap": dataset.columns["gap"] + 1e-9}
    graphs = [dataset.crystal(index) for index in range(len(dataset))]
    same = pack(graphs, dataset.ids.tolist(), dataset.columns, dataset.config, dataset.splits)
    other = pack(graphs, dataset.ids.tolist(), columns, dataset.config, dataset.splits)
    wider = pack(graphs, dataset.ids.tolist(), columns, GraphConfig(radius=9), dataset.splits)
    assert same.content_hash == dataset.content_hash
    assert len({dataset.content_hash, other.content_hash, wider.content_hash}) == 3


def test_second_opening_comes_from_the_cache(source, tmp_path, monkeypatch):
    options = {"cache_dir": tmp_path / "cache", "quiet": True}
    first, skipped = open_dataset(source, GraphConfig(), **options)
    assert [tuple(row) for row in skipped] == [("broken", "no structure")]
    fresh, _ = build_dataset(source, GraphConfig(), progress=False)
    assert_equal(first, fresh)

    def not_again(*args, **kwargs):
        raise AssertionError("built again")

    monkeypatch.setattr(cache, "build_dataset", not_again)
    again, skipped_again = open_dataset(source, GraphConfig(), **options)
    assert_equal(again, first)
    assert skipped_again == skipped


def test_cache_follows_content_settings_and_limit(source, tmp_path):
    options = {"cache_dir": tmp_path / "cache", "quiet": True}
    first, _ = open_dataset(source, GraphConfig(), **options)
    assert len(open_dataset(source, GraphConfig(), limit=5, **options)[0]) == 5
    full, _ = open_dataset(source, GraphConfig(reduce=False), **options)
    assert full.config == GraphConfig(reduce=False)
    moved = source.rename(tmp_path / "moved.jsonl")
    assert open_dataset(moved, GraphConfig(), **options)[0].content_hash == first.content_hash
    assert len(entries(tmp_path / "cache")) == 3
    moved.write_text("".join(moved.read_text().splitlines(keepends=True)[1:]))
    assert len(open_dataset(moved, GraphConfig(), **options)[0]) == len(first) - 1


def test_folder_is_built_again_when_a_file_changes(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "id_prop.csv").write_text("a,1\n")
    (folder / "a.vasp").write_text(rock_salt().to(fmt="poscar"))
    options = {"cache_dir": tmp_path / "cache", "quiet": True}
    assert open_dataset(folder, GraphConfig(), **options)[0].n_atom.tolist() == [8]
    (folder / "a.vasp").write_text(ordered_alloy().to(fmt="poscar"))
    assert open_dataset(folder, GraphConfig(), **options)[0].n_atom.tolist() == [4]


def test_dataset_directory_is_opened_as_it_is(dataset, tmp_path):
    save_dataset(dataset, tmp_path / "dataset")
    opened, skipped = open_dataset(tmp_path / "dataset", GraphConfig(), limit=2)
    assert_equal(opened, dataset.take([0, 1]))
    assert skipped == []
    message = "radius 8.0 instead of 4.0, max_neighbors 12 instead of 16.*build it again"
    with pytest.raises(UserError, match=message):
        open_dataset(tmp_path / "dataset", GraphConfig(4.0, 16))


def test_environment_chooses_the_cache(source, tmp_path, monkeypatch):
    monkeypatch.setenv("GATGNN_CACHE", str(tmp_path / "elsewhere"))
    open_dataset(source, GraphConfig(), quiet=True)
    assert len(entries(tmp_path / "elsewhere")) == 1


def test_work_goes_on_where_nothing_can_be_cached(source, tmp_path, capfd):
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    dataset, skipped = open_dataset(source, GraphConfig(), cache_dir=blocked)
    assert (len(dataset), len(skipped)) == (20, 1)
    assert "not cached: cannot write to" in capfd.readouterr().err


def test_bundled_crystals_are_the_default(tmp_path):
    dataset, _ = open_dataset(None, GraphConfig(), cache_dir=tmp_path, quiet=True, limit=3)
    assert dataset.ids.tolist() == ["mp-10003", "mp-10010", "mp-10015"]
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]
