"""Stages of a plan that nobody has stored, computed when a viewer asks for them: the same computes, on any region."""

from __future__ import annotations

import functools
import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.held import exchanged
from fusestack.focus.slices import PictureSlices
from fusestack.focus.statistics import StoredStatistic, united
from fusestack.model.geometry import Box
from fusestack.model.stage import StoredArray

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from fusestack.model.stage import Stage

_BLOCKS_KEPT = 8


class Computed:
    """What stages write, read from where it is stored, else computed from what they read.

    Nothing of it is stored. What a block reads is computed for it; statistics of a whole stack once, when the first
    block needs them. Threads may ask at the same time.

    Parameters
    ----------
    stages : mapping of str to Stage
        By key; with all that they read.
    stored : collection of str
        Keys of those that are complete.
    """

    def __init__(self, stages: Mapping[str, Stage], stored: Collection[str]) -> None:
        self._stages = stages
        self.stored = frozenset(stored)
        self._computes: dict[str, Any] = {}
        self._measured: dict[tuple[str, int, int], NDArray[np.float64]] = {}
        self._measuring = threading.RLock()
        self._block = functools.lru_cache(maxsize=_BLOCKS_KEPT)(
            lambda key, number: self._made(key, stages[key].grid.box(number))
        )

    def read(self, key: str, box: Box) -> NDArray[Any]:
        """Pixels t, c, z, y, x of a stage."""
        stage = self._stages[key]
        if key in self.stored:
            return stage.array.read(box)
        compute = stage.compute
        if isinstance(compute, PictureSlices):
            return self._of_planes(box, lambda t, c, k: pictured(compute, stage.grid.shape, t, k)[c])
        if stage.grid.block[3:] == stage.grid.shape[3:]:  # small planes, and what sees whole ones
            return self._of_blocks(key, box)
        return self._made(key, box)

    def _made(self, key: str, box: Box) -> NDArray[Any]:
        """Compute a region; computes may count on the blocks of their stage along c."""
        stage = self._stages[key]
        step = stage.grid.block[1]
        first, last = box.start[1] // step * step, min(-(-box.stop[1] // step) * step, stage.grid.shape[1])
        out = np.zeros((box.shape[0], last - first, *box.shape[2:]), stage.target.image.dtype)
        for t, c in itertools.product(range(box.start[0], box.stop[0]), range(first, last, step)):
            end = min(c + step, last)
            found = self._compute(key)(Box((t, c, *box.start[2:]), (t + 1, end, *box.stop[2:])))
            if found is not None:
                out[t - box.start[0], c - first : end - first] = found[0]
        return out[:, box.start[1] - first : box.stop[1] - first]

    def _of_planes(self, box: Box, plane: Any) -> NDArray[Any]:
        rows, columns = box.slices[3:]
        ranges = [range(a, b) for a, b in zip(box.start[:3], box.stop[:3], strict=True)]
        found = [plane(t, c, k)[rows, columns] for t, c, k in itertools.product(*ranges)]
        return np.stack(found).reshape(box.shape)

    def _of_blocks(self, key: str, box: Box) -> NDArray[Any]:
        grid = self._stages[key].grid
        out = np.zeros(box.shape, self._stages[key].target.image.dtype)
        ranges = [range(a // n, -(-b // n)) for a, b, n in zip(box.start, box.stop, grid.block, strict=True)]
        for index in itertools.product(*ranges):
            number = grid.number(index)
            block = grid.box(number)
            common = block.intersect(box)
            pixels = self._block(key, number)[common.shift([-n for n in block.start]).slices]
            out[common.shift([-n for n in box.start]).slices] = pixels
        return out

    def _compute(self, key: str) -> Any:
        """The compute of a stage, which finds here what it reads."""
        if key not in self._computes:
            self._computes[key] = exchanged(self._stages[key].compute, self._handle)
        return self._computes[key]

    def _handle(self, value: Any) -> Any:
        match value:
            case StoredStatistic():
                return _Statistic(self, value.array.key)
            case StoredArray():
                return _Array(self, value.key, value.shape, value.dtype)
        return value

    def statistic(self, key: str, t: int, c: int) -> NDArray[np.float64]:
        """A statistic of a timepoint and channel; measured once."""
        with self._measuring:
            if (key, t, c) not in self._measured:
                stage, compute = self._stages[key], self._compute(key)
                if key in self.stored:
                    whole = Box((t, c, 0, 0, 0), (t + 1, c + 1, *stage.grid.shape[2:]))
                    entries = stage.array.read(whole)[0, 0, 0]
                else:
                    boxes = (compute.bands.box(entry, t, c) for entry in range(compute.bands.entries))
                    entries = np.array([compute.measure(box) for box in boxes], np.float64)
                self._measured[key, t, c] = united(entries, compute.unites)
            return self._measured[key, t, c]


@dataclass(frozen=True)
class _Array:
    """In place of a `StoredArray`."""

    source: Computed
    key: str
    shape: tuple[int, ...]
    dtype: str

    def read(self, box: Box) -> NDArray[Any]:
        return self.source.read(self.key, box)


@dataclass(frozen=True)
class _Statistic:
    """In place of a `StoredStatistic`."""

    source: Computed
    key: str

    def of(self, t: int, c: int) -> NDArray[np.float64]:
        return self.source.statistic(self.key, t, c)


@dataclass(frozen=True)
class StagePixels:
    """Pixels of a stage, for a viewer.

    Parameters
    ----------
    source : Computed
    key : str
    """

    source: Computed
    key: str

    def read(self, level: int, t: int, c: int, box: Box) -> NDArray[Any]:
        """Read a region k, y, x."""
        found: NDArray[Any] = self.source.read(self.key, Box((t, c, *box.start), (t + 1, c + 1, *box.stop)))[0, 0]
        return found


@functools.lru_cache(maxsize=_BLOCKS_KEPT)
def pictured(slices: PictureSlices, shape: tuple[int, ...], t: int, k: int) -> NDArray[Any]:
    """A photograph, which is decoded as a whole: [c, y, x]."""
    found: NDArray[Any] = slices(Box((t, 0, k, 0, 0), (t + 1, shape[1], k + 1, *shape[3:])))[0, :, 0]
    return found
