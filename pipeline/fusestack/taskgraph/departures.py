"""Workers that are not there any more: those that died, and those that left in an orderly way."""

from __future__ import annotations

from typing import Any

_CLOSING = ("closing", "closing_gracefully")


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

    def named(self, cause: BaseException) -> BaseException:
        """`WorkerLeft` where the worker had said that it closes: it was asked to, or its time was over."""
        worker = getattr(getattr(cause, "last_worker", None), "address", None)
        if worker is None or not died(cause):
            return cause
        if worker not in self._left:
            events = (said for _, said in self._client.get_events(worker))
            self._left[worker] = any(isinstance(said, dict) and said.get("status") in _CLOSING for said in events)
        return WorkerLeft(worker) if self._left[worker] else cause
