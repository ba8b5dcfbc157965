"""Checkpoints of a run, written and read with Orbax; each carries the hashes of its files.

    checkpoints/best/        weights of the model with the lowest score
    checkpoints/latest/N/    the whole training state after epoch N

Orbax does not notice a flipped bit, and a wrong weight predicts as smoothly as a right one.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from data_prep.errors import UserError, one_line
from data_prep.files import write_text

HASHES = "sha256.json"
"""In a checkpoint: the SHA-256 of each other file. Those of older versions have none, and are taken
as they are."""


def save_model(folder: Path, model: Any) -> None:
    """Save a pytree of weights as the folder, in the place of what was there.

    Raises:
        UserError: it cannot be written.
    """
    folder = folder.absolute()
    unfinished, before = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
    with _explained_writing(folder):
        with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
            checkpointer.save(unfinished, model, force=True)
            checkpointer.wait_until_finished()
        # That file tells where it was written, and is not needed.
        (unfinished / "commit_success.txt").unlink(missing_ok=True)
        write_hashes(unfinished)
        shutil.rmtree(before, ignore_errors=True)  # what a kill between two renames has left
        if folder.exists():
            folder.rename(before)
        unfinished.rename(folder)
        shutil.rmtree(before, ignore_errors=True)


def load_model(folder: Path, like: Any) -> Any:
    """The weights in a folder; `like` gives names, shapes and types.

    Raises:
        UserError: they are damaged, or those of another network.
    """
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like)
    with _explained_reading(folder):
        check_hashes(folder)
        with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
            # Orbax finds other names by itself, but other shapes only while it reads.
            found = checkpointer.metadata(folder.absolute()).item_metadata.tree
            if _shapes(found) != _shapes(like):
                raise ValueError("the arrays have other shapes")
            model = checkpointer.restore(folder.absolute(), like)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model)):
            raise ValueError("some weights are no numbers")
    return model


def save_training(folder: Path, state: Any, progress: Mapping[str, Any]) -> None:
    """Save all that training needs to go on; the one before is removed afterwards.

    `state` is a pytree of numpy arrays, `progress` plain JSON values with the number of finished
    epochs under `epoch`.

    Raises:
        UserError: it cannot be written.
    """
    with _explained_writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _manager(folder) as manager:
            manager.save(
                progress["epoch"],
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(dict(progress))
                ),
            )
        write_hashes(folder / str(progress["epoch"]))


def load_training(folder: Path, like: Any) -> tuple[Any, dict[str, Any]] | None:
    """State and progress as last saved; None if nothing was. `like` gives the structure.

    Raises:
        UserError: they are damaged, or those of another training.
    """
    if not folder.exists():
        return None
    with _explained_reading(folder), _manager(folder) as manager:
        epoch = manager.latest_step()
        if epoch is None:
            return None
        check_hashes(folder / str(epoch))
        restored = manager.restore(
            epoch,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(like), progress=ocp.args.JsonRestore()
            ),
        )
    return restored.state, restored.progress


def has_training(folder: Path) -> bool:
    """Whether `save_training` has saved anything there; a save that was cut off does not count."""
    return any(step.name.isdigit() for step in folder.glob("*"))


def write_hashes(folder: Path) -> None:
    """Note the hashes of all files of a checkpoint in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != HASHES)
    hashes = {file.relative_to(folder).as_posix(): _sha256(file) for file in files}
    write_text(folder / HASHES, json.dumps(hashes, indent=1) + "\n")


def check_hashes(folder: Path) -> None:
    """Compare the files of a checkpoint with the hashes in it, if there are any.

    Raises:
        ValueError: one is another, or the list is damaged.
        OSError: one is missing.
    """
    if (folder / HASHES).exists():
        for name, said in json.loads((folder / HASHES).read_text(encoding="utf-8")).items():
            if _sha256(folder / name) != said:
                raise ValueError(f"{name} is not as it was written")


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return sorted(leaf.shape for leaf in jax.tree.leaves(tree))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _alone() -> ocp.options.MultiprocessingOptions:
    """Of several processes one writes, and each reads by itself: Orbax must not wait for others."""
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})


def _manager(folder: Path) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(
        folder.absolute(),
        options=ocp.CheckpointManagerOptions(
            max_to_keep=1,
            create=False,
            enable_async_checkpointing=False,
            multiprocessing_options=_alone(),
        ),
    )


@contextmanager
def _explained_reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever Orbax and TensorStore make of files that are not theirs
        raise UserError(
            f"{folder} cannot be read: it is damaged, or of another network than config.json says\n"
            "put both back from a copy, or train again"
        ) from error


@contextmanager
def _explained_writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a full disk is no OSError to TensorStore
        full = os.strerror(errno.ENOSPC)
        reason = full if full in str(error) else one_line(error)
        raise UserError(
            f"cannot write {folder}: {reason}\nfree some space, then give the same command again"
        ) from error
