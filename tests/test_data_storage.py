"""Dataset directories, the cache and files: whole or not there, checked, one writer at a time."""

import dataclasses
import errno
import gzip
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from data_prep.cache import check_settings, open_dataset
from data_prep.config import GraphConfig
from data_prep.dataset import GraphDataset, has_changed
from data_prep.errors import UserError
from data_prep.files import replacing, write_text
from data_prep.graph import build_graph
from data_prep.packing import pack
from data_prep.storage import load_dataset, save_dataset
from tests.crystals import NACL, diamond, ordered_alloy, rock_salt, write_lines
from tests.test_data_dataset import assert_equal, entries

ROWS = [{"id": f"salt-{i}", "cif": NACL, "targets": {"gap": i / 2}} for i in range(3)]


def small_dataset(**columns) -> GraphDataset:
    graphs = [build_graph(s, GraphConfig()) for s in (rock_salt(), diamond(), ordered_alloy())]
    splits = {"train": ["a", "b"], "test": ["c"]}
    return pack(graphs, ["a", "b", "c"], columns or {"gap": np.arange(3.0)}, GraphConfig(), splits)


@pytest.fixture(scope="module")
def dataset() -> GraphDataset:
    return small_dataset()


@pytest.fixture
def saved(dataset, tmp_path) -> Path:
    save_dataset(dataset, tmp_path / "dataset", {"skipped.csv": "id,reason\nd,broken\n"})
    return tmp_path / "dataset"


def test_saved_and_mapped_dataset_is_the_same(dataset, tmp_path):
    save_dataset(dataset, tmp_path / "deep" / "dataset")
    loaded = load_dataset(tmp_path / "deep" / "dataset")
    assert_equal(loaded, dataset)
    assert isinstance(loaded.edge_distance, np.memmap)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["dataset"]
    with pytest.raises(UserError, match="exists already"):
        save_dataset(dataset, tmp_path / "deep" / "dataset")


def test_any_flipped_bit_of_any_file_is_noticed(saved):
    rng = np.random.default_rng(0)
    for file in sorted(saved.iterdir()):
        whole = file.read_bytes()
        # The padding of a .npy header may change without changing the array.
        start = 128 if file.suffix == ".npy" else 0
        for place in rng.integers(start, len(whole), 12):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(damaged)
            if file.name == "dataset.json":
                if _same_json(damaged, whole):
                    continue  # a space that became a tab, say
                message = "is damaged: build it again|dataset format .* build the dataset again"
            else:
                message = "is damaged: build it again"
            with pytest.raises(UserError, match=message):
                load_dataset(saved)
        file.write_bytes(whole)
    load_dataset(saved)


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


@pytest.mark.parametrize("text", ["null", "[]", "3", '"x"', "{}", "{", "", "[" * 100_000, "\xff"])
def test_a_header_that_is_none_is_damage(saved, text):
    (saved / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="is damaged: build it again"):
        load_dataset(saved)


@pytest.mark.parametrize("value", [None, [], "x", -1, 1e300, {"radius": "8"}])
@pytest.mark.parametrize("key", ["graph", "columns", "splits", "reports", "nodes", "content_hash"])
def test_a_header_with_another_value_is_damage(saved, key, value):
    header = json.loads((saved / "dataset.json").read_text())
    (saved / "dataset.json").write_text(json.dumps({**header, key: value}))
    with pytest.raises(UserError, match="is damaged: build it again"):
        load_dataset(saved)


def test_files_that_are_cut_gone_or_foreign_are_damage(saved, tmp_path):
    for change in (
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
        lambda file: np.save(file, np.zeros(3, np.int64)),
        lambda file: file.write_bytes(gzip.compress(b"")),
    ):
        for name in ("edge_sender", "ids", "columns"):
            copy = tmp_path / "copy"
            shutil.copytree(saved, copy)
            change(copy / f"{name}.npy")
            with pytest.raises(UserError, match="is damaged: build it again"):
                load_dataset(copy)
            shutil.rmtree(copy)
    with pytest.raises(UserError, match="is no dataset"):
        load_dataset(tmp_path)


def test_another_format_is_named(saved):
    header = json.loads((saved / "dataset.json").read_text())
    (saved / "dataset.json").write_text(json.dumps({**header, "format_version": 99}))
    with pytest.raises(UserError, match="dataset format 99, this program reads 4: build"):
        load_dataset(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"edge_sender": lambda a: a + 100},
        {"edge_sender": lambda a: a - 1},
        {"atom_node": lambda a: a + 100},
        {"edge_distance": lambda a: a.astype(float)},
        {"edge_multiplicity": lambda a: a[:, :1]},
        {"n_node": lambda a: a + 1},
        {"n_atom": lambda a: a * 0},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(dataset, tmp_path, changes):
    """Also where their hash is right."""
    arrays = {name: change(getattr(dataset, name)) for name, change in changes.items()}
    save_dataset(dataclasses.replace(dataset, **arrays), tmp_path / "dataset")
    with pytest.raises(UserError, match="is damaged: build it again"):
        load_dataset(tmp_path / "dataset")


