"""What is there of a block: the files that it has, their bytes by listing, and their content as one number."""

from __future__ import annotations

import json
import math
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.grid import Grid
from fusestack.model.stage import Written
from fusestack.storage.together import each

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.image import ImageSpec
    from fusestack.writers.folder import OutputFolder

_AT_ONCE = 2**16


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

    def _metadata(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Files of metadata, JSON all of them, and what they have to say so that pixels are what they were."""
        raise NotImplementedError

    def _is_whole(self, key: str, facts: Mapping[str, Any] = MappingProxyType({})) -> bool:
        """Whether a file of metadata can be read, and says some things."""
        try:
            found = json.loads(self._folder.get(key) or b"")
        except ValueError:
            return False
        return isinstance(found, dict) and all(name in found and found[name] == facts[name] for name in facts)

    def stored(self, level: int) -> NDArray[np.int64]:
        """Bytes that are there of every block, by listing."""
        target = self.spec.levels[level]
        grid, unit = target.grid, target.shards or target.chunks
        counts = np.array(Grid(target.shape, unit).counts)
        found = np.zeros(grid.count, np.int64)
        for first, folder, turned in self._arrays(level):
            files = self._folder.files(folder)
            while some := list(islice(files, _AT_ONCE)):
                indices, sizes = _chunks(some, len(unit) - len(first))
                indices = indices[:, ::-1] if turned else indices
                before = np.broadcast_to(np.array(first, np.int64), (len(sizes), len(first)))
                indices = np.concatenate([before, indices], axis=1)
                inside = (indices < counts).all(axis=1)
                blocks = indices[inside] * unit // target.block
                # an empty file is no missing one
                np.add.at(found, np.ravel_multi_index(blocks.T, grid.counts), np.maximum(sizes[inside], 1))
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
        return sum(each(self._folder.stored, self._keys(level, box), far=self._folder.is_far), Written())

    def erase(self, level: int, box: Box) -> None:
        """Delete the files of a block."""
        each(self._folder.delete, self._keys(level, box), far=self._folder.is_far)

    def whole(self) -> dict[str, int]:
        """Blocks have files of their own: nothing."""
        return {}

    def missing(self) -> list[str]:
        """Paths of metadata that are gone or damaged, or with which pixels would be others."""
        return [f"{self._folder.path}/{key}" for key, facts in self._metadata() if not self._is_whole(key, facts)]


def _chunks(files: list[tuple[str, int]], axes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices and bytes of those of some files that are called as chunks are: ``0/12/3``."""
    named = [(words, size) for key, size in files if len(words := key.split("/")) == axes]
    kept = [(words, size) for words, size in named if all(map(str.isdecimal, words))]
    indices = np.array([words for words, _ in kept], dtype=np.int64).reshape(-1, axes)
    return indices, np.array([size for _, size in kept], dtype=np.int64)
