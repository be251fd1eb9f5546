"""Who runs a graph: threads of this process, or workers of dask.distributed, here or at an address."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

from fusestack.model.errors import BlockError, ConfigError, FusestackError
from fusestack.taskgraph.allocator import keeping
from fusestack.taskgraph.departures import Departures, died
from fusestack.taskgraph.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fusestack.taskgraph.job import Key, TaskGraph

    Take = Callable[[Key, Any], None]
    _Pairs = list[tuple[Any, Any]]
    Lose = Callable[[Key, BaseException], None]
    Say = Callable[[str], None]

NATIVE_THREADS = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "BLOSC_NTHREADS",
    ),
    "1",
)
_ANSWER_SECONDS = 15
_LONGEST_WITHOUT_WORKERS = 600
_LOOK_SECONDS = 10
_POLL_SECONDS = 0.03
_LONGEST_BLOCK = 120
_DRAIN_SECONDS = 0.2
_CANCELLED = "the tasks of the run were cancelled; what is done is kept, running again continues"
_LOST = "the dask scheduler is lost; what is done is kept, running again continues"


def silent(text: str) -> None:
    """Say nothing."""


class Backend(Protocol):
    """Runs a graph.

    Attributes
    ----------
    workers : int
        Tasks that run at the same time.
    hands_over : bool
        Whether `execute` only gives the graph to somebody who goes on with it.
    """

    workers: int
    hands_over: bool

    @property
    def dashboard(self) -> str:
        """Where its work is shown, or empty."""
        ...

    @property
    def processes(self) -> int:
        """Processes that share the workers, each with memory of its own."""
        ...

    def execute(self, graph: TaskGraph, take: Take, lose: Lose) -> None:
        """Run all tasks; `take` gets each result as it comes, `lose` each task whose worker died."""
        ...

    def has(self, keys: Iterable[Any]) -> bool:
        """Whether results that are kept somewhere, persisted ones, are kept here."""
        ...

    def drain(self) -> None:
        """Wait until nothing of the last graph runs any more, or see to it that nobody waits for it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Threads:
    """Threads of this process, driven by dask's threaded scheduler; the kernels release the GIL."""

    dashboard = ""
    hands_over = False
    processes = 1

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = self._new_pool()

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.workers, thread_name_prefix="fusestack")

    def execute(self, graph: TaskGraph, take: Take, lose: Lose) -> None:
        """See `Backend.execute`."""
        from dask.callbacks import Callback
        from dask.threaded import get

        def after(key: Key, result: Any, *_: object) -> None:
            take(key, result)

        # dask's own argument: callbacks that are registered by `with` are seen by every thread of the process
        callbacks = [Callback(posttask=after)._callback, *Callback.active]
        get(graph.tasks, list(graph.ends), pool=self._pool, callbacks=callbacks)

    def has(self, keys: Iterable[Any]) -> bool:
        """See `Backend.has`: threads keep nothing."""
        return not list(keys)

    def drain(self) -> None:
        """Wait for the blocks that are under way; the next graph gets new threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._new_pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class Cluster:
    """Workers of dask.distributed.

    Parameters
    ----------
    client : distributed.Client
    owned : sequence of objects with ``close()``
        Closed in the end, in this order.
    expected : int
        Workers that were asked for; they may still be on their way.
    """

    hands_over = False

    def __init__(self, client: Any, owned: Sequence[Any] = (), expected: int = 1) -> None:
        self.client = client
        self._owned = owned
        self._expected = expected
        self._seen = self._looked = time.monotonic()
        self._futures: list[Any] = []
        self.workers, self.processes = expected, 1
        self.watch = Watch(client, silent)
        self._departures = Departures(client)
        self._count_workers(self.watch.workers() or {})

    @property
    def dashboard(self) -> str:
        """Address of the dashboard, or what it needs."""
        import importlib.util

        return (
            self.client.dashboard_link or "" if importlib.util.find_spec("bokeh") else "needs bokeh: pip install bokeh"
        )

    def execute(self, graph: TaskGraph, take: Take, lose: Lose) -> None:
        """See `Backend.execute`.

        Raises
        ------
        BlockError
            If the scheduler is lost, or has had no worker for ten minutes.
        ConfigError
            If no worker has the package.
        """
        from distributed import as_completed
        from distributed.client import ClosedClientError

        self.watch.check(self.watch.workers() or {})
        keys = [*graph.batches, *graph.ends]
        try:
            self._futures = self.client.get(graph.tasks, keys, sync=False)
        except ClosedClientError as error:
            raise BlockError(_LOST) from error
        names = {future.key: key for future, key in zip(self._futures, keys, strict=True)}
        finished = as_completed(self._futures, loop=self.client.loop)
        left = len(keys)
        while left:
            while not finished.has_ready():
                self._look_after_cluster(graph)
                time.sleep(_POLL_SECONDS)
            results, failed, again = self._fetched(finished.next_batch(block=False), persisted=graph.persisted)
            finished.update(again)
            left -= len(results) + len(failed)
            for future, result in results:
                if future.key in graph.batches:
                    self.watch.learn(result)
                take(names[future.key], result)
            for future, cause in failed:
                mine = names[future.key]
                culprit = getattr(cause, "task", mine)
                if culprit in graph.chunks or not died(cause):  # what a block reads belongs to it
                    culprit = mine if graph.holds(mine, culprit if died(cause) else None) else None
                if culprit in self.watch.stuck:
                    cause.add_note(self.watch.stuck[culprit])
                if culprit is not None and (culprit == mine or culprit not in names.values()):
                    lose(culprit, cause if culprit in self.watch.stuck else self._departures.named(cause))

    def _fetched(
        self, futures: Sequence[Any], *, persisted: bool
    ) -> tuple[list[tuple[Any, Any]], list[tuple[Any, BaseException]], list[Any]]:
        """Results of futures all at once, those whose worker died, and those that are made again."""
        states = [(future, future.status) for future in futures]  # once: they change meanwhile
        if any(status == "cancelled" for _, status in states):  # every task is, where the scheduler is gone
            raise BlockError(_CANCELLED if self.client.status == "running" else _LOST)
        failed = [(future, future.exception()) for future, status in states if status == "error"]
        for future, cause in failed:
            if not died(cause) and not persisted:
                name = future.key[0]
                raise cause if isinstance(cause, FusestackError) else BlockError(f"{name}: {cause!r}") from cause
        good = [future for future, status in states if status == "finished"]
        again = [future for future, status in states if status not in ("error", "finished")]
        try:
            return list(zip(good, self.client.gather(good), strict=True)), failed, again
        except Exception:  # lost with their worker before they came: their next state says what became of them
            return [], failed, [*again, *good]

    def has(self, keys: Iterable[Any]) -> bool:
        """See `Backend.has`: what this client has futures of."""
        return all(key in self.client.futures for key in keys)

    def drain(self) -> None:
        """Take back what has not begun, and wait for the blocks that are under way."""
        if self.client.status == "running" and self._futures:
            pending = [future for future in self._futures if not future.done()]
            self.client.cancel(pending)
            until = time.monotonic() + (_LONGEST_BLOCK if pending else 0)
            words = tuple({str(future.key[0]) for future in self._futures})
            with suppress(OSError, TimeoutError):  # workers that end meanwhile run nothing any more; silence is told
                while time.monotonic() < until and any(self.watch.ask(_under_way, words).values()):
                    time.sleep(_DRAIN_SECONDS)
        self._futures = []

    def _look_after_cluster(self, graph: TaskGraph) -> None:
        """See whether anybody is there: a lost scheduler answers no future, it stays silent."""
        if self.client.status in ("closed", "closing"):
            raise BlockError(_LOST)
        now = time.monotonic()
        if self.client.status != "running" or now - self._looked < _LOOK_SECONDS:
            return
        workers = self.watch.workers()
        self._looked = time.monotonic()
        if workers is None:
            return
        self._count_workers(workers)
        self.watch.check(workers)
        self.watch.look(workers, graph)
        if now - self._seen > _LOOK_SECONDS and self._waiting():
            self._seen = now
        if now - self._seen > _LONGEST_WITHOUT_WORKERS:
            minutes = _LONGEST_WITHOUT_WORKERS // 60
            raise BlockError(
                f"the dask scheduler has had no worker for {minutes} minutes; "
                "what is done is kept, start workers and run again to continue"
            )

    def _waiting(self) -> bool:
        """Whether somebody knows that workers are still to come."""
        return False

    def _count_workers(self, workers: Mapping[str, Mapping[str, Any]]) -> None:
        threads = sum(facts["nthreads"] for facts in workers.values())
        self._departures.learn(workers)
        if threads:
            self._seen, self.processes = time.monotonic(), len(workers)
        self.workers = max(self._expected, threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for thing in self._owned:
            thing.close()


def _under_way(words: tuple[str, ...], dask_worker: Any = None) -> bool:
    """Whether a worker is at a task of some layers."""
    return any(task.key[0] in words for task in dask_worker.state.executing if isinstance(task.key, tuple))


def worker_environment() -> dict[str, str]:
    """Environment of processes that we start as workers."""
    return NATIVE_THREADS | keeping()


def dask_settings() -> dict[str, Any]:
    """Settings of dask for schedulers and workers that we start."""
    return {
        # a block that kills its worker shall not kill the others too
        "distributed.scheduler.allowed-failures": 0,
        # `Watch` looks after silent workers; this compares wall clocks, and ends all of a laptop that wakes up
        "distributed.scheduler.worker-ttl": None,
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.nanny.pre-spawn-environ": worker_environment(),
        # results are small: what fills the memory is a block, which neither spilling nor pausing makes smaller
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        # measured: 5 % of the time of every worker, and as much of the client, whatever they do
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "500ms",
        "distributed.admin.system-monitor.interval": "2s",
    }


def local_cluster(workers: int, threads_per_worker: int, memory: int) -> Cluster:
    """Start a dask cluster of processes on this machine.

    Parameters
    ----------
    workers, threads_per_worker : int
    memory : int
        Bytes per worker.

    Raises
    ------
    ConfigError
        If the script that calls this would be run again by every process.
    """
    import dask
    from distributed import Client

    from fusestack.taskgraph.local import check_guard, lasting_cluster

    check_guard()

    environment = _Environment()
    with dask.config.set(dask_settings()):
        cluster = lasting_cluster(
            n_workers=workers,
            threads_per_worker=threads_per_worker,
            memory_limit=memory,
            dashboard_address="127.0.0.1:0",  # a free port: another cluster may hold the usual one
            processes=True,
            silence_logs=logging.CRITICAL,  # workers that end say so in many lines; those that die are told of by us
        )
        client = Client(cluster, set_as_default=False)
        return Cluster(client, (client, cluster, environment), workers * threads_per_worker)


class _Environment:
    """Variables of this process that dask sets for the processes that it starts, and leaves set."""

    def __init__(self) -> None:
        self._before = {
            name: os.environ.get(name) for name in (*worker_environment(), "PYTHONHASHSEED", "__DASK_PARENT_PID")
        }

    def close(self) -> None:
        """Put them back."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def at_address(address: str) -> Cluster:
    """Use the workers of a running dask scheduler.

    Raises
    ------
    ConfigError
        If nobody answers at the address, or the scheduler has no workers.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"execution.scheduler: no dask scheduler answers at {address} ({error}); "
            "start one with 'dask scheduler' and workers with 'dask worker', or use scheduler: threads"
        ) from error
    try:
        client.wait_for_workers(1, timeout=_ANSWER_SECONDS)
    except TimeoutError as error:
        client.close()
        raise ConfigError(
            f"execution.scheduler: the dask scheduler at {address} has no workers; start 'dask worker'"
        ) from error
    return Cluster(client, (client,))
