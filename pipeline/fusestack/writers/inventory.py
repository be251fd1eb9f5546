"""What is there of a block: the files that it has, their bytes by listing, and their content as one number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.grid import Grid
from fusestack.model.stage import Written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.image import ImageSpec
    from fusestack.writers.folder import OutputFolder


class BlockFiles:
    """A writer whose chunks or shards are files of their own."""

    spec: ImageSpec
    _folder: OutputFolder

    def _key(self, level: int, index: tuple[int, ...]) -> str:
        """File of a chunk or shard, in the folder."""
        raise NotImplementedError

    def _arrays(self, level: int) -> Iterator[tuple[tuple[int, ...], str, bool]]:
        """Folders of a level: first numbers of the index, name, and whether the others are turned round in a key."""
        raise NotImplementedError

    def _metadata(self) -> Iterator[str]:
        """Files of metadata that are whole where they can be read."""
        raise NotImplementedError

    def _is_whole(self, key: str) -> bool:
        raise NotImplementedError

    def stored(self, level: int) -> NDArray[np.int64]:
        """Bytes that are there of every block, by listing."""
        target = self.spec.levels[level]
        grid, unit = Grid(target.shape, target.block), target.shards or target.chunks
        counts = Grid(target.shape, unit).counts
        found = np.zeros(grid.count, np.int64)
        for first, folder, turned in self._arrays(level):
            for key, size in self._folder.files(folder):
                words = key.split("/")
                if len(first) + len(words) != len(unit) or not all(word.isdecimal() for word in words):
                    continue
                index = (*first, *map(int, reversed(words) if turned else words))
                if all(i < n for i, n in zip(index, counts, strict=True)):
                    block = [i * u // b for i, u, b in zip(index, unit, target.block, strict=True)]
                    found[grid.number(block)] += max(size, 1)  # an empty file is no missing one
        return found

    def _keys(self, level: int, box: Box) -> Iterator[str]:
        target = self.spec.levels[level]
        unit = target.shards or target.chunks
        first = [a // n for a, n in zip(box.start, unit, strict=True)]
        counts = [math.ceil(b / n) - i for i, b, n in zip(first, box.stop, unit, strict=True)]
        for step in np.ndindex(*counts):
            yield self._key(level, tuple(i + s for i, s in zip(first, step, strict=True)))

    def files(self, level: int, box: Box) -> list[str]:
        """Paths of the files that a block may have."""
        return [f"{self._folder.path}/{key}" for key in self._keys(level, box)]

    def digest(self, level: int, box: Box) -> Written | None:
        """What is there of a block, read: as `write` gave it."""
        return sum((self._folder.stored(key) for key in self._keys(level, box)), Written())

    def erase(self, level: int, box: Box) -> None:
        """Delete the files of a block."""
        for key in self._keys(level, box):
            self._folder.delete(key)

    def whole(self) -> dict[str, int]:
        """Blocks have files of their own: nothing."""
        return {}

    def missing(self) -> list[str]:
        """Paths of metadata that are gone or damaged."""
        return [f"{self._folder.path}/{key}" for key in self._metadata() if not self._is_whole(key)]
