"""Which blocks of a stage are finished: an append-only text that survives a kill at any moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.storage import folder_of, is_address, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedWriter

    from numpy.typing import NDArray


class Ledger:
    """Finished blocks of one stage.

    A line ``start stop`` is a run of finished blocks. A line that a kill tore off has no newline: it is ignored when
    reading and cut off before the next one is written. One process writes at a time (the output's lock sees to that).

    Parameters
    ----------
    path : str or Path
        File or address of this stage, named after its fingerprint; created with the first record.
    count : int
        Blocks of the stage.
    """

    def __init__(self, path: str | Path, count: int) -> None:
        self.path = str(path)
        self.done: NDArray[np.bool_] = np.zeros(count, dtype=bool)
        self._log: _Log = _ObjectLog(self.path) if is_address(self.path) else _FileLog(Path(path))
        try:
            text = self._log.read()
        except OSError as error:
            raise OutputError(
                f"{path}: cannot read the record of finished blocks: {error.strerror or error}"
            ) from error
        for start, stop in _runs(text):
            self.done[max(0, start) : stop] = True

    @property
    def complete(self) -> bool:
        """Whether every block is finished."""
        return bool(self.done.all())

    @property
    def finished(self) -> int:
        """Number of finished blocks."""
        return int(np.count_nonzero(self.done))

    def missing(self) -> list[range]:
        """Runs of blocks that are not finished, in order."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.done, [True]]).astype(np.int8)))
        return [range(int(a), int(b)) for a, b in edges.reshape(-1, 2)]

    def record(self, blocks: Iterable[int]) -> None:
        """Tick off finished blocks; on return they are in the file.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        numbers = np.unique(np.fromiter(blocks, dtype=np.int64))
        if not numbers.size:
            return
        self.done[numbers] = True
        breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
        lines = "".join(f"{run[0]} {run[-1] + 1}\n" for run in np.split(numbers, breaks))
        try:
            self._log.append(lines.encode())
        except OSError as error:
            raise OutputError(f"{self.path}: cannot record finished blocks: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file; recording again opens it again."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def forget_ledger(path: str | Path) -> None:
    """Remove the ledger of a stage; does nothing where there is none."""
    folder, name = folder_of(str(path))
    folder.delete_tree(name)


def _runs(text: bytes) -> list[tuple[int, int]]:
    runs = []
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        words = line.split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            runs.append((int(words[0]), int(words[1])))
    return runs


class _Log(Protocol):
    """A text that grows by whole lines."""

    def read(self) -> bytes: ...

    def append(self, lines: bytes) -> None: ...

    def close(self) -> None: ...


class _FileLog:
    """One file, opened with the first line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BufferedWriter | None = None

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def append(self, lines: bytes) -> None:
        if self._file is None:
            self._file = _open_for_append(self.path)
        self._file.write(lines)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _ObjectLog:
    """Objects in a row, because a store cannot append; merged into one where the log is closed.

    Lines may be there twice for a moment, which changes nothing: they say what is finished.
    """

    def __init__(self, address: str) -> None:
        self._folder = open_store(address)
        self._names: list[str] = []
        self._written = 0

    def read(self) -> bytes:
        self._names = self._folder.entries()
        return b"".join(self._folder.get(name) or b"" for name in self._names)

    def append(self, lines: bytes) -> None:
        name = f"{1 + int(self._names[-1]) if self._names else 0:010d}"
        self._folder.put(name, [lines])
        self._names.append(name)
        self._written += 1

    def close(self) -> None:
        if self._written > 1:
            old = self._names[:]
            self.append(self.read())
            for name in old:
                self._folder.delete(name)
        self._written = 0


def _open_for_append(path: Path) -> BufferedWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        text = path.read_bytes()
        torn = len(text) - (text.rfind(b"\n") + 1)
        if torn:
            with path.open("r+b") as file:
                file.truncate(len(text) - torn)
    return path.open("ab")
