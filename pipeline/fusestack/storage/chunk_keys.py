"""Names of the files that chunks of Zarr and N5 lie in, and which of these files are there."""

from __future__ import annotations

import itertools
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fusestack.storage.folder import LocalFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fusestack.storage import Folder

Index: TypeAlias = tuple[int, ...]

_MOST_TRIED = 27
"""Most chunks that are asked for one by one: at the middle, the beginning and the end of each axis."""


@dataclass(frozen=True)
class ChunkKeys:
    """How the file of a chunk is called.

    Parameters
    ----------
    separator : str
        Between the numbers of the index: ``/`` makes folders.
    prefix : str
        Before the index: ``c/`` or ``c.`` in Zarr 3.
    turned : bool
        Whether the last axis comes first, as in N5.
    """

    separator: str = "/"
    prefix: str = ""
    turned: bool = False

    def __call__(self, index: Index) -> str:
        """File of a chunk, in the folder of the array."""
        return self.prefix + self.separator.join(map(str, reversed(index) if self.turned else index))

    @property
    def is_nested(self) -> bool:
        """Whether chunks lie in folders of folders."""
        return self.separator == "/"

    def begins(self, name: str, ndim: int) -> bool:
        """Whether a file or folder directly in the folder of an array is one of these, or leads to some."""
        if self.is_nested:
            return name == self.prefix.rstrip("/") if self.prefix else name.isdecimal()
        numbers = rf"\d+({re.escape(self.separator)}\d+){{{ndim - 1}}}"
        return re.fullmatch(re.escape(self.prefix) + numbers, name) is not None


KEYS = (ChunkKeys("/"), ChunkKeys("."), ChunkKeys("/", "c/"), ChunkKeys(".", "c."))
"""Names that Zarr 2 and Zarr 3 have for chunks."""


def keys_in(folder: Folder, declared: ChunkKeys, ndim: int) -> ChunkKeys:
    """How chunks are called: as the metadata say, or as they do lie in a folder where none is called so.

    Programs and copies of old containers leave ``dimension_separator`` out, or lose it.

    Parameters
    ----------
    folder : Folder
        Of the array. Behind an address nothing is looked for: what is declared holds.
    declared : ChunkKeys
    ndim : int
        Number of axes.
    """
    if not isinstance(folder, LocalFolder) or ndim < 2:
        return declared
    others = [keys for keys in KEYS if keys != declared]
    found = declared
    with os.scandir(folder.root) as entries:
        for entry in entries:
            if declared.begins(entry.name, ndim):
                return declared
            found = next((keys for keys in others if keys.begins(entry.name, ndim)), found)
    return found


def stored_cells(
    folder: Folder, key: Callable[[Index], str], low: Sequence[int], high: Sequence[int]
) -> Iterator[Index]:
    """Yield indices of chunks that are stored, those in the middle and at the corners first.

    Parameters
    ----------
    folder : Folder
        Of the array. On a disk all stored chunks are found in the end, if `key` are `ChunkKeys`; behind an address only
        a few are asked for.
    key : callable
        File of a chunk by its index.
    low, high : sequence of int
        Which chunks count: ``low <= index < high``.
    """
    axes = [dict.fromkeys(((a + b) // 2, a, b - 1)) for a, b in zip(low, high, strict=True)]
    for index in itertools.islice(itertools.product(*axes), _MOST_TRIED):
        if folder.identity(key(index)) is not None:
            yield index
    if isinstance(folder, LocalFolder) and isinstance(key, ChunkKeys):
        bounds = list(zip(low, high, strict=True))
        if key.turned:
            bounds.reverse()
        with suppress(FileNotFoundError):
            for found in _found(folder.root / key.prefix.rstrip("/") if key.is_nested else folder.root, key, bounds):
                yield tuple(reversed(found)) if key.turned else found


def _found(folder: Path, key: ChunkKeys, bounds: Sequence[tuple[int, int]]) -> Iterator[Index]:
    """Indices of the files in a folder, and in those inside it, in the order of their names."""
    ndim = 1 if key.is_nested else len(bounds)
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if not key.is_nested:
                name = name.removeprefix(key.prefix) if name.startswith(key.prefix) else ""
            words = name.split(key.separator)
            if len(words) != ndim or not all(word.isdecimal() for word in words):
                continue
            index = tuple(map(int, words))
            if not all(a <= i < b for i, (a, b) in zip(index, bounds, strict=False)):
                continue
            if key.is_nested and len(bounds) > 1:
                for rest in _found(folder / entry.name, key, bounds[1:]):
                    yield (*index, *rest)
            else:
                yield index
