"""From paintings of substacks to the picture: final operators, backgrounds, outputs (reference 7.1, 9, 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.focus.montage import PICTURE_PLANES, planes_of
from fusestack.focus.region import Region
from fusestack.model.stage import Compute
from fusestack.operators.cuts import Canvas
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.measures import Values
    from fusestack.focus.stack import Pixels, Stack
    from fusestack.model.geometry import Box
    from fusestack.operators.finals import FinalOperator

    Planes = NDArray[np.float32]


@dataclass(frozen=True)
class Finals(Compute):
    """A picture [t, m, plane, y, x] after some final operators; further planes are handed on.

    Parameters
    ----------
    picture : Pixels
    shape : (int, int)
        Rows and columns.
    planes : int
        Planes of the picture; what follows is handed on.
    operators : tuple of (FinalOperator, tuple of Values)
        With the statistics that each needs.
    """

    picture: Pixels
    shape: tuple[int, int]
    planes: int
    operators: tuple[tuple[FinalOperator, tuple[Values, ...]], ...]

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all planes."""
        region = Region.of(box)
        outer = region.grown(sum(operator.halo() for operator, _ in self.operators), self.shape)
        rows, columns = region.within(outer)
        out = np.empty(box.shape, np.float32)
        for t in range(box.start[0], box.stop[0]):
            for m in range(box.start[1], box.stop[1]):
                found = self.picture.read(outer.box(t, (m, m + 1), (0, box.stop[2])))[0, 0]
                picture = Picture.unpacked(found[: self.planes])
                for operator, statistics in self.operators:
                    picture = operator.apply(picture, [values.of(t, m) for values in statistics])
                place = out[t - box.start[0], m - box.start[1]]
                place[: self.planes] = picture.packed()[:, rows, columns]
                place[self.planes :] = found[self.planes :, rows, columns]
        return out


@dataclass(frozen=True)
class Background:
    """One layer behind the picture.

    Parameters
    ----------
    colour : tuple of float or None
        A colour 0..1, r, g, b.
    image : Pixels or None
        An image of the stack [t, channel, 1, y, x].
    picture : Pixels or None
        The picture of another recipe [t, m, plane, y, x].
    """

    colour: tuple[float, float, float] | None = None
    image: Pixels | None = None
    picture: Pixels | None = None

    def paint(self, canvas: Canvas, t: int, m: int, stack: Stack, region: Region) -> None:
        """Paint the layer; where no slice shows anything, an image of the stack shows nothing."""
        channels = stack.painted[m]
        count = len(channels)
        opacity = np.ones(region.shape, np.float32)
        if self.colour is not None:
            values = (
                self.colour
                if count == 3
                else (sum(w * v for w, v in zip(kernels.colour.LUMA, self.colour, strict=True)),)
            )
            colours = np.broadcast_to(np.array(values, np.float32)[:, None, None], (count, *region.shape))
        elif self.image is not None:
            found = self.image.read(region.box(t, (min(channels), max(channels) + 1), (0, 1)))[0, :, 0]
            colours = found[[channel - min(channels) for channel in channels]]
            opacity = stack.greatest_opacity(t, region)
        elif self.picture is not None:
            picture = self.picture.read(region.box(t, (m, m + 1), (0, count + 1)))[0, 0]
            colours, opacity = picture[:count], picture[count]
        else:
            return
        canvas.paint(colours, np.clip(opacity, 0, 1))


