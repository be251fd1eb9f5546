"""Workers that are not there any more: those that died, and those that left in an orderly way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fusestack.model.amounts import size
from fusestack.taskgraph.exhaustion import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLOSING = ("closing", "closing_gracefully")
_ENDED_FOR_MEMORY = "worker-restart-memory"
_LATE_SECONDS = 0.3


class WorkerLeft(Exception):
    """What a worker was at when it left in an orderly way, and what waited there, is to be done again."""


def died(cause: BaseException) -> bool:
    """Whether it is the death of a worker, as a scheduler says it: whoever is gone before the task was done."""
    return type(cause).__name__ == "KilledWorker"


class Departures:
    """What a scheduler knows of workers that are gone.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._left: dict[str, bool] = {}
        self._limits: dict[str, int] = {}

    def learn(self, workers: Mapping[str, Mapping[str, Any]]) -> None:
        """Take notice of the memory of workers that are there."""
        self._limits.update((address, int(facts["memory_limit"] or 0)) for address, facts in workers.items())

    def named(self, cause: BaseException) -> BaseException:
        """`OutOfMemory` where whoever looks after the worker had ended it for that.

        `WorkerLeft` where it had said that it closes: it was asked to, or its time was over.
        """
        worker = getattr(getattr(cause, "last_worker", None), "address", None)
        if worker is None or not died(cause):
            return cause
        if worker not in self._left and (taken := self._taken(worker)) is not None:
            limit = self._limits.get(worker) or max(self._limits.values(), default=0)
            of = f" of the {size(limit)} that it may" if limit else ""
            return OutOfMemory(f"worker {worker} took {size(taken)}{of}, and was ended")
        if worker not in self._left:
            events = (said for _, said in self._client.get_events(worker))
            self._left[worker] = any(isinstance(said, dict) and said.get("status") in _CLOSING for said in events)
        return WorkerLeft(worker) if self._left[worker] else cause

    def _taken(self, worker: str) -> int | None:
        """Bytes that a worker had taken when it was ended for that; None where it was not."""
        for pause in (0.0, _LATE_SECONDS):
            time.sleep(pause)
            for _, said in self._client.get_events(_ENDED_FOR_MEMORY):
                if isinstance(said, dict) and said.get("worker") == worker:
                    return int(said["rss"])
        return None
