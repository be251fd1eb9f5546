"""What happens during a run, as values; progress bars, `status` and run.json listen to the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from fusestack.model.stage import BlockFailure


@dataclass(frozen=True)
class RunStarted:
    """A run begins; `blocks` and `done` count over all its stages. `dashboard`: where dask shows its work, or empty."""

    output: str
    stages: tuple[str, ...]
    blocks: int
    done: int
    workers: int
    dashboard: str = ""


@dataclass(frozen=True)
class StageStarted:
    """A stage is to be done, after or beside others; `done` of its `blocks` were finished by an earlier run."""

    stage: str
    title: str
    blocks: int
    done: int
    bytes: int


@dataclass(frozen=True)
class BlocksEnded:
    """Blocks of a stage came back from a worker.

    Parameters
    ----------
    stage : str
    done : tuple of range
        Finished ones.
    bytes : int
        Of their pixels, uncompressed.
    failed : tuple of BlockFailure
    """

    stage: str
    done: tuple[range, ...]
    bytes: int
    failed: tuple[BlockFailure, ...] = ()

    @property
    def count(self) -> int:
        """Number of finished blocks."""
        return sum(map(len, self.done))


@dataclass(frozen=True)
class StageEnded:
    """A stage is over; `failed` blocks failed after all retries."""

    stage: str
    seconds: float
    failed: int
    retries: int


@dataclass(frozen=True)
class RunEnded:
    """A run is over: ``done``, ``failed``, ``interrupted``; or ``submitted``: others go on with it."""

    outcome: str
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class Noticed:
    """Something that whoever waits wants to know: why jobs wait, which worker is silent."""

    text: str


Event: TypeAlias = RunStarted | StageStarted | BlocksEnded | StageEnded | RunEnded | Noticed


class Listener(Protocol):
    """Takes events in the order in which they happen."""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        ...