@dataclass(frozen=True)
class Compose(Compute):
    """The picture of all substacks over the backgrounds: [t, m, plane, y, x].

    Parameters
    ----------
    pictures : tuple of Pixels
        Of each substack, in order; the last one is painted first.
    stack : Stack
    backgrounds : tuple of Background
        The first one is the lowest.
    keeps_canvas : bool
        Whether pictures bring a canvas of their own, painted over the backgrounds.
    """

    pictures: tuple[Pixels, ...]
    stack: Stack
    backgrounds: tuple[Background, ...]
    keeps_canvas: bool

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all planes."""
        out = np.zeros(box.shape, np.float32)
        for t in range(box.start[0], box.stop[0]):
            for m in range(box.start[1], box.stop[1]):
                out[t - box.start[0], m - box.start[1]] = self._picture(t, m, Region.of(box)).packed()
        return out

    def _picture(self, t: int, m: int, region: Region) -> Picture:
        channels = self.stack.painted[m]
        count = len(channels)
        result, depth = Canvas.empty((count, *region.shape)), Canvas.empty((1, *region.shape))
        depth.colours[:] = self.stack.slices - 1
        layers = Canvas.empty((count, *region.shape))
        mask = np.zeros(region.shape, np.float32)
        for background in self.backgrounds:
            background.paint(layers, t, m, self.stack, region)
        planes = planes_of(count, canvas=self.keeps_canvas)
        for pixels in reversed(self.pictures):
            found = pixels.read(region.box(t, (m, m + 1), (0, planes)))[0, 0]
            picture = Picture.unpacked(found[: count + PICTURE_PLANES])
            if self.keeps_canvas:
                layers.paint(found[count + PICTURE_PLANES : -1], np.clip(found[-1], 0, 1))
            result.paint(picture.colours, np.clip(picture.alpha, 0, 1))
            depth.paint(picture.depth[None], np.clip(picture.depth_alpha, 0, 1))
            np.maximum(mask, picture.mask, out=mask)
        layers.paint(result.colours, result.alpha)
        return Picture(layers.colours, layers.alpha, mask, depth.colours[0], depth.alpha)

    def warm_up(self) -> None:
        """Compile the painting."""
        zeros = np.zeros((4, 4), np.float32)
        Canvas.empty((1, 4, 4)).paint(zeros[None], zeros)


@dataclass(frozen=True)
class Output(Compute):
    """What is written [t, c, z, y, x] of pictures.

    Parameters
    ----------
    pictures : tuple of Pixels
        One, or one for each page along z.
    stack : Stack
    what : str
        ``image``, ``mask``, ``depth`` (slice index), ``share`` (of the way from the first to the last slice),
        ``height`` (physical) or ``rainbow``.
    dtype : str
    channels : tuple of (int, int)
        For each channel the mask set and the plane of the picture, -1 for the opacity.
    first, step : float
        Physical place of the first slice, and from one to the next.
    pages : int
        Over how many pages (along z) the channels are spread.
    over_black : bool
        Whether what is transparent is black, for files without opacity.
    """

    pictures: tuple[Pixels, ...]
    stack: Stack
    what: str
    dtype: str
    channels: tuple[tuple[int, int], ...]
    first: float = 0.0
    step: float = 1.0
    pages: int = 1
    over_black: bool = False

    def __call__(self, box: Box) -> NDArray[Any]:
        """Compute a region."""
        out = np.empty(box.shape, self.dtype)
        region = Region.of(box)
        for t in range(box.start[0], box.stop[0]):
            for z in range(box.start[2], box.stop[2]):
                for c in range(box.start[1], box.stop[1]):
                    plane = self._plane(t, c, z, region)
                    out[t - box.start[0], c - box.start[1], z - box.start[2]] = plane
        return out

    def _plane(self, t: int, c: int, z: int, region: Region) -> NDArray[Any]:
        m, plane = self.channels[z * (len(self.channels) // self.pages) + c if self.pages > 1 else c]
        count = len(self.stack.painted[m])
        pixels = self.pictures[0 if self.pages > 1 else z]

        def read(plane: int) -> NDArray[np.float32]:
            found: NDArray[np.float32] = pixels.read(region.box(t, (m, m + 1), (plane, plane + 1)))[0, 0, 0]
            return found

        match self.what:
            case "image" if plane >= 0:
                black, white = self.stack.black_white(t, self.stack.painted[m][plane])
                colour = read(plane) * np.clip(read(count), 0, 1) if self.over_black else read(plane)
                return self._pixels(colour, black, white)
            case "image":
                return self._full(read(count))
            case "mask":
                return self._full(read(count + 1))
        depth, known = read(count + 2), read(count + 3)
        last = max(1, self.stack.slices - 1)
        match self.what:
            case "share":
                return self._full(known if plane < 0 else np.where(known > 0, depth / np.float32(last), 0))
            case "rainbow":
                slices = self.stack.slices
                colour = known if plane < 0 else kernels.colour.rainbow((slices - 1 - depth) / slices)[plane]
                return self._full(colour * known if self.over_black else colour)
            case "height":
                depth = np.float32(self.first) + np.float32(self.step) * depth
        return np.where(known > 0, depth, np.float32(np.nan)).astype(self.dtype)

    def _full(self, values: NDArray[Any]) -> NDArray[Any]:
        """Numbers 0..1 in the range of the type written."""
        kind = np.dtype(self.dtype)
        return self._pixels(values, 0.0, 1.0 if kind.kind == "f" else float(np.iinfo(kind).max))

    def _pixels(self, values: NDArray[Any], black: float, white: float) -> NDArray[Any]:
        kind = np.dtype(self.dtype)
        if kind.kind != "f" and np.dtype(self.stack.dtype) != kind and self.what == "image":
            # other types than that of the slices are filled from end to end
            black, white = 0.0, float(np.iinfo(kind).max)
        found = values.astype(np.float32) * np.float32(white - black) + np.float32(black)
        if kind.kind == "f":
            return found.astype(kind)
        limits = np.iinfo(kind)
        return np.asarray(np.clip(np.floor(found + np.float32(0.5)), limits.min, limits.max).astype(kind))
