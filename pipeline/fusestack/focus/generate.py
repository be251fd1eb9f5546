"""The mask of one slice by one generator (reference 5.1), before levelling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.region import Region
from fusestack.model.stage import Compute
from fusestack.operators.base import Place
from fusestack.operators.comparisons import DepthMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.lowpass import TiledLowPass
    from fusestack.focus.stack import Look, Pixels
    from fusestack.model.geometry import Box
    from fusestack.operators.generators import Fourier, Generator

    Planes = NDArray[np.float32]

_THREE_QUARTERS = 0.75


@dataclass(frozen=True)
class Seen:
    """What a generator is applied to: colours, a channel, or the likeness to an image of the stack.

    Parameters
    ----------
    look : Look
    colorspace, channel : str and int, or None
        Of the generator, or of the whole recipe.
    image : Pixels or None
        [t, channel of the stack, 1, y, x]; compared with instead.
    colours : int
        Of a depth map.
    """

    look: Look
    colorspace: str | None = None
    channel: int | None = None
    image: Pixels | None = None
    colours: int = 0

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """Read a region of a slice: float32[c, y, x]."""
        source = self.look.read(t, m, k, region)
        if self.image is not None:
            return np.asarray(1 - np.abs(source - self.reference(t, m, region)))
        if self.colorspace is None:
            return source
        planes = kernels.colour.convert(source, self.colorspace)
        if self.channel is None:
            return planes
        channel = min(self.channel, len(planes) - 1)  # a grey slice stands for three equal colours
        return planes[channel : channel + 1]

    def reference(self, t: int, m: int, region: Region) -> Planes:
        """A region of the image of the stack: float32[c, y, x]."""
        channels = self.look.stack.looked[m]
        image = self.image
        if image is None:
            raise ValueError("there is no image to compare with")

        def read(at: Region) -> Planes:
            found = image.read(at.box(t, (min(channels), max(channels) + 1), (0, 1)))[0, :, 0]
            return np.asarray(found, dtype=np.float32)

        return self.look.resize(region, read)


@dataclass(frozen=True)
class Generate(Compute):
    """Masks [t, m, k, y, x] of a generator.

    Parameters
    ----------
    generator : Generator
    seen : Seen
    low_pass : TiledLowPass or None
        For generators that see whole planes, where planes are too large for that.
    """

    generator: Generator
    seen: Seen
    low_pass: TiledLowPass | None = None

    def __call__(self, box: Box) -> Planes:
        """Compute masks."""
        out = np.empty(box.shape, np.float32)
        for t in range(box.start[0], box.stop[0]):
            for m in range(box.start[1], box.stop[1]):
                for k in range(box.start[2], box.stop[2]):
                    place = (t - box.start[0], m - box.start[1], k - box.start[2])
                    out[place] = self.mask(t, m, k, Region.of(box))
        if self.generator.levelled and (self.generator.negate or self.seen.image is not None):
            return out  # small differences from a large number, which levelling makes large
        return kernels.levels.shorten(out)

    def mask(self, t: int, m: int, k: int, region: Region) -> NDArray[np.float32]:
        """Compute one region of the mask of a slice, float32[y, x]."""
        look, generator = self.seen.look, self.generator
        halo = 0 if self.low_pass is not None else generator.halo()
        outer = region.grown(halo, look.shape)
        place = Place(outer.origin, look.shape, k, look.stack.slices)
        if isinstance(generator, DepthMap):
            answer = generator.likeness(self._map(t, outer), place)
            return np.asarray(1 - answer[0] if generator.negate else answer[0])
        seen = self.seen.read(t, m, k, outer)
        if self.low_pass is not None:
            fourier: Fourier = generator  # type: ignore[assignment]
            answer = fourier.combine(self.low_pass.filter(t, m, k, region, lambda at: self.seen.read(t, m, k, at)))
        else:
            answer = generator.apply(seen, place)
        if generator.compared:
            answer = answer - seen
            np.minimum(np.abs(answer, out=answer), 1, out=answer)
        if generator.negate:
            answer = 1 - answer
        rows, columns = region.within(outer)
        answer = answer[:, rows, columns]
        if self.seen.channel is not None and self.seen.image is None:
            return np.asarray(answer[0])
        # three colours add up to 3/4, so that ours are the numbers of imfuse; a grey slice stands for three colours
        return np.asarray(answer.sum(axis=0, dtype=np.float32) * np.float32(_THREE_QUARTERS / len(answer)))

    def _map(self, t: int, region: Region) -> Planes:
        image = self.seen.image
        if image is None:
            raise ValueError("there is no depth map")

        def read(at: Region) -> Planes:
            return np.asarray(image.read(at.box(0, (0, self.seen.colours), (0, 1)))[0, :, 0], dtype=np.float32)

        return self.seen.look.resize(region, read)

    def warm_up(self) -> None:
        """Compile what the generator needs, on a few pixels."""
        kernels.levels.shorten(np.zeros((1, 1), np.float32))
        if self.low_pass is None and self.generator.compiles:
            self.generator.apply(np.zeros((1, 4, 4), np.float32), Place((0, 0), (4, 4)))
