"""The one interface to every kind of worker, and the two that need nothing but this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
from abc import ABC, abstractmethod
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from fusestack.model.stage import BlockResult
from fusestack.taskgraph.task import run_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.stage import Stage
    from fusestack.taskgraph.queue import Batch

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


@dataclass(frozen=True)
class Outcome:
    """A batch that came back, with one result for each of its blocks."""

    batch: Batch
    results: list[BlockResult]
    worker_died: bool = False


class Executor(Protocol):
    """Runs batches of a stage's blocks on workers.

    Attributes
    ----------
    workers : int
        Batches that can run at the same time.
    window : int
        Batches that may be under way at the same time.
    batch_seconds : float
        Time that a batch should take, so that the cost of handing it out does not count.
    """

    workers: int
    window: int
    batch_seconds: float

    def begin(self, stage: Stage) -> None:
        """Make a stage known to the workers; following batches belong to it."""
        ...

    @property
    def pending(self) -> int:
        """Batches under way."""
        ...

    def submit(self, batch: Batch) -> None:
        """Hand out a batch."""
        ...

    def collect(self) -> Outcome:
        """Wait for the next batch to come back, in any order."""
        ...

    def close(self) -> None:
        """Let go of the workers; what has not begun is dropped."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def results_of_dead_worker(stage: Stage, batch: Batch, cause: BaseException) -> list[BlockResult]:
    """Say for every block of a batch that its worker died, and the likely reason."""
    needed = stage.peak_bytes / 2**20
    message = (
        f"the worker died while it computed this block ({type(cause).__name__}); often it ran out of memory: "
        f"a block needs about {needed:,.0f} MiB; lower output.shards or execution.workers, or raise execution.memory"
    )
    return [BlockResult(block, 0.0, 0, 0, error=message, details=repr(cause)) for block in batch.blocks]


class _PoolExecutor(ABC):
    """Executor on a pool of `concurrent.futures`."""

    batch_seconds = 1.0

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.window = 2 * workers
        self._under_way: dict[Future[list[BlockResult]], Batch] = {}
        self._stage: Stage | None = None

    @abstractmethod
    def _submit(self, blocks: Sequence[int]) -> Future[list[BlockResult]]: ...

    def begin(self, stage: Stage) -> None:
        """Make a stage known to the workers."""
        self._stage = stage

    @property
    def pending(self) -> int:
        """Batches under way."""
        return len(self._under_way)

    def submit(self, batch: Batch) -> None:
        """Hand out a batch."""
        self._under_way[self._submit(batch.blocks)] = batch

    def collect(self) -> Outcome:
        """Wait for the next batch to come back."""
        finished = wait(self._under_way, return_when=FIRST_COMPLETED).done.pop()
        batch = self._under_way.pop(finished)
        error = finished.exception()
        if error is None:
            return Outcome(batch, finished.result())
        assert self._stage is not None
        return Outcome(batch, results_of_dead_worker(self._stage, batch, error), worker_died=True)

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class ThreadExecutor(_PoolExecutor):
    """Threads of this process; the kernels release the GIL."""

    batch_seconds = 0.3

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="fusestack")

    def _submit(self, blocks: Sequence[int]) -> Future[list[BlockResult]]:
        assert self._stage is not None
        return self._pool.submit(run_batch, self._stage, blocks)

    def close(self) -> None:
        """Let go of the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class ProcessExecutor(_PoolExecutor):
    """Fresh processes of this machine, one thread each."""

    batch_seconds = 1.0

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._folder = tempfile.TemporaryDirectory(prefix="fusestack-")
        self._payload = Path(self._folder.name)
        self._begun = 0
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        os.environ.update({name: os.environ.get(name, value) for name, value in NATIVE_THREADS.items()})
        # spawn: a forked child inherits locks of libraries that hold threads (zarr's event loop, HDF5)
        return ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn"))

    def begin(self, stage: Stage) -> None:
        """Make a stage known to the workers."""
        super().begin(stage)
        self._begun += 1
        self._payload = Path(self._folder.name) / f"{self._begun}.pickle"
        self._payload.write_bytes(pickle.dumps(stage))

    def _submit(self, blocks: Sequence[int]) -> Future[list[BlockResult]]:
        try:
            return self._pool.submit(_run_payload, str(self._payload), blocks)
        except BrokenExecutor:
            # a worker died: what it and the others had under way comes back as failed, a new pool goes on
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._new_pool()
            return self._pool.submit(_run_payload, str(self._payload), blocks)

    def close(self) -> None:
        """Let go of the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


_current: tuple[str, Stage] | None = None


def _run_payload(payload: str, blocks: Sequence[int]) -> list[BlockResult]:
    """Run a batch in a worker process; the stage is read once, not sent with every batch."""
    global _current
    if _current is None or _current[0] != payload:
        _current = (payload, pickle.loads(Path(payload).read_bytes()))
    return run_batch(_current[1], blocks)
