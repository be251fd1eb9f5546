"""What is there of the blocks of an HDF5 file: block files while it is unfinished, then its compressed chunks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.writers.block_file import block_parts
from fusestack.writers.folder import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.image import ImageSpec
    from fusestack.model.stage import Written
    from fusestack.writers.folder import OutputFolder

_IN_A_FOLDER = 1000


def block_key(level: int, number: int) -> str:
    """File of a block in the folder of blocks."""
    return f"{level}/{number // _IN_A_FOLDER}/{number}"


class Hdf5Blocks:
    """A writer of HDF5 files: which files, and what is in them."""

    spec: ImageSpec
    path: Path
    _blocks: OutputFolder

    def _payloads(
        self, level: int, number: int, chunks: Sequence[int] | None, product: Any
    ) -> Iterator[tuple[Box, bytes]]:
        raise NotImplementedError

    def _open_product(self) -> Any:
        raise NotImplementedError

    def _dataset(self, t: int, c: int, level: int) -> str:
        raise NotImplementedError

    def _unreadable(self, level: int, box: Box, error: Exception) -> OutputError:
        """What is said of a block that cannot be read back, with its file and its dataset."""
        what = f"{self.files(level, box)[0]}: {self._dataset(box.start[0], box.start[1], level)}"
        return OutputError(f"{what} cannot be read back: {error}; delete the output and run again")

    def _number(self, level: int, box: Box) -> int:
        grid = self.spec.levels[level].grid
        return grid.number([a // b for a, b in zip(box.start, grid.block, strict=True)])

    def stored(self, level: int) -> NDArray[np.int64]:
        """Bytes of every block file; -1 where blocks are in the HDF5 file."""
        count = self.spec.levels[level].grid.count
        found = np.full(count, -1 if self.path.exists() else 0, np.int64)
        for key, size in self._blocks.files(str(level)):
            name = key.rpartition("/")[2]
            if name.isdecimal() and int(name) < count:
                found[int(name)] = max(size, 1)  # an empty file is no missing one
        return found

    def files(self, level: int, box: Box) -> list[str]:
        """Path of the block file, or of the HDF5 file that has the block."""
        key = block_key(level, self._number(level, box))
        if not self.path.exists() or Path(self._blocks.path, key).exists():
            return [f"{self._blocks.path}/{key}"]
        parts = [p.path for p in self.spec.partitions if box.start[0] in p.times and box.start[1] in p.channels]
        return parts or [str(self.path)]

    def digest(self, level: int, box: Box) -> Written | None:
        """What is there of a block, read: that of its file, or what this would be, of chunks of the HDF5 file."""
        number = self._number(level, box)
        key = block_key(level, number)
        if not self.path.exists() or self._blocks.get(key) is not None:
            return self._blocks.stored(key)
        with self._open_product() as product:
            payloads = [payload for _, payload in self._payloads(level, number, None, product)]
        return written(key, block_parts(payloads)) if any(payloads) else None

    def erase(self, level: int, box: Box) -> None:
        """Delete the file of a block."""
        self._blocks.delete(block_key(level, self._number(level, box)))

    def whole(self) -> dict[str, int]:
        """Bytes of the HDF5 file and of its partitions; 0 for one that is not there."""
        paths = [self.path, *(Path(part.path) for part in self.spec.partitions)]
        return {str(path): path.stat().st_size if path.is_file() else 0 for path in paths}

    def missing(self) -> list[str]:
        """Metadata are in the HDF5 file: nothing."""
        return []
