"""Which blocks of a stage are finished: ticks that survive a kill at any moment, on any machine.

A ledger is a folder. Every task that finishes blocks keeps one small file there, written as a whole; when the stage
ends they are merged into one.
"""

from __future__ import annotations

import bisect
import time
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.storage import folder_of, is_address, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from fusestack.model.stage import Stage

_MERGED = "all"
_TICK_SECONDS = 0.25
_TICK_SECONDS_OF_STORES = 5.0


def ledger_path(work: str, key: str) -> str:
    """Folder where the finished blocks of a stage are ticked off."""
    return f"{work}/ledger/{key}"


def ledger_of(stage: Stage) -> Ledger:
    """Read which blocks of a stage are finished."""
    return Ledger(ledger_path(stage.target.work, stage.key), stage.grid.count)


class Ledger:
    """Finished blocks of one stage.

    Parameters
    ----------
    path : str or Path
        Folder or address of this stage, named after its fingerprint; made with the first tick.
    count : int
        Blocks of the stage.

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
        for run in (run for text in texts for run in _runs(text)):
            self.tick(run)

    def _read(self) -> tuple[list[str], list[bytes]]:
        """Names and contents of the files; once more where one was merged into another one meanwhile."""
        while True:
            names = [name for name in self._folder.entries() if not name.startswith(".")]
            texts = [self._folder.get(name) for name in names]
            if None not in texts:
                return names, [text or b"" for text in texts]

    @property
    def complete(self) -> bool:
        """Whether every block is finished."""
        return bool(self.done.all())

    @property
    def finished(self) -> int:
        """Number of finished blocks."""
        return int(np.count_nonzero(self.done))

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
        if not self._files or self._files == [_MERGED]:
            return
        try:
            self._folder.put(_MERGED, [_text(np.flatnonzero(self.done))])
            for name in self._files:
                if name != _MERGED:
                    self._folder.delete(name)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot record finished blocks: {error.strerror or error}") from error
        self._files = [_MERGED]


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
        self._own: set[int] = set()
        for run in _runs(self._folder.get(name) or b""):
            self._own.update(run)
        self._before = _runs(self._folder.get(_MERGED) or b"")
        self._starts = [run.start for run in self._before]

    @property
    def own(self) -> frozenset[int]:
        """Blocks that this task has ticked off."""
        return frozenset(self._own)

    def __contains__(self, block: int) -> bool:
        before = bisect.bisect(self._starts, block) - 1
        return block in self._own or (before >= 0 and block in self._before[before])

    def add(self, block: int) -> None:
        """Tick off a block whose pixels are written; it is in the file soon, or with `flush`."""
        self._own.add(block)
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
            self._folder.put(self._name, [_text(np.array(sorted(self._own), dtype=np.int64))])
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


def _text(blocks: NDArray[np.int64]) -> bytes:
    return "".join(f"{run.start} {run.stop}\n" for run in runs_of(blocks)).encode()


def _runs(text: bytes) -> list[range]:
    """Runs in a file; a line that was torn off (copied while it was written) counts nothing."""
    found = []
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        words = line.split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            found.append(range(int(words[0]), int(words[1])))
    return found
