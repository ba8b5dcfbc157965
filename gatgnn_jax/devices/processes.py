"""Several processes that train one model, joined by `jax.distributed`: one a machine, or a GPU.

Every process runs the same command on the same data. All deal the same batches, each computes its
own devices' shares of them, and the first one writes the files. Sums over a batch go from device to
device; whatever else the processes tell each other goes through the store of texts that the first
one keeps for JAX. There a thread of each also says that it lives, and looks whether the others do:
a sum over devices would wait for a dead process for ever.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from typing import Any, NoReturn, TypeVar

import jax
from jax._src.distributed import global_state  # the store has no public name

from data_prep.errors import UserError

T = TypeVar("T")

BEAT = 1.0
"""Seconds between two signs of life."""

SILENCE = 40.0
"""Seconds without one after which a process is taken for dead."""

WEEK = 7 * 24 * 3600 * 1000
"""Milliseconds to wait for another process, which may prepare a large dataset."""

LAST_WORDS = 'while IFS= read -r line; do last=$line; done; [ -z "$last" ] || echo "$last" >&2'
"""For a shell: says the last line that it was given, once the process that gave it has ended."""

ADVICE, ALIVE, FAILED, SAID = (
    f"gatgnn_jax/{kind}" for kind in ("advice", "alive", "failed", "said")
)


@contextmanager
def joined(distributed: str | None) -> Iterator[None]:
    """Be one of several processes while this lasts; begin it before any other use of JAX.

    Whatever ends one process ends all of them, with its message.

    Args:
        distributed: None for a process of its own; `auto` where the cluster says which one this is
            (SLURM, Open MPI, Kubernetes); else HOST:PORT/COUNT/NUMBER.

    Raises:
        UserError: none of these, or the others cannot be reached.
    """
    if distributed is None:
        yield
        return
    _connect(distributed)
    watch = _Watch()
    watch.start()
    try:
        yield
        meet()  # no process leaves while another still needs it
    except BaseException as error:
        watch.fail(error)
    watch.leave()


def _connect(distributed: str) -> None:
    where: dict[str, Any] = {}
    if distributed != "auto":
        parts = re.fullmatch(r"([^/\s]+:\d+)/(\d+)/(\d+)", distributed)
        if parts is None or not int(parts[3]) < int(parts[2]):
            raise UserError(
                f"--distributed {distributed}: give auto, or HOST:PORT/COUNT/NUMBER as "
                "node1:5000/2/0, with NUMBER from 0 to COUNT - 1"
            )
        where = {
            "coordinator_address": parts[1],
            "num_processes": int(parts[2]),
            "process_id": int(parts[3]),
            "cluster_detection_method": "deactivate",
        }
    # Signals are the training loop's business, and dead processes that of the thread below.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_enable_recoverability", True)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(**where)
    except ValueError:
        raise UserError(
            "--distributed auto: this is no job of SLURM, Open MPI or Kubernetes: give "
            "HOST:PORT/COUNT/NUMBER"
        ) from None
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--distributed {distributed}: the processes do not find each other ({reason})"
        ) from None


def is_alone() -> bool:
    """Whether there is one process only."""
    return global_state.client is None


def is_first() -> bool:
    """Whether this process writes files and speaks."""
    return global_state.process_id == 0


def exchange(value: T) -> list[T]:
    """What each process says here, the first one's first: anything that JSON can hold.

    All have to come here, and wait for each other.
    """
    store, own = global_state.client, global_state.process_id
    if store is None:
        return [value]
    turn = store.key_value_increment(f"{SAID}/turn/{own}", 1)
    store.key_value_set(f"{SAID}/{turn}/{own}", json.dumps(value))
    said = [
        json.loads(store.blocking_key_value_get(f"{SAID}/{turn}/{other}", WEEK))
        for other in range(global_state.num_processes)
    ]
    # All have spoken in this turn, so that all have heard what was said in the one before.
    store.key_value_delete(f"{SAID}/{turn - 1}/{own}")
    return said


def agree(value: T) -> T:
    """What the first process says, in all of them."""
    return exchange(value)[0]


def meet() -> None:
    """Wait until all processes are here."""
    exchange(None)


def by_first(work: Callable[[], object]) -> None:
    """Work that only the first process does, and for which the others wait."""
    if is_first():
        work()
    meet()


@contextmanager
def held_by_first(context: AbstractContextManager[object]) -> Iterator[None]:
    """A context that the first process enters, before the others go on."""
    with context if is_first() else nullcontext():
        meet()
        yield


def first_then_others(work: Callable[[], T]) -> T:
    """Work that the first process does before the others, who find in a cache what it left."""
    result = work() if is_first() else None
    meet()
    return result if is_first() else work()  # type: ignore[return-value]


def advise(command: str) -> None:
    """The command to go on with if a process dies, as the first one gives it."""
    if global_state.client is not None and is_first():
        global_state.client.key_value_set(f"{ADVICE}/0", command, allow_overwrite=True)


class _Watch(threading.Thread):
    """Says that this process lives, and ends it when another one has failed or died."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.advice = "give the same command again"
        # JAX aborts a process at once when the first one has died: somebody else has to speak then.
        self.heir = subprocess.Popen(
            ["sh", "-c", LAST_WORDS], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def run(self) -> None:
        """Until `over`, or until something is wrong."""
        store, own = global_state.client, global_state.process_id
        assert store is not None
        self._bequeath(f"error: a process has died; once all can run again: {self.advice}")
        heard: dict[str, tuple[str, float]] = {}
        for beat in count():
            if self.over.wait(BEAT):
                return
            try:
                store.key_value_set(f"{ALIVE}/{own}", f"{beat} on {socket.gethostname()}", True)
                failed = store.key_value_dir_get(FAILED)
                alive = store.key_value_dir_get(ALIVE)
                for _, advice in store.key_value_dir_get(ADVICE):
                    if advice != self.advice:
                        self.advice = advice
                        self._bequeath(f"error: a process has died; go on with {advice}")
            except Exception:  # the first process keeps the store
                self._end_as_dead("process 0")
            for _, message in failed:
                self.end(message)
            now = time.monotonic()
            for key, sign in alive:
                if heard.get(key, ("", 0))[0] != sign:
                    heard[key] = sign, now
                elif now - heard[key][1] > SILENCE:
                    self._end_as_dead(f"process {key.rpartition('/')[2]} {sign.partition(' ')[2]}")

    def leave(self) -> None:
        """The work is done."""
        self.over.set()
        self.join()
        self._bequeath("")
        self.heir.communicate()
        if is_first():
            time.sleep(BEAT)  # others may be about to leave, and look into the store once more
        jax.distributed.shutdown()

    def fail(self, error: BaseException) -> NoReturn:
        """Tell the others what has ended this process, and end."""
        store, own = global_state.client, global_state.process_id
        assert store is not None
        if isinstance(error, jax.errors.JaxRuntimeError):
            # Most likely another process has failed or died, and `run` is about to say so.
            time.sleep(SILENCE + 3 * BEAT)
        if isinstance(error, UserError | OSError):
            message = f"error: {error}"
        elif isinstance(error, KeyboardInterrupt):
            message = "stopped"
        else:
            message = f"error: process {own}: {type(error).__name__}: {error}"
            traceback.print_exception(error)
        try:
            store.key_value_set(f"{FAILED}/{own}", message)
        finally:
            self.end(message)

    def end(self, message: str) -> NoReturn:
        """End this process at once: its other thread may wait for a sum that never comes."""
        self._bequeath("")
        sys.stderr.write(message.rstrip("\n") + "\n")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if is_first():
            time.sleep(5 * BEAT)  # JAX aborts the others as the store goes: they shall hear first
        os._exit(1)

    def _end_as_dead(self, name: str) -> None:
        if not self.over.is_set():
            self.end(f"error: {name} has died; once it can run again: {self.advice}")

    def _bequeath(self, words: str) -> None:
        """What is said if this process does not come to speak itself."""
        assert self.heir.stdin is not None
        self.heir.stdin.write(words + "\n")
        self.heir.stdin.flush()
