"""Images as a viewer asks for them: blocks of levels, computed when they are asked for, in the words of OME-Zarr."""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

from fusestack.model.amounts import size
from fusestack.model.errors import ConfigError
from fusestack.model.geometry import Box, float3
from fusestack.model.grid import Grid
from fusestack.model.machine import cores
from fusestack.planning.pyramid import block_means, level_shape, source_box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from fusestack.model.geometry import Affine, Float3, Int3
    from fusestack.model.image import Channel

Mode: TypeAlias = Literal["virtual", "cached", "precomputed"]
MODES: tuple[Mode, ...] = ("virtual", "cached", "precomputed")
"""As BigStitcher's display has them: nothing is kept, what was seen is kept, everything is computed first."""

# A panel shows one plane: blocks are thin, so that a plane does not cost its neighbours, and not too thin for the
# panels that look from the side. Smaller ones cost more to ask for than to fuse.
BLOCK = (8, 256, 256)
FLAT_BLOCK = (1, 256, 256)
_SAMPLE = (8, 64, 64)
_PERCENTILES = (0.1, 99.9)
_SCREEN = 1024


@dataclass(frozen=True)
class ServedLevel:
    """One resolution.

    Parameters
    ----------
    shape : (int, int, int)
        Pixels, z, y, x.
    scale, origin : (float, float, float)
        Size of a pixel and place of the centre of the first one, z, y, x, in the unit of the image.
    """

    shape: Int3
    scale: Float3
    origin: Float3


class Pixels(Protocol):
    """Where the pixels of an image come from; asked by several threads at once."""

    def read(self, level: int, t: int, c: int, box: Box) -> NDArray[Any] | None:
        """Pixels of a region z, y, x of a level; None where nothing is shown."""
        ...


