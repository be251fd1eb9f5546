"""Which blocks of a stage are finished: ticks that survive a kill at any moment, on any machine.

A ledger is a folder. Every task that finishes blocks keeps one small file there, written as a whole; when the stage
ends they are merged into one. A line is a run of blocks, ``start stop``, and what was stored of each, ``bytes:digest``
(`fusestack.model.stage.Written`); merged, this is an array in a file of its own. What earlier versions have recorded
has runs only.
"""

from __future__ import annotations

import bisect
import time
import zlib
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.stage import Written
from fusestack.storage import folder_of, is_address, open_folder
from fusestack.storage.together import each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from fusestack.model.stage import Stage

_MERGED = "all"
_STORED = "stored"
_OF_BLOCK = np.dtype([("bytes", "<i8"), ("digest", "<u4")])
_UNKNOWN = np.array((-1, 0), _OF_BLOCK)
_TICK_SECONDS = 0.25
_TICK_SECONDS_OF_STORES = 5.0


def ledger_path(work: str, key: str) -> str:
    """Folder where the finished blocks of a stage are ticked off."""
    return f"{work}/ledger/{key}"


def ledger_of(stage: Stage) -> Ledger:
    """Read which blocks of a stage are finished."""
    return Ledger(ledger_path(stage.target.work, stage.key), stage.grid.count)


def unknown(count: int) -> NDArray[Any]:
    """What was stored of blocks of which nothing is known: bytes and digest."""
    return np.full(count, _UNKNOWN)


