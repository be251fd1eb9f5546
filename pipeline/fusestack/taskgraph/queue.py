"""Blocks still to do, handed out in batches of about equal time; failed ones come back."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fusestack.model.stage import BlockResult

_LARGEST_BATCH = 10_000
_GROWTH = 4


@dataclass(frozen=True)
class Batch:
    """Blocks for one task; a batch that is `alone` runs while nothing else does."""

    blocks: Sequence[int]
    alone: bool = False


class BlockQueue:
    """Blocks of one stage that are to be done.

    Holds ranges, not blocks: a million blocks take no more memory than one. The size of a batch follows the measured
    time of a block. A failed block is tried again by itself; one whose worker died is tried again while nothing else
    runs, so that a block that kills its worker is never confused with its neighbours.

    Parameters
    ----------
    runs : iterable of range
        Blocks to do.
    workers : int
        Batches that run at the same time.
    batch_seconds : float
        Time that a batch should take.
    retries : int
        How often a failed block is tried again.
    """

    def __init__(self, runs: Iterable[range], *, workers: int, batch_seconds: float, retries: int) -> None:
        self._runs = deque(run for run in runs if len(run))
        self._left = sum(len(run) for run in self._runs)
        self._again: deque[Batch] = deque()
        self._attempts: Counter[int] = Counter()
        self._workers = workers
        self._batch_seconds = batch_seconds
        self._retries = retries
        self._size = 1
        self.failed: dict[int, BlockResult] = {}

    @property
    def retried(self) -> int:
        """How many times a block was tried again."""
        return self._attempts.total() - len(self.failed)

    def take(self) -> Batch | None:
        """Next batch, or None when nothing is left (blocks under way may still come back)."""
        if self._again:
            return self._again.popleft()
        if not self._runs:
            return None
        run = self._runs[0]
        fair_share = -(-self._left // (2 * self._workers))
        size = min(self._size, fair_share, len(run))
        batch, rest = run[:size], run[size:]
        self._left -= size
        if rest:
            self._runs[0] = rest
        else:
            self._runs.popleft()
        return Batch(batch)

    def put_back(self, batch: Batch) -> None:
        """Return a batch that was taken but not started."""
        self._again.appendleft(batch)

    def settle(self, results: Sequence[BlockResult], *, worker_died: bool = False) -> None:
        """Learn from finished blocks; queue the failed ones again until their retries are used up.

        Where the store refuses, nothing more is handed out.
        """
        seconds = sum(result.seconds for result in results)
        if results and not worker_died:
            wanted = int(self._batch_seconds * len(results) / max(seconds, 1e-6))
            self._size = max(1, min(wanted, self._size * _GROWTH, _LARGEST_BATCH))
        for result in results:
            if result.error is None:
                continue
            self._attempts[result.block] += 1
            if result.hopeless:
                self._again.clear()
                self._runs.clear()
            if result.hopeless or self._attempts[result.block] > self._retries:
                self.failed[result.block] = result
            else:
                self._again.append(Batch((result.block,), alone=worker_died))
