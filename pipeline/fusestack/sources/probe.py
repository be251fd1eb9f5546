"""What can be seen of inputs before anything is computed: one chunk of each is decoded, or known to be whole."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from fusestack.model.amounts import bounded, counted, times_xyz
from fusestack.model.errors import InputError
from fusestack.model.view import SourceRef
from fusestack.sources.base import excludable, open_source
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fusestack.sources.base import PixelSource
    from fusestack.sources.pictures import PicturePage

_SECONDS = 10.0
_MEMORY = 2**30
_THREADS = 8
_COPIES = 3
"""Of a chunk while it is decoded: stored, decoded, converted."""


@dataclass(frozen=True)
class Sample:
    """An input of which a chunk is decoded.

    Parameters
    ----------
    label : str
        The view, for messages, such as ``(timepoint 0, setup 3)``; may be empty.
    reads : SourceRef or PicturePage
    level : int
        Which is read of a source.
    nbytes : int
        Of a chunk, decoded.
    """

    label: str
    reads: SourceRef | PicturePage
    level: int = 0
    nbytes: int = 0


@dataclass(frozen=True)
class Probed:
    """What was found: how many of the inputs were checked, and what is right but may surprise."""

    count: int
    total: int
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        whole = "each" if self.count == self.total else f"{self.count:,}"
        of = "the input" if self.count == self.total == 1 else f"{whole} of {counted(self.total, 'input')}"
        return f"a chunk of {of} was checked"


def probe(samples: Sequence[Sample], *, seconds: float = _SECONDS, memory: int = _MEMORY) -> Probed:
    """Decode a chunk of each input, in threads, until the time is over; which ones come first is left to chance.

    Parameters
    ----------
    samples : sequence of Sample
    seconds : float
        After which no chunk is begun any more.
    memory : int
        Bytes that all threads may take together; larger chunks are left out.

    Returns
    -------
    Probed

    Raises
    ------
    InputError
        Names all inputs that were found broken: that cannot be decoded, whose levels do not fit one another, or of
        which only coarse levels are missing; and says so if no chunk of any of them is stored.
    """
    fitting = [number for number, sample in enumerate(samples) if _COPIES * sample.nbytes <= memory]
    random.Random(0).shuffle(fitting)
    largest = max((samples[number].nbytes for number in fitting), default=0)
    threads = max(1, min(_THREADS, memory // max(1, _COPIES * largest)))
    deadline, stop = time.monotonic() + seconds, Event()

    def look(number: int) -> _Look | None:
        if stop.is_set() or time.monotonic() > deadline:
            return None
        try:
            return _Look(number, empty=_patiently(samples[number]))
        except InputError as error:
            return _Look(number, broken=error.problems)
        except Exception as error:  # maybe not of the input: a run tells where it arose, and tries again
            return _Look(number, doubt=_doubt(samples[number], error))

    with ThreadPoolExecutor(threads) as pool:
        try:
            found = sorted((one for one in pool.map(look, fitting) if one is not None), key=lambda one: one.number)
        finally:
            stop.set()
    problems = _said(samples, ((one, problem) for one in found for problem in one.broken))
    empty = _said(samples, ((one, one.empty) for one in found if one.empty))
    doubts = _said(samples, ((one, one.doubt) for one in found if one.doubt))
    if found and all(one.empty for one in found):
        problems += empty
    if problems:
        raise InputError(*bounded(problems))
    return Probed(len(found) - len(doubts), len(samples), tuple(bounded([*empty, *doubts])))


@dataclass(frozen=True)
class _Look:
    """What was seen of an input: problems, that nothing of it is stored, that it could not be decoded by our fault."""

    number: int
    broken: tuple[str, ...] = ()
    empty: str = ""
    doubt: str = ""


def _said(samples: Sequence[Sample], found: Iterable[tuple[_Look, str]]) -> list[str]:
    return excludable(((samples[one.number].label, text) for one, text in found), len(samples))


def _doubt(sample: Sample, error: Exception) -> str:
    cause = " ".join(str(error).split())[:200]
    return (
        f"{sample.reads.path}: a chunk could not be decoded ({type(error).__name__}{f': {cause}' if cause else ''}); "
        "a run tries again, and tells more"
    )


def _patiently(sample: Sample) -> str:
    """Look once more where the first look fails: a network may have stumbled."""
    try:
        return _look(sample)
    except InputError:
        return _look(sample)


def _look(sample: Sample) -> str:
    """Decode a chunk of an input; returns what is to be said of it."""
    if not isinstance(sample.reads, SourceRef):
        from fusestack.sources.pictures import check_picture

        check_picture(sample.reads)
        return ""
    source, level, path = open_source(sample.reads), sample.level, sample.reads.path
    _check_levels(source, level, path)
    box = source.stored_chunk(level)
    if box is not None:
        source.read(level, box)
        return ""
    looked = "was found where some were looked for" if is_address(path) else "is stored"
    text = f"{path}: no chunk of level {level} {looked}: all of it counts as empty"
    if level and source.stored_chunk(0) is not None:
        raise InputError(f"{text}, although there are chunks of level 0; make its levels again")
    return f"{text}; restore what is missing"


def _check_levels(source: PixelSource, level: int, path: str) -> None:
    """Refuse a level that does not show what level 0 shows.

    Programs round the size of a level down, up or to the next, also from level to level: about one pixel.
    """
    found, full = source.levels[level], source.levels[0].shape
    wanted = [n / factor for n, factor in zip(full, found.factors, strict=True)]
    if any(abs(n - most) > 1 + most / 100 for n, most in zip(found.shape, wanted, strict=True)):
        raise InputError(
            f"{path}: level {level} has {times_xyz(found.shape)} pixels (xyz), but {times_xyz(full)} pixels reduced by "
            f"{times_xyz(found.factors)} are {times_xyz(tuple(round(n, 1) for n in wanted))}; make its levels again"
        )
