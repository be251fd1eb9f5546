"""Blocks that run out of memory: what is said of them, and what a run does about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fusestack.model.amounts import counted, size
from fusestack.model.errors import BlockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusestack.model.stage import BlockFailure, Stage

MOST_ALONE = 3
"""Blocks that run out of memory alone after which a run ends: others would, too, and each costs a worker."""
_WAY_OUT = (
    "raise execution.memory, or lower output.shards, execution.threads_per_worker, or execution.workers that share it"
)


class OutOfMemory(Exception):
    """A worker was ended since it took more memory than it has.

    Parameters
    ----------
    who : str
        Worker, what it had taken, and its limit.
    """


def of_ended_worker(stage: Stage, cause: OutOfMemory, *, alone: bool) -> str:
    """What is said of a block that a worker was at when it was ended."""
    which = "this block alone" if alone else "this block, or one beside it"
    return f"out of memory: {cause}; it was at {which}, for which {size(stage.peak_bytes)} were planned; {_WAY_OUT}"


def of_refused_memory(stage: Stage, error: MemoryError) -> str:
    """What is said of a block that was refused memory by the system."""
    text = " ".join(str(error).split()) or "the system gives no more"
    return f"out of memory: {text}; {size(stage.peak_bytes)} were planned for a block; {_WAY_OUT}"


@dataclass
class Exhaustion:
    """What a run has learnt of its memory.

    Parameters
    ----------
    workers : int
        Blocks that are under way at a time.
    processes : int
        Processes that share them.
    say : callable
        Is told what changes.
    """

    workers: int
    processes: int
    say: Callable[[str], None]
    abreast: int | None = None
    """How many blocks may be under way from now on."""
    alone: list[BlockFailure] = field(default_factory=list)

    def learn(self) -> None:
        """Have fewer blocks share the memory of a process from the next graph on: half as many, at least one each."""
        now = self.abreast or self.workers
        fewer = max(self.processes, now // 2, 1)
        if fewer < now:
            self.abreast = fewer
            self.say(f"out of memory: from now on {counted(fewer, 'block')} at a time, not {now}")

    def alone_failed(self, failure: BlockFailure, kept: str) -> None:
        """Take notice of a block that had a process for itself.

        Raises
        ------
        BlockError
            If there were several.
        """
        self.alone.append(failure)
        if len(self.alone) >= MOST_ALONE:
            raise BlockError(
                f"{counted(len(self.alone), 'block')} ran out of memory, each of them alone on a worker; "
                f"no more are tried, {kept}",
                *map(str, self.alone),
            )
