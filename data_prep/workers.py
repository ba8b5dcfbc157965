"""Work by other processes, in order and in flat memory: on this machine or on a Dask cluster."""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from data_prep.errors import UserError, one_line

Given = TypeVar("Given")
Result = TypeVar("Result")

RETRIES = 1
"""How often in a row processes may be killed before the work is given up."""

CONNECT_WITHIN = 30
"""Seconds a scheduler has to answer."""


@dataclass(frozen=True)
class Dask:
    """A Dask cluster, which is connected to when there is work for it.

    Attributes:
        address: `local` for one of this machine, the JSON file of a scheduler, or its HOST:PORT.
        processes: of a local one; as many as cores by default.

    Raises:
        UserError: Dask is not installed, or that is no address.
    """

    address: str
    processes: int | None = None

    def __post_init__(self) -> None:
        if not find_spec("distributed"):
            raise UserError('--dask needs Dask: pip install "gatgnn_jax[dask]"')
        if self.address.endswith(".json"):
            if not Path(self.address).is_file():
                raise UserError(
                    f"--dask {self.address} does not exist: start the scheduler with "
                    f"dask scheduler --scheduler-file {self.address}"
                )
        elif self.address != "local" and not re.fullmatch(r"(\w+://)?.+:\d+", self.address):
            raise UserError(
                f"--dask {self.address}: give local, the JSON file of a scheduler, or HOST:PORT"
            )


Workers: TypeAlias = int | Dask | None
"""Who works: so many processes of this machine, a Dask cluster, or as many as there are cores."""


def workers_of(count: int | None, dask: str | None) -> Workers:
    """The options `--workers` and `--dask` as one; the first counts the second's local processes.

    Raises:
        UserError: no such cluster.
    """
    return count if dask is None else Dask(dask, count)


def in_order(
    function: Callable[[Given], Result], work: Iterator[Given], workers: int | Dask
) -> Iterator[Result]:
    """`function` of everything, in order, with twice as much under way as there are cores.

    The work of processes that are killed, most often for want of memory, is done by others.

    Raises:
        UserError: processes are killed again and again, or a cluster cannot be used.
    """
    pool = _Cluster(workers) if isinstance(workers, Dask) else _Processes(workers)
    under_way: deque[tuple[Given, Future[Result]]] = deque()
    kills = 0
    try:
        while True:
            while len(under_way) < 2 * pool.cores() and (own := next(work, None)) is not None:
                under_way.append((own, pool.submit(function, own)))
            if not under_way:
                return
            try:
                result = pool.result(under_way[0][1])
            except BrokenExecutor:
                # Nothing is lost: what was under way is given to new processes.
                kills += 1
                if kills > RETRIES:
                    raise UserError(
                        "a process that prepares graphs was killed, and so was the next one: if "
                        "the memory does not suffice, use fewer --workers"
                    ) from None
                pool.start()
                under_way = deque((own, pool.submit(function, own)) for own, _ in under_way)
                continue
            kills = 0
            under_way.popleft()
            yield result
    finally:
        pool.close()


class _Processes:
    """Processes of this machine.

    They are joblib's own: started afresh rather than forked (JAX may have threads running in this
    one), and without importing the program that was run.
    """

    def __init__(self, count: int):
        self.count = count
        self.start()

    def start(self) -> None:
        # Imported where needed: small jobs do without.
        from joblib.externals.loky import get_reusable_executor

        self.executor = get_reusable_executor(max_workers=self.count)

    def cores(self) -> int:
        return self.count

    def submit(self, function: Callable[[Given], Result], own: Given) -> "Future[Result]":
        try:
            return self.executor.submit(function, own)
        except BrokenExecutor as error:  # as if it had been killed a moment later
            future: Future[Result] = Future()
            future.set_exception(error)
            return future

    def result(self, future: "Future[Result]") -> Result:
        return future.result()

    def close(self) -> None:
        # They would wait for more work for minutes, beside the training that follows.
        self.executor.shutdown(wait=True, kill_workers=True)


class _Cluster:
    """Workers of a Dask cluster, whose scheduler gives a killed worker's work to others.

    Through the scheduler's executor, as joblib's Dask backend takes up more and more work while
    its results wait to be read, and memory is to stay flat.
    """

    def __init__(self, dask: Dask):
        self.name = f"--dask {dask.address}"
        self.held = ExitStack()
        try:
            self.client = self._client(dask)
        except (OSError, ValueError, RuntimeError) as error:
            self.held.close()
            raise UserError(f"{self.name} cannot be reached: {one_line(error)}") from None
        self.executor = self.client.get_executor()
        if not self.client.ncores():
            sys.stderr.write(f"{self.name}: waiting for its first worker\n")
            self.client.wait_for_workers(1)

    def _client(self, dask: Dask) -> Any:
        from distributed import Client, LocalCluster

        place: dict[str, Any] = {"address": dask.address}
        if dask.address.endswith(".json"):
            place = {"scheduler_file": dask.address}
        elif dask.address == "local":
            cluster = LocalCluster(
                n_workers=dask.processes, threads_per_worker=1, dashboard_address=None
            )
            place = {"address": self.held.enter_context(cluster)}
        client = Client(**place, timeout=CONNECT_WITHIN, set_as_default=False)
        return self.held.enter_context(client)

    def start(self) -> None:
        """Nothing to do: the scheduler replaces workers."""

    def cores(self) -> int:
        return sum(self.client.ncores().values()) or 1  # it may grow and shrink

    def submit(self, function: Callable[[Given], Result], own: Given) -> "Future[Result]":
        return self.executor.submit(function, own)

    def result(self, future: "Future[Result]") -> Result:
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker:
            raise UserError(
                f"{self.name}: the same crystals killed one worker after another: give its workers "
                "more memory"
            ) from None
        except CancelledError:
            raise UserError(f"{self.name}: the connection to its scheduler was lost") from None
        except Exception as error:  # each crystal's own errors are caught where it is read
            raise UserError(
                f"{self.name}: a worker failed with {type(error).__name__}: {one_line(error)}; it "
                "needs the same packages as this program"
            ) from None

    def close(self) -> None:
        self.held.close()
