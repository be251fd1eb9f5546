"""Which blocks of a stage are finished: an append-only text file that survives a kill at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from fusestack.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedWriter
    from pathlib import Path

    from numpy.typing import NDArray


class Ledger:
    """Finished blocks of one stage.

    A line ``start stop`` is a run of finished blocks. A line that a kill tore off has no newline: it is ignored when
    reading and cut off before the next one is written. One process writes at a time (the output's lock sees to that).

    Parameters
    ----------
    path : Path
        File of this stage, named after its fingerprint; created with the first record.
    count : int
        Blocks of the stage.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.done: NDArray[np.bool_] = np.zeros(count, dtype=bool)
        self._file: BufferedWriter | None = None
        for start, stop in _read(path):
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
            if self._file is None:
                self._file = _open_for_append(self.path)
            self._file.write(lines.encode())
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot record finished blocks: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file; recording again opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(path: Path) -> list[tuple[int, int]]:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise OutputError(f"{path}: cannot read the record of finished blocks: {error.strerror or error}") from error
    runs = []
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        words = line.split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            runs.append((int(words[0]), int(words[1])))
    return runs


def _open_for_append(path: Path) -> BufferedWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        text = path.read_bytes()
        torn = len(text) - (text.rfind(b"\n") + 1)
        if torn:
            with path.open("r+b") as file:
                file.truncate(len(text) - torn)
    return path.open("ab")
