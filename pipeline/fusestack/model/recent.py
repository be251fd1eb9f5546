"""Blocks that this process has written lately: who reads them next finds them here, and decodes nothing."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.grid import Grid
    from fusestack.model.stage import Target


class _Recent:
    """Blocks of some arrays, those that were written first go first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._blocks: OrderedDict[tuple[str, int], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, path: str, block: int, pixels: NDArray[Any]) -> None:
        if pixels.nbytes > self._limit:
            return
        with self._lock:
            before = self._blocks.pop((path, block), None)
            self._blocks[path, block] = pixels
            self._bytes += pixels.nbytes - (0 if before is None else before.nbytes)
            while self._bytes > self._limit:
                self._bytes -= self._blocks.popitem(last=False)[1].nbytes

    def read(self, path: str, grid: Grid, box: Box) -> NDArray[Any] | None:
        ranges = [range(a // n, -(-b // n)) for a, b, n in zip(box.start, box.stop, grid.block, strict=True)]
        numbers = [grid.number(index) for index in itertools.product(*ranges)]
        with self._lock:
            found = [self._blocks[path, number] for number in numbers if (path, number) in self._blocks]
        if len(found) < len(numbers):
            return None
        out = None
        for number, pixels in zip(numbers, found, strict=True):
            block = grid.box(number)
            part = block.intersect(box)
            out = np.empty(box.shape, pixels.dtype) if out is None else out
            out[part.shift([-v for v in box.start]).slices] = pixels[part.shift([-v for v in block.start]).slices]
        return out


_RECENT: dict[str, _Recent] = {}


@contextmanager
def keeping(paths: Collection[str], limit: int) -> Iterator[None]:
    """Keep blocks of some arrays, by the paths of their images, which have one level, while they are written and read.

    Parameters
    ----------
    paths : collection of str
    limit : int
        Bytes of all of them.
    """
    recent = _Recent(limit)
    for path in set(paths) if limit > 0 else ():
        _RECENT.setdefault(path, recent)  # of two runs that share a cache, the first keeps what both read
    try:
        yield
    finally:
        for path in paths:
            if _RECENT.get(path) is recent:
                del _RECENT[path]


def keep(target: Target, block: int, pixels: NDArray[Any] | None) -> None:
    """Keep a block that was written, where somebody asked for it; nobody changes its pixels any more."""
    path = target.image.path
    if pixels is not None and (recent := _RECENT.get(path)) is not None:
        base = pixels.base
        alone = base is None or (isinstance(base, np.ndarray) and base.nbytes <= pixels.nbytes)
        recent.keep(path, block, pixels if alone else pixels.copy())


def read_back(target: Target, box: Box) -> NDArray[Any]:
    """Pixels of a box, one's own: of blocks that are kept, if they hold all of it, else of what is stored."""
    path = target.image.path
    if (recent := _RECENT.get(path)) is not None:
        found = recent.read(path, target.image.levels[target.level].grid, box)
        if found is not None:
            return found
    return target.open().read(target.level, box)
