"""What happens during a run, as values; progress bars, `status` and run.json listen to the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from fusestack.model.stage import BlockResult


@dataclass(frozen=True)
class RunStarted:
    """A run begins; `blocks` and `done` count over all its stages."""

    output: str
    stages: tuple[str, ...]
    blocks: int
    done: int
    workers: int


@dataclass(frozen=True)
class StageStarted:
    """A stage begins; `done` of its `blocks` were finished by an earlier run."""

    stage: str
    title: str
    blocks: int
    done: int
    bytes: int


@dataclass(frozen=True)
class BlocksEnded:
    """Blocks came back from a worker, finished or failed."""

    stage: str
    results: tuple[BlockResult, ...]
    itemsize: int

    @property
    def bytes(self) -> int:
        """Uncompressed bytes of the finished blocks."""
        return sum(r.pixels for r in self.results if r.error is None) * self.itemsize


@dataclass(frozen=True)
class StageEnded:
    """A stage is over; `failed` blocks failed after all retries."""

    stage: str
    seconds: float
    failed: int
    retries: int


@dataclass(frozen=True)
class RunEnded:
    """A run is over: ``done``, ``failed`` or ``interrupted``."""

    outcome: str
    seconds: float
    message: str = ""


Event: TypeAlias = RunStarted | StageStarted | BlocksEnded | StageEnded | RunEnded


class Listener(Protocol):
    """Takes events in the order in which they happen."""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        ...