@dataclass(frozen=True)
class ServedImage:
    """An image ``[t, c, z, y, x]`` whose blocks are made when they are asked for.

    Parameters
    ----------
    name : str
    dtype : str
    levels : tuple of ServedLevel
        Finest first.
    channels : tuple of Channel
    times : int
        Timepoints.
    unit : str or None
        UDUNITS name of the unit of places.
    pixels : Pixels
    fill : float
        Value where nothing is shown.
    kind : {"image", "input", "mask"}
    shown : bool
        Whether it is seen at first; others are layers to switch on.
    to_world : Affine or None
        From places of the image, in its unit, to places in the world; None where they are the same.
    """

    name: str
    dtype: str
    levels: tuple[ServedLevel, ...]
    channels: tuple[Channel, ...]
    times: int
    unit: str | None
    pixels: Pixels
    fill: float = 0.0
    kind: Literal["image", "input", "mask"] = "image"
    shown: bool = True
    to_world: Affine | None = None

    @property
    def block(self) -> Int3:
        """Pixels of a block of every level, z, y, x."""
        return FLAT_BLOCK if all(level.shape[0] == 1 for level in self.levels) else BLOCK

    @property
    def axes(self) -> str:
        """Axes that are shown: t only where there are several timepoints."""
        return "tczyx" if self.times > 1 else "czyx"

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks of all levels."""
        blocks = sum(Grid(level.shape, self.block).count for level in self.levels)
        return blocks * len(self.channels) * self.times * math.prod(self.block) * np.dtype(self.dtype).itemsize

    def documents(self) -> dict[str, bytes]:
        """Metadata files of an OME-Zarr 0.4, by key."""
        axes: list[dict[str, str]] = []
        for axis in self.axes:
            kind = {"t": "time", "c": "channel"}.get(axis, "space")
            unit = {"unit": self.unit} if kind == "space" and self.unit else {}
            axes.append({"name": axis, "type": kind, **unit})
        more = len(axes) - 3
        datasets = [
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0] * more + list(level.scale)},
                    {"type": "translation", "translation": [0.0] * more + list(level.origin)},
                ],
            }
            for number, level in enumerate(self.levels)
        ]
        multiscale = {"version": "0.4", "name": self.name, "axes": axes, "datasets": datasets}
        files: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": {"multiscales": [multiscale]}}
        for number, level in enumerate(self.levels):
            counts = [self.times, len(self.channels)][-more:]
            files[f"{number}/.zattrs"] = {}
            files[f"{number}/.zarray"] = {
                "zarr_format": 2,
                "shape": [*counts, *level.shape],
                "chunks": [1] * more + list(self.block),
                "dtype": np.dtype(self.dtype).newbyteorder("<").str,
                "compressor": None,
                "filters": None,
                "fill_value": "NaN" if math.isnan(self.fill) else self.fill,
                "order": "C",
                "dimension_separator": "/",
            }
        return {key: json.dumps(document).encode() for key, document in files.items()}

    def place(self, key: str) -> tuple[int, int, int, Box] | None:
        """Level, timepoint, channel and region of the block that a key of Zarr names; None where there is none."""
        words = key.split("/")
        if len(words) != 1 + len(self.axes) or not all(word.isascii() and word.isdecimal() for word in words):
            return None
        level, *numbers = (int(word[:18]) for word in words)
        t, c, *index = numbers if self.times > 1 else (0, *numbers)
        if level >= len(self.levels) or t >= self.times or c >= len(self.channels):
            return None
        shape = self.levels[level].shape
        start = tuple(i * n for i, n in zip(index, self.block, strict=True))
        box = Box(start, tuple(min(a + b, n) for a, b, n in zip(start, self.block, shape, strict=True)))
        return None if box.is_empty else (level, t, c, box)

    def compute(self, level: int, t: int, c: int, box: Box) -> bytes | None:
        """A block as Zarr stores it without compression: whole, filled up at the far ends; None where it is blank."""
        found = self.pixels.read(level, t, c, box)
        if found is None:
            return None
        if found.shape != self.block:
            whole = np.full(self.block, self.fill, self.dtype)
            whole[tuple(slice(n) for n in found.shape)] = found
            found = whole
        return np.ascontiguousarray(found, np.dtype(self.dtype).newbyteorder("<")).tobytes()

    def places(self) -> Iterator[tuple[int, int, int, Box]]:
        """All blocks, the coarsest level first."""
        for level in reversed(range(len(self.levels))):
            grid = Grid(self.levels[level].shape, self.block)
            for t in range(self.times):
                for c in range(len(self.channels)):
                    yield from ((level, t, c, grid.box(number)) for number in range(grid.count))

    def window(self, channel: int) -> tuple[float, float]:
        """Grey values that become black and white: 0.1 and 99.9 percentile of blocks all over the middle planes.

        Of a mask and of a photograph it is what they can be. Values that stand for nothing do not count.
        """
        whole = (0.0, 1.0) if np.dtype(self.dtype).kind == "f" else (0.0, float(np.iinfo(self.dtype).max))
        if self.kind == "mask" or {one.name for one in self.channels} >= {"R", "G", "B"}:
            return whole
        number = len(self.levels) - 1
        boxes = _spread(self.levels[number].shape)
        with _processors() as pool:
            read = list(pool.map(lambda box: self.pixels.read(number, self.times // 2, channel, box), boxes))
        found = [pixels[np.isfinite(pixels) & (pixels != self.fill)] for pixels in read if pixels is not None]
        values = np.concatenate(found) if found else np.empty(0)
        if not values.size:
            return whole
        low, high = (float(v) for v in np.percentile(values, _PERCENTILES))
        return (low, high) if high > low else (min(0.0, low - 1), low)


def _processors() -> ThreadPoolExecutor:
    """A thread for each processor."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(cores())


def settled(image: ServedImage) -> ServedImage:
    """The same image with places in the world, where it is not turned or mirrored."""
    to_world = image.to_world
    if to_world is None:
        return image
    size = np.diagonal(to_world.linear)
    if np.count_nonzero(to_world.linear - np.diag(size)) or (size <= 0).any():
        return image
    levels = tuple(
        replace(level, scale=float3(size * level.scale), origin=float3(to_world.apply(level.origin)))
        for level in image.levels
    )
    return replace(image, levels=levels, to_world=None)


