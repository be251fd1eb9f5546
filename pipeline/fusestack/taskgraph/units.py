"""Units of a graph: stages that begin and end together; and what becomes of them, and of a whole job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fusestack.model.errors import BlockError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from fusestack.model.stage import BlockFailure, Stage

_FAILURES_KEPT = 20
_FAILURES_NAMED = 5


class Begin(Protocol):
    """Makes the container that a unit writes to; picklable, does no harm when it is called again."""

    def __call__(self, *, locked: bool = False, force: bool = False) -> None:
        """Make it; `locked` says that whoever runs the graph holds its lock, `force` that nothing is kept."""
        ...


@dataclass(frozen=True)
class Unit:
    """Stages that begin and end together: those of an image, or one of the cache.

    Parameters
    ----------
    stages : tuple of Stage
    begin : Begin
    end : callable
        Completes it when all blocks are there; its value is the result. Picklable and repeatable.
    """

    stages: tuple[Stage, ...]
    begin: Begin
    end: Callable[[], Any]


@dataclass(frozen=True)
class Ended:
    """What became of a unit.

    Parameters
    ----------
    complete : bool
    value : object
        What `Unit.end` gave.
    failed : tuple of (str, BlockFailure)
        Some failures, with the keys of their stages.
    """

    complete: bool
    value: Any = None
    failed: tuple[tuple[str, BlockFailure], ...] = ()

    def has(self, keys: Collection[str]) -> bool:
        """Whether what others stand on is there."""
        return self.complete


def begin_unit(begin: Begin) -> Ended:
    """Make what the stages of a unit write to."""
    begin()
    return Ended(complete=True)


def all_done(stages: Collection[str], *results: Any) -> Ended:
    """Whether all is there of some stages, by their keys; tasks may have made others, too."""
    failed = [(key, failure) for result in results for key, failure in result.failed if key in stages]
    return Ended(all(result.has(stages) for result in results), failed=tuple(failed[:_FAILURES_KEPT]))


def close_job(paths: tuple[str, ...], close: Callable[[], Any] | None, *ends: Ended) -> Ended:
    """The paths of a job, or the error that says which blocks failed: a value, since rounds of retries go on."""
    if not all(one.complete for one in ends):
        failed = {(key, failure.block): failure for one in ends for key, failure in one.failed}
        return Ended(complete=False, value=failed_blocks(list(failed.values())))
    if close is not None:
        close()
    return Ended(complete=True, value=paths)


def failed_blocks(failures: Sequence[BlockFailure]) -> BlockError | OutputError:
    """The error that names blocks which failed."""
    refused = next((failure for failure in failures if failure.hopeless), None)
    if refused is not None:
        return OutputError(refused.error)
    if not failures:
        return BlockError("the run was stopped; what is done is kept, run again (or make the graph again) to continue")
    named, count = failures[:_FAILURES_NAMED], len(failures)
    more = [f"... and {count - len(named)} more blocks"] if count > len(named) else []
    known = [failure.details for failure in failures if failure.details]  # of the first that came back
    blocks = "1 block" if count == 1 else f"{count:,} blocks"
    return BlockError(
        f"{blocks} failed after all retries; the others are kept, running again continues",
        *map(str, named),
        *more,
        tracebacks=known[:_FAILURES_NAMED],
    )


def end_unit(end: Callable[[], Any], stages: Collection[str], whole: bool, own: int, *results: Any) -> Ended:
    """Complete a unit, if all of its blocks are there: the first `own` results are those of its tasks."""
    done = all_done(stages, *results[:own])
    return Ended(complete=True, value=end()) if whole and done.complete else Ended(False, None, done.failed)