class Ledger:
    """Finished blocks of one stage.

    Parameters
    ----------
    path : str or Path
        Folder or address of this stage, named after its fingerprint; made with the first tick.
    count : int
        Blocks of the stage.

    Attributes
    ----------
    done : bool[count]
    stored : array[count] of bytes and digest
        What was stored of each block; -1 bytes where that is not known.

    Raises
    ------
    OutputError
        If it cannot be read.
    """

    def __init__(self, path: str | Path, count: int) -> None:
        self.path = str(path)
        self.done: NDArray[np.bool_] = np.zeros(count, dtype=bool)
        self._folder = open_folder(self.path, scratch="")
        try:
            self._files, texts = self._read()
        except OSError as error:
            raise OutputError(
                f"{path}: cannot read the record of finished blocks: {error.strerror or error}"
            ) from error
        self.stored = unknown(count)
        found = dict(zip(self._files, texts, strict=True))
        self._know(found.pop(_STORED, b""))
        for run, stored in (line for text in found.values() for line in _lines(text)):
            self.tick(run)
            if stored is not None and run.stop <= count:
                self.stored[run.start : run.stop] = stored

    def _read(self) -> tuple[list[str], list[bytes]]:
        """Names and contents of the files; once more where one was merged into another one meanwhile."""
        while True:
            names = [name for name in self._folder.entries() if not name.startswith(".")]
            texts = each(self._folder.get, names, far=is_address(self.path))
            if None not in texts:
                return names, [text or b"" for text in texts]

    def _know(self, data: bytes) -> None:
        """Take what was merged; nothing is known where that is damaged."""
        try:
            stored = np.frombuffer(zlib.decompress(data), _OF_BLOCK)
        except (zlib.error, ValueError):
            return
        if stored.shape == self.stored.shape:
            self.stored = stored.copy()

    @property
    def complete(self) -> bool:
        """Whether every block is finished."""
        return bool(self.done.all())

    @property
    def finished(self) -> int:
        """Number of finished blocks."""
        return int(np.count_nonzero(self.done))

    @property
    def is_merged(self) -> bool:
        """Whether every block is finished, and the stage was ended."""
        return self.complete and {_MERGED, _STORED}.issuperset(self._files)

    def tick(self, blocks: range) -> None:
        """Take notice of blocks that a task has ticked off."""
        self.done[max(0, blocks.start) : blocks.stop] = True

    def merge(self) -> None:
        """Make one file of many; what a running task ticks off meanwhile stays.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if {_MERGED, _STORED}.issuperset(self._files):
            return  # nothing is there, or nothing is new
        self._write([_STORED, _MERGED], together=True)  # files of tasks still say it, too

    def untick(self, blocks: NDArray[np.bool_]) -> None:
        """Take blocks for missing.

        Parameters
        ----------
        blocks : bool[count]

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self.done &= ~blocks
        self.stored[blocks] = _UNKNOWN
        self._write([_MERGED, _STORED])

    def take_over(self, done: NDArray[np.bool_], stored: NDArray[Any]) -> None:
        """Begin with blocks that are there already, and what was stored of them.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self.done, self.stored = done, stored
        self._write([_STORED, _MERGED])

    def _write(self, order: list[str], *, together: bool = False) -> None:
        """Write what is known in two files, which are never apart in a way that says too much."""
        content = {
            _MERGED: _text(np.flatnonzero(self.done)),
            _STORED: zlib.compress(self.stored.tobytes(), 1),
        }
        try:
            each(lambda name: self._folder.put(name, [content[name]]), order, far=is_address(self.path) and together)
            each(self._folder.delete, set(self._files) - set(order), far=is_address(self.path))
        except OSError as error:
            raise OutputError(f"{self.path}: cannot record finished blocks: {error.strerror or error}") from error
        self._files = [_MERGED, _STORED]


class Ticks:
    """What one task ticks off of one stage: a file that it alone writes, as a whole, some times a second.

    Parameters
    ----------
    stage : Stage
    name : str
        Of the batch: a task that is repeated finds what it has done.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        self.path = ledger_path(stage.target.work, stage.key)
        self._name = name
        self._folder = open_folder(self.path, scratch="")
        self._interval = _TICK_SECONDS_OF_STORES if is_address(self.path) else _TICK_SECONDS
        self._written = time.monotonic()
        self._new = False
        self._own: dict[int, Written | None] = {}
        own, merged = each(self._folder.get, (name, _MERGED), far=is_address(self.path))
        for run, stored in _lines(own or b""):
            for place, block in enumerate(run):
                self._own[block] = None if stored is None else Written(*map(int, stored[place]))
        self._before = [run for run, _ in _lines(merged or b"")]
        self._starts = [run.start for run in self._before]

    @property
    def own(self) -> frozenset[int]:
        """Blocks that this task has ticked off."""
        return frozenset(self._own)

    def __contains__(self, block: int) -> bool:
        before = bisect.bisect(self._starts, block) - 1
        return block in self._own or (before >= 0 and block in self._before[before])

    def add(self, block: int, stored: Written | None = None) -> None:
        """Tick off a block whose pixels are written; it is in the file soon, or with `flush`."""
        self._own[block] = stored
        self._new = True
        if time.monotonic() - self._written > self._interval:
            self.flush()

    def flush(self) -> None:
        """Write the file.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if not self._new:
            return
        try:
            self._folder.put(self._name, [_text(np.array(sorted(self._own), dtype=np.int64), self._own)])
        except OSError as error:
            raise OutputError(f"{self.path}: cannot record finished blocks: {error.strerror or error}") from error
        self._new = False
        self._written = time.monotonic()


def forget_ledger(path: str | Path) -> None:
    """Remove the ledger of a stage; does nothing where there is none."""
    folder, name = folder_of(str(path))
    folder.delete_tree(name)


def runs_of(numbers: NDArray[np.int64] | Iterable[int]) -> list[range]:
    """Runs of neighbours among sorted numbers."""
    blocks = np.asarray(numbers, dtype=np.int64)
    if not blocks.size:
        return []
    ends = np.flatnonzero(np.diff(blocks) != 1)
    starts, stops = blocks[np.r_[0, ends + 1]], blocks[np.r_[ends, blocks.size - 1]] + 1
    return [range(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]


def _text(blocks: NDArray[np.int64], stored: dict[int, Written | None] | None = None) -> bytes:
    lines = []
    for run in runs_of(blocks):
        known = [one for one in map(stored.get, run) if one is not None] if stored else []
        said = ",".join(f"{one.bytes}:{one.digest:x}" for one in known)
        lines.append(f"{run.start} {run.stop}{f' {said}' if len(known) == len(run) else ''}\n")
    return "".join(lines).encode()


def _lines(text: bytes) -> Iterator[tuple[range, NDArray[Any] | None]]:
    """Runs in a file, and what was stored; a line that was torn off (copied while it was written) counts nothing."""
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        words = line.split()
        if len(words) in (2, 3) and all(word.isdigit() for word in words[:2]):
            run = range(int(words[0]), int(words[1]))
            yield run, _stored_of(words[2], len(run)) if len(words) == 3 else None


def _stored_of(text: bytes, count: int) -> NDArray[Any] | None:
    try:
        pairs = [(int(size), int(digest, 16)) for size, digest in (one.split(b":") for one in text.split(b","))]
    except ValueError:
        return None
    return np.array(pairs, _OF_BLOCK) if len(pairs) == count else None