def test_damaged_dataset_in_the_cache_is_built_again(tmp_path):
    source = write_lines(tmp_path / "x.jsonl", ROWS)
    options = {"cache_dir": tmp_path / "cache", "quiet": True}
    first, _ = open_dataset(source, GraphConfig(), **options)
    [cached] = entries(tmp_path / "cache")
    for name, content in [("edge_sender.npy", b""), ("dataset.json", b"null")]:
        # Unlinked first: writing to a file that is mapped would pull it from under ``first``.
        (cached / name).unlink()
        (cached / name).write_bytes(content)
        assert_equal(open_dataset(source, GraphConfig(), **options)[0], first)
        load_dataset(cached)


def test_only_hashes_of_the_same_format_tell_of_a_change(dataset):
    other = small_dataset(gap=np.ones(3))
    assert not has_changed(dataset, dataset.content_hash)
    assert has_changed(dataset, other.content_hash)
    assert not has_changed(dataset, "f" * 64)  # as datasets of format 1 had it


def test_a_full_disk_leaves_nothing_behind(dataset, tmp_path):
    """A file that may not grow any further fails as on a full disk."""
    large = small_dataset(gap=np.arange(3.0), **{f"c{i}": np.zeros(3) for i in range(300)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(UserError, match=f"cannot write {tmp_path / 'dataset'}: "):
            save_dataset(large, tmp_path / "dataset")
        for name in ("table.csv", "table.csv.gz"):
            with pytest.raises(OSError) as failure, replacing(tmp_path / name) as file:
                file.write(np.random.default_rng(0).bytes(10_000))
            assert failure.value.errno == errno.EFBIG
            assert failure.value.filename == str(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "first")
    with pytest.raises(KeyError), replacing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_text() == "first"
    write_text(path, "second")
    write_text(tmp_path / "plain.gz", "text")
    assert (tmp_path / "plain.gz").read_text() == "text"
    assert path.read_text() == "second"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "plain.gz"]
    with pytest.raises(OSError, match="nowhere"):
        write_text(tmp_path / "nowhere" / "file.txt", "text")


WAIT_AND_OPEN = """
import sys
from pathlib import Path
from data_prep import cache
from data_prep.config import GraphConfig
def not_again(*args, **kwargs):
    raise AssertionError("built twice")
cache.build_dataset = not_again
dataset, _ = cache.open_dataset(Path(sys.argv[1]), GraphConfig(), cache_dir=Path(sys.argv[2]))
print(dataset.content_hash)
"""


def test_a_second_process_waits_for_the_first_and_takes_what_it_built(tmp_path):
    source = write_lines(tmp_path / "x.jsonl", ROWS)
    first, _ = open_dataset(source, GraphConfig(), cache_dir=tmp_path / "cache", quiet=True)
    [entry] = entries(tmp_path / "cache")
    with FileLock(entry.with_name(f"{entry.name}.lock")):
        entry.rename(tmp_path / "unfinished")
        second = subprocess.Popen(
            [sys.executable, "-c", WAIT_AND_OPEN, str(source), str(tmp_path / "cache")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr is not None
        assert "waiting" in second.stderr.readline()
        (tmp_path / "unfinished").rename(entry)
    output, errors = second.communicate()
    assert (output, errors) == (f"{first.content_hash}\n", "")


def test_what_a_killed_process_left_in_the_cache_is_removed(tmp_path):
    source = write_lines(tmp_path / "x.jsonl", ROWS)
    options = {"cache_dir": tmp_path / "cache", "quiet": True}
    open_dataset(source, GraphConfig(), **options)
    [entry] = entries(tmp_path / "cache")
    shutil.rmtree(entry)
    entry.with_name(f".{entry.name}.01234567.new").mkdir()
    open_dataset(source, GraphConfig(), **options)
    assert entries(tmp_path / "cache") == [entry]


def test_work_goes_on_without_a_home_directory(tmp_path, monkeypatch, capfd):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GATGNN_CACHE")
    monkeypatch.setattr(Path, "home", homeless)
    dataset, _ = open_dataset(write_lines(tmp_path / "x.jsonl", ROWS), GraphConfig())
    assert len(dataset) == 3
    assert "not cached: no home directory; set GATGNN_CACHE" in capfd.readouterr().err


def test_clusters_that_are_not_needed_are_no_hindrance(tmp_path):
    clustered = GraphConfig(clusters=True)
    check_settings(tmp_path, clustered, GraphConfig())
    with pytest.raises(UserError, match="clusters False instead of True"):
        check_settings(tmp_path, GraphConfig(), clustered)
