"""Workers of a dask cluster: one on this machine, one at an address, or one that a job system starts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from fusestack.model.errors import BlockError, ConfigError
from fusestack.taskgraph.executor import NATIVE_THREADS, Outcome, results_of_dead_worker
from fusestack.taskgraph.task import run_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.model.stage import Stage
    from fusestack.taskgraph.queue import Batch

JOB_SYSTEMS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
}
_ANSWER_SECONDS = 15
_START_SECONDS = 300
_LONGEST_WITHOUT_WORKERS = 600
_LOOK_SECONDS = 10
_POLL_SECONDS = 0.02
_LOST = "the dask scheduler is lost; what is done is kept, running again continues"


def _load(payload: bytes) -> Stage:
    import pickle

    stage: Stage = pickle.loads(payload)
    return stage


class DaskExecutor:
    """Batches as tasks of `distributed`; the graph never holds more than a window of them.

    Parameters
    ----------
    client : distributed.Client
    owned : tuple of objects with ``close()``
        Closed together with the executor, in order.
    expected : int
        Workers that were asked for; they may still be on their way.
    """

    batch_seconds = 5.0

    def __init__(self, client: Any, owned: tuple[Any, ...] = (), expected: int = 1) -> None:
        from distributed import as_completed

        self._client = client
        self._owned = owned
        self._expected = expected
        self._seen = self._looked = time.monotonic()
        self.workers = self.window = expected
        self._count_workers()
        self._finished = as_completed([], with_results=True, raise_errors=False)
        self._under_way: dict[str, Batch] = {}
        self._stage: Stage | None = None
        self._stage_future: Any = None
        self._count = 0

    def begin(self, stage: Stage) -> None:
        """Make a stage known to the workers."""
        import pickle
        import uuid

        self._stage = stage
        # A task, not a scattered value: where every copy is lost with its worker, dask makes it again.
        self._stage_future = self._client.submit(
            _load, pickle.dumps(stage), key=f"stage-{stage.key}-{uuid.uuid4().hex[:8]}"
        )

    @property
    def pending(self) -> int:
        """Batches under way."""
        return len(self._under_way)

    def submit(self, batch: Batch) -> None:
        """Hand out a batch."""
        assert self._stage is not None
        self._count += 1
        key = f"{self._stage.key}-block-{batch.blocks[0]}-{batch.blocks[-1]}-{id(self):x}-{self._count}"
        from distributed.client import ClosedClientError

        try:
            future = self._client.submit(run_batch, self._stage_future, batch.blocks, key=key, pure=False)
        except ClosedClientError as error:
            raise BlockError(_LOST) from error
        self._under_way[future.key] = batch
        self._finished.add(future)

    def collect(self) -> Outcome:
        """Wait for the next batch to come back.

        Raises
        ------
        BlockError
            If the scheduler is lost, or has had no worker for ten minutes.
        """
        while not self._finished.has_ready():
            self._look_after_cluster()
            time.sleep(_POLL_SECONDS)
        future, result = next(self._finished)
        batch = self._under_way.pop(future.key)
        status = future.status
        future.release()
        if status == "finished":
            return Outcome(batch, result)
        assert self._stage is not None
        # with raise_errors=False a failed future yields (type, exception, traceback)
        cause = result[1] if isinstance(result, tuple) else RuntimeError(str(result))
        return Outcome(batch, results_of_dead_worker(self._stage, batch, cause), worker_died=True)

    def _look_after_cluster(self) -> None:
        """See whether anybody is there: a lost scheduler answers no future, it stays silent."""
        if self._client.status in ("closed", "closing"):
            raise BlockError(_LOST)
        now = time.monotonic()
        if self._client.status != "running" or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        self._count_workers()
        if now - self._seen > _LONGEST_WITHOUT_WORKERS:
            minutes = _LONGEST_WITHOUT_WORKERS // 60
            raise BlockError(
                f"the dask scheduler has had no worker for {minutes} minutes; "
                "what is done is kept, start workers and run again to continue"
            )

    def _count_workers(self) -> None:
        threads = sum(self._client.nthreads().values())
        if threads:
            self._seen = time.monotonic()
        self.workers = max(self._expected, threads)
        self.window = 2 * self.workers

    def close(self) -> None:
        """Let go of the workers."""
        self._client.close()
        for thing in self._owned:
            thing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _settings() -> dict[str, Any]:
    return {
        # a block that kills its worker shall not kill the others too
        "distributed.scheduler.allowed-failures": 0,
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.nanny.pre-spawn-environ": NATIVE_THREADS,
    }


def local_cluster(workers: int, threads_per_worker: int, memory: int) -> DaskExecutor:
    """Start a dask cluster of processes on this machine.

    Parameters
    ----------
    workers, threads_per_worker : int
    memory : int
        Bytes per worker.
    """
    import dask
    from distributed import Client, LocalCluster

    with dask.config.set(_settings()):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=threads_per_worker,
            memory_limit=memory,
            dashboard_address="127.0.0.1:0",  # a free port: another cluster may hold the usual one
            processes=True,
        )
        return DaskExecutor(Client(cluster), (cluster,))


def at_address(address: str) -> DaskExecutor:
    """Use the workers of a running dask scheduler.

    Raises
    ------
    ConfigError
        If nobody answers at the address, or the scheduler has no workers.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=_ANSWER_SECONDS)
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
    return DaskExecutor(client)


def job_cluster(system: str, workers: int, profile: Mapping[str, Any]) -> DaskExecutor:
    """Let a job system start the workers, and replace those that it ends.

    Parameters
    ----------
    system : str
        A key of `JOB_SYSTEMS`.
    workers : int
        Jobs.
    profile : mapping
        Keyword arguments of the dask-jobqueue cluster class.

    Raises
    ------
    ConfigError
        If dask-jobqueue is missing, the profile does not fit, or no worker comes.
    """
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ConfigError(
            f"execution.scheduler: {system} needs dask-jobqueue; install it with: pip install 'fusestack[cluster]'"
        ) from error
    import dask
    from distributed import Client

    with dask.config.set(_settings()):
        try:
            cluster = getattr(dask_jobqueue, JOB_SYSTEMS[system])(**profile)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"execution.profile: {error}") from error
        # scale() never replaces a lost job; adapt() does
        cluster.adapt(minimum_jobs=workers, maximum_jobs=workers, interval="5s")
        client = Client(cluster)
        try:
            client.wait_for_workers(1, timeout=_START_SECONDS)
        except TimeoutError as error:
            client.close()
            cluster.close()
            raise ConfigError(
                f"execution.scheduler: no {system} worker started within {_START_SECONDS} s; "
                f"look at the queue, and at the job that was submitted:\n{cluster.job_script()}"
            ) from error
        return DaskExecutor(client, (cluster,), workers)
