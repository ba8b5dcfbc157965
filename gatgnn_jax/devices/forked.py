"""A forked process cannot use its parent's JAX: it would wait for threads that were not copied."""

import os

from jax._src import xla_bridge  # nothing public tells whether JAX has started

from data_prep.errors import UserError

_forked_after_start = False


def _note_fork() -> None:
    global _forked_after_start
    _forked_after_start |= xla_bridge.backends_are_initialized()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_note_fork)


def check_not_forked() -> None:
    """Make sure that JAX can be used in this process.

    Raises:
        UserError: the process was forked from one that had used it already.
    """
    if _forked_after_start:
        raise UserError(
            "this process was forked from one that had used JAX already, and would hang: start it "
            "with multiprocessing.get_context('spawn')\n"
            "(PyTorch: DataLoader(…, multiprocessing_context='spawn')), or use JAX in it only"
        )
