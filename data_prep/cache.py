"""Datasets by the name of their source: built once, opened from the cache ever after."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from filelock import BaseFileLock, FileLock, Timeout
from rich.console import Console

from data_prep.build import build_dataset, read_skipped, save_built
from data_prep.config import GraphConfig
from data_prep.dataset import FORMAT_VERSION, GraphDataset
from data_prep.errors import Skipped, UserError, check_limit
from data_prep.files import kept_folder, remove_unfinished
from data_prep.progress import plain_console
from data_prep.reading.folders import is_folder, visible_files
from data_prep.storage import load_dataset
from data_prep.workers import Workers

BUNDLED = Path(__file__).parent / "bundled" / "elastic_2015.jsonl.gz"
"""1,181 crystals with bulk modulus, shear modulus and Poisson ratio; see its README."""


def open_dataset(
    data: Path | None,
    config: GraphConfig,
    *,
    cache_dir: Path | None = None,
    workers: Workers = None,
    quiet: bool = False,
    limit: int | None = None,
) -> tuple[GraphDataset, list[Skipped]]:
    """The dataset of a source, built on the first call and mapped from the cache afterwards.

    Args:
        data: a dataset directory, a source of crystals, or None for the bundled crystals.
        config: the graph settings wanted.
        cache_dir: where to keep datasets; by default the environment variable GATGNN_CACHE, else
            ``~/.cache/gatgnn_jax``.
        workers: processes to build with; all cores by default.
        quiet: no progress.
        limit: use the first crystals only.

    Returns:
        The dataset and the crystals that had to be left out of it.

    Raises:
        UserError: no such data, none that can be used, a limit below 1, or a dataset of other graph
            settings.
    """
    check_limit(limit)
    path = Path(data) if data is not None else BUNDLED
    if (path / "dataset.json").exists():
        dataset = load_dataset(path)
        check_settings(path, dataset.config, config)
        if limit is not None and limit < len(dataset):
            dataset = dataset.take(range(limit))
        return dataset, read_skipped(path)
    folder = Path(cache_dir) if cache_dir is not None else kept_folder()
    build = partial(build_dataset, path, config, workers=workers, progress=not quiet, limit=limit)
    console = plain_console(stderr=True, quiet=quiet)
    if folder is None:
        console.print("not cached: no home directory; set GATGNN_CACHE to a folder", style="yellow")
        return build()
    entry = folder / "datasets" / _key(path, config, limit)
    return _opened(entry) or _built(entry, build, console)


Built: TypeAlias = tuple[GraphDataset, list[Skipped]]


def _opened(entry: Path) -> Built | None:
    """What is in the cache; None if it is not there yet, or damaged."""
    try:
        return load_dataset(entry), read_skipped(entry)
    except UserError:
        return None


def _built(entry: Path, build: Callable[[], Built], console: Console) -> Built:
    """Build an entry of the cache, or wait for the process that does so already.

    Where nothing can be written the work goes on from memory.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(entry, console)
    except (OSError, NotImplementedError) as error:  # some file systems have no locks
        reason = getattr(error, "strerror", None) or error
        console.print(f"not cached: cannot write to {entry.parent}: {reason}", style="yellow")
        return build()
    try:
        if opened := _opened(entry):
            return opened  # another process has built it meanwhile
        # Only here may anything be removed: nobody else is writing it.
        shutil.rmtree(entry, ignore_errors=True)
        remove_unfinished(entry)
        dataset, skipped = build()
        try:
            save_built(dataset, skipped, entry)
        except UserError as error:
            console.print(f"not cached: {error}", style="yellow")
        return _opened(entry) or (dataset, skipped)
    finally:
        lock.release()


def _locked(entry: Path, console: Console) -> BaseFileLock:
    """The lock on an entry of the cache; that of a process that was killed is free again."""
    lock = FileLock(entry.with_name(f"{entry.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        console.print("another process is building the graphs of these crystals: waiting for it")
        lock.acquire()
    return lock


def check_settings(path: Path, built_with: GraphConfig, wanted: GraphConfig) -> None:
    """Refuse graphs that are not those asked for.

    Raises:
        UserError: settings differ; the message says which.
    """
    have, want = built_with.to_dict(), wanted.to_dict()
    if not wanted.clusters:
        want["clusters"] = have["clusters"]  # who has no use for clusters is not hindered by them
    differing = [name for name in want if have[name] != want[name]]
    if differing:
        listed = ", ".join(f"{name} {have[name]} instead of {want[name]}" for name in differing)
        raise UserError(
            f"the dataset {path} was built with {listed}: "
            "give the source it was built from, or build it again with these settings"
        )


def _key(path: Path, config: GraphConfig, limit: int | None) -> str:
    """A name that changes with the source's content, the settings and the format."""
    settings = json.dumps([FORMAT_VERSION, config.to_dict(), limit])
    return fingerprint(settings, [path])[:32]


def fingerprint(text: str, paths: Iterable[Path]) -> str:
    """A name that changes with a text and with what files and folders hold; hexadecimal."""
    digest = hashlib.sha256(text.encode())
    for path in paths:
        _digest_path(digest, path)
    return digest.hexdigest()


def _digest_path(digest: "hashlib._Hash", path: Path) -> None:
    if is_folder(path):
        # Reading 40,000 files takes longer than a second; names, sizes and times tell as well.
        for file in visible_files(path):
            digest.update(os.fsencode(file.relative_to(path)))
            _digest_status(digest, file)
    elif path.is_file():
        try:
            with path.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        except OSError:
            _digest_status(digest, path)


def _digest_status(digest: "hashlib._Hash", path: Path) -> None:
    try:
        status = path.stat()
    except OSError:  # a link to nothing, say
        digest.update(b" unreadable\n")
    else:
        digest.update(f" {status.st_size} {status.st_mtime_ns}\n".encode())
