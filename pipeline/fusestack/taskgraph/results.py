"""What became of tasks: values, which travel and are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from fusestack.model.stage import BlockFailure


@dataclass(frozen=True)
class StageResult:
    """What a task did of one stage.

    Parameters
    ----------
    stage : str
        Its key.
    done : tuple of range
        Blocks that are there now.
    seconds : float
    bytes : int
        Of their pixels, uncompressed.
    bytes_written : int
        As they were stored.
    failed : tuple of BlockFailure
    reading, writing : float
        Seconds of them for reading and decoding, and for encoding and storing.
    """

    stage: str
    done: tuple[range, ...]
    seconds: float
    bytes: int
    bytes_written: int
    failed: tuple[BlockFailure, ...] = ()
    reading: float = 0.0
    writing: float = 0.0


@dataclass(frozen=True)
class BatchResult:
    """What became of a task; small, since it travels.

    Parameters
    ----------
    stages : tuple of StageResult
    whole : tuple of str
        Keys of the stages of which all that it was to make is there.
    """

    stages: tuple[StageResult, ...] = ()
    whole: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all that it was to make is there."""
        return bool(self.stages) and len(self.whole) == len(self.stages)

    def has(self, keys: Collection[str]) -> bool:
        """Whether all that it was to make of some stages is there."""
        own = [stage.stage for stage in self.stages if stage.stage in keys]
        return bool(own) and set(own) <= set(self.whole)

    @property
    def failed(self) -> tuple[tuple[str, BlockFailure], ...]:
        """Failures with the keys of their stages."""
        return tuple((stage.stage, failure) for stage in self.stages for failure in stage.failed)


LEFT_OUT = BatchResult()
"""Of a task that was not tried, since something that it stands on is not there."""