@dataclass(frozen=True)
class ReducedPixels:
    """Pixels of an image with further levels: means of blocks of its last one.

    Parameters
    ----------
    pixels : Pixels
    shape : (int, int, int)
        Of the last level that is there, z, y, x.
    count : int
        Levels that are there.
    """

    pixels: Pixels
    shape: Int3
    count: int

    def read(self, level: int, t: int, c: int, box: Box) -> NDArray[Any] | None:
        """Read a region z, y, x of a level, or make it of one."""
        if level < self.count:
            return self.pixels.read(level, t, c, box)
        factors = _halves(level - self.count + 1)
        source = source_box(Box((0, 0, *box.start), (1, 1, *box.stop)), factors, (1, 1, *self.shape))
        found = self.pixels.read(self.count - 1, t, c, Box(source.start[2:], source.stop[2:]))
        return None if found is None else block_means(found[None, None], factors, (1, 1, *box.shape))[0, 0]


def with_levels(image: ServedImage) -> ServedImage:
    """The same image with levels whose planes are halved until they are no larger than a screen."""
    last, levels = image.levels[-1], list(image.levels)
    while max(levels[-1].shape[1:]) > _SCREEN and min(levels[-1].shape[1:]) > 1:
        factors = _halves(len(levels) - len(image.levels) + 1)
        origin = float3(o + s * (f - 1) / 2 for o, s, f in zip(last.origin, last.scale, factors, strict=True))
        scale = float3(s * f for s, f in zip(last.scale, factors, strict=True))
        levels.append(ServedLevel(level_shape(last.shape, factors), scale, origin))
    if len(levels) == len(image.levels):
        return image
    pixels = ReducedPixels(image.pixels, last.shape, len(image.levels))
    return replace(image, levels=tuple(levels), pixels=pixels)


def _halves(times: int) -> Int3:
    return (1, 2**times, 2**times)


def _spread(shape: Int3) -> list[Box]:
    """Up to nine boxes z, y, x of a volume: its middle planes, in a pattern of three times three."""
    sides = [_starts(n, side, count) for n, side, count in zip(shape, _SAMPLE, (1, 3, 3), strict=True)]
    return [
        Box(start, tuple(min(a + side, n) for a, side, n in zip(start, _SAMPLE, shape, strict=True)))
        for start in itertools.product(*sides)
    ]


def _starts(length: int, side: int, count: int) -> list[int]:
    """Where spans along an axis begin that lie in its middle, or evenly in it."""
    if count == 1 or length <= side:
        return [max(0, (length - side) // 2)]
    return sorted({max(0, (length * (2 * i + 1) // (2 * count)) - side // 2) for i in range(count)})


_Key: TypeAlias = "tuple[int, int, int, int, tuple[int, ...]]"


@dataclass
class Blocks:
    """Blocks of images, computed and kept as a mode says; the bytes are the same in every mode.

    Parameters
    ----------
    images : sequence of ServedImage
    mode : Mode
    limit : int
        Bytes that are kept at most.
    """

    images: Sequence[ServedImage]
    mode: Mode
    limit: int
    _kept: OrderedDict[_Key, bytes | None] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def precompute(self, told: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Compute every block of the images that are no inputs, by all processors.

        Parameters
        ----------
        told : callable
            Called with the number of blocks that are done and of all.

        Raises
        ------
        ConfigError
            If they do not fit the memory.
        """
        wanted = [number for number, image in enumerate(self.images) if image.kind != "input"]
        if (needed := sum(self.images[number].nbytes for number in wanted)) > self.limit:
            raise ConfigError(
                f"--mode precomputed: {size(needed)} do not fit the {size(self.limit)} that may be kept; "
                "use --mode cached, a smaller --box, a larger --downsampling, or raise execution.memory"
            )
        places = [(number, *place) for number in wanted for place in self.images[number].places()]
        with _processors() as pool:
            for done, _ in enumerate(pool.map(lambda place: self.get(*place), places), 1):
                told(done, len(places))

    def get(self, image: int, level: int, t: int, c: int, box: Box) -> bytes | None:
        """A block, as `ServedImage.compute` makes it."""
        if self.mode == "virtual":
            return self.images[image].compute(level, t, c, box)
        key = (image, level, t, c, box.start)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self.images[image].compute(level, t, c, box)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = found
                self._bytes += len(found or b"")
            while self._bytes > self.limit:
                _, old = self._kept.popitem(last=False)
                self._bytes -= len(old or b"")
        return found

    @property
    def kept_bytes(self) -> int:
        """Bytes that are kept now."""
        return self._bytes
