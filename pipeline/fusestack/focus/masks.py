"""The masks of slices by one generator, before levelling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.config.optionstring import option_string
from fusestack.focus import blocks
from fusestack.focus.blocks import BYTES, BlockWise, read_planes
from fusestack.focus.images import depth_map_stage, image_stage
from fusestack.focus.lowpass import low_pass_stages, transformed_whole, whole_bytes
from fusestack.focus.statistics import Bands, Extremes, Histogram, Levels
from fusestack.focus.stretching import StretchedFilter, stretched_stages
from fusestack.model.errors import ConfigError
from fusestack.model.stage import Along
from fusestack.operators.base import Place
from fusestack.operators.choices import COLOURS
from fusestack.operators.commands import stretching
from fusestack.operators.comparisons import DepthMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.channels import Resizing, SliceChannels
    from fusestack.focus.lowpass import TiledLowPass
    from fusestack.focus.recipe import StackRecipe
    from fusestack.focus.region import Region
    from fusestack.model.geometry import Box
    from fusestack.model.image import Level
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.commands import Command
    from fusestack.operators.generators import Fourier, Generator

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_THREE_QUARTERS = 0.75


@dataclass(frozen=True)
class MaskInput:
    """What a generator is applied to: colours, a channel, or the likeness to an image of the stack.

    Parameters
    ----------
    looked : SliceChannels
    resizing : Resizing
        From slices to masks.
    colorspace, channel : str and int, or None
        Of the generator, or of the whole recipe.
    image : StoredArray or None
        [t, m, colour, y, x]; compared with instead.
    first : int
        Which of its colours the first one of `looked` is compared with.
    """

    looked: SliceChannels
    resizing: Resizing
    colorspace: str | None = None
    channel: int | None = None
    image: StoredArray | None = None
    first: int = 0

    @property
    def count(self) -> int:
        """Planes of a slice."""
        if self.colorspace is None:
            return len(self.looked.sets[0])
        return 1 if self.channel is not None else COLOURS.get(self.colorspace, 3)

    @property
    def one_channel(self) -> bool:
        """Whether it is a channel that was asked for."""
        return self.channel is not None

    @property
    def is_likeness(self) -> bool:
        """Whether slices are compared with something of the whole stack."""
        return self.image is not None

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """Read a region of a slice: float32[c, y, x]."""
        source = self.resizing.apply(region, lambda at: self.looked.read(t, m, k, at))
        image = self.image
        if image is not None:
            span = (self.first, self.first + len(source))
            reference = self.resizing.apply(region, lambda at: read_planes(image, t, m, span, at))
            return np.asarray(1 - np.abs(source - reference))
        if self.colorspace is None:
            return source
        if self.channel is None:
            return kernels.colour.convert(source, self.colorspace)
        return kernels.colour.channel(source, self.colorspace, self.channel)

    def reaches(self, along: Along | None) -> dict[StoredArray, Reach]:
        """Slices, and the image that they are compared with."""
        y, x = self.resizing.along(along, along)
        found = self.looked.reaches(Along(), y, x)
        if self.image is not None:
            found[self.image] = (Along(), Along(), None, y, x)
        return found

    def read_bytes(self, pixels: int) -> int:
        """Memory of reading a region of so many pixels: planes of the source, where they are resized or converted."""
        whole = self.channel in (None, 0) or self.colorspace not in kernels.colour.CYLINDERS
        converted = 0 if self.colorspace is None else (6 if whole else 1) * pixels
        return BYTES * len(self.looked.sets[0]) * (2 * self.resizing.source_pixels(pixels) + converted)


@dataclass(frozen=True)
class MapInput:
    """A depth map, which is compared with the number of each slice.

    Parameters
    ----------
    array : StoredArray
        [1, 1, colour, y, x].
    resizing : Resizing
    """

    array: StoredArray
    resizing: Resizing

    one_channel = is_likeness = True

    @property
    def count(self) -> int:
        """Colours of the map."""
        return self.array.shape[2]

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """Read a region: float32[c, y, x]."""
        span = (0, self.count)
        return self.resizing.apply(region, lambda at: read_planes(self.array, 0, 0, span, at))

    def reaches(self, along: Along | None) -> dict[StoredArray, Reach]:
        """The same pixels."""
        return {self.array: (None, None, None, *self.resizing.along(along, along))}

    def read_bytes(self, pixels: int) -> int:
        """As `MaskInput.read_bytes`."""
        return 2 * BYTES * self.count * self.resizing.source_pixels(pixels)


@dataclass(frozen=True)
class SliceMask:
    """The answer of a generator as a mask: the block function of masks.

    Parameters
    ----------
    generator : Generator
    one_channel : bool
        Whether it is applied to one channel that was asked for.
    filtered : bool
        Whether a low pass in tiles has taken the place of the generator's own, or the first options of a command have
        been applied.
    """

    generator: Generator
    one_channel: bool
    filtered: bool = False

    @property
    def depth(self) -> int | None:
        """The halo of the generator."""
        if self.generator.needs_whole_plane:
            return 0 if self.filtered else None
        return self.generator.halo()

    def __call__(self, planes: Planes, parts: list[Planes], place: Place) -> Plane:
        """Mask float32[y, x] of a region.

        Parameters
        ----------
        planes : float32[c, y, x]
        parts : list of float32[c, y, x]
            Where it is `filtered`: `planes` after each low pass of the generator, or after some options.
        place : Place
        """
        generator = self.generator
        combining: Fourier | Command = generator  # type: ignore[assignment]
        answer = combining.combine(parts) if self.filtered else generator.apply(planes, place)
        if generator.compared:
            answer = np.subtract(answer, planes, out=None if np.may_share_memory(answer, planes) else answer)
            np.minimum(np.abs(answer, out=answer), 1, out=answer)
        if generator.negate:
            answer = 1 - answer
        if self.one_channel:
            return np.asarray(answer[0])
        # three colours add up to 3/4, so that ours are the numbers of imfuse; a grey slice stands for three colours
        return np.asarray(answer.sum(axis=0, dtype=np.float32) * np.float32(_THREE_QUARTERS / len(answer)))


@dataclass(frozen=True)
class Masks(BlockWise):
    """Masks [t, m, k, y, x] of a generator.

    Parameters
    ----------
    source : MaskInput or MapInput
    low_pass : TiledLowPass or StretchedFilter or None
        For generators that see whole planes, where planes are too large for that; for commands that must know limits
        of the whole stack.
    """

    BY_SLICE = True

    function: SliceMask
    source: MaskInput | MapInput
    low_pass: TiledLowPass | StretchedFilter | None = None

    def __call__(self, box: Box) -> Planes:
        """Compute masks; rounded, but where levelling enlarges small differences from a large number."""
        out = super().__call__(box)
        generator = self.function.generator
        exact = generator.levelled and (generator.negate or self.source.is_likeness)
        return out if exact else kernels.levels.shorten(out)

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[Planes, list[Planes]]:
        """What the generator is applied to, and what low passes in tiles have made of it."""

        def read(at: Region) -> Planes:
            return self.source.read(t, m, k, at)

        return read(region), [] if self.low_pass is None else self.low_pass.filter(t, m, k, region, read)

    def reaches(self) -> dict[StoredArray, Reach]:
        """Slices with the halo of the generator; the lowest frequencies."""
        if self.low_pass is not None:
            return self.low_pass.reaches(self.source)
        return self.source.reaches(self.halo)

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: colours, the generator's answer and its work, the masks."""
        planes = self.source.count
        if self.function.depth is None:
            return whole_bytes(self.plane, planes)
        pixels = self.outer_pixels(block)
        return BYTES * pixels * (6 * planes + 6) + 2**23 + self.source.read_bytes(pixels)

    def warm_up(self) -> None:
        """Compile what the generator needs, on a few pixels."""
        kernels.levels.shorten(np.zeros((1, 1), np.float32))
        if self.low_pass is None and self.function.generator.compiles:
            self.function.generator.apply(np.zeros((1, 4, 4), np.float32), Place((0, 0), (4, 4)))


def mask_levels(on: StackRecipe, *, whole: bool) -> list[Level]:
    """How masks may be cut, the better ways first: whole planes, several of them where they are small; blocks."""
    if whole:
        return [blocks.in_planes(on.mask_shape, (1, 1, 1))]
    height, width = on.resizing.target
    usual = blocks.in_blocks(on.mask_shape, (1, 1, max(1, blocks.BLOCK**2 // (height * width))))
    if height * width > blocks.SMALL_PIXELS:
        return [usual]
    side = -(-max(height, width) // blocks.BLOCK) * blocks.BLOCK
    return [blocks.in_blocks(on.mask_shape, (1, 1, usual.block[2]), side), usual]


def mask_stages(on: StackRecipe, generator: Generator) -> tuple[StoredArray, Levels | None]:
    """Masks of a generator, and how they are levelled.

    Raises
    ------
    ConfigError
        If it asks for a channel that there is not, or planes are too large for it.
    """
    source = _input(on, generator)
    plain = generator.model_copy(update={"weight": None, "mask": None, "low": 0, "high": 100})
    label = option_string([plain])
    colorspace = on.recipe.colorspace
    if colorspace.space != "sRGB" or colorspace.channel is not None:
        label += f" in {colorspace.space} {colorspace.channel}"
    if on.resizing.changes:
        label += f" at {on.resizing.target[1]} x {on.resizing.target[0]}"
    name = f"{on.prefix}masks/{generator.name}"
    low_pass: TiledLowPass | StretchedFilter | None = None
    pieces = stretching(generator)
    whole = not pieces and transformed_whole(generator, on.resizing.target)
    if pieces:
        where = f"{on.prefix}{label}"
        stretched, rest = stretched_stages(on.cached, on.prefix, where, source, source.count, on.mask_shape, pieces)
        plain = plain.model_copy(update={"command": rest, "reach": None})
        low_pass = StretchedFilter(stretched, plain.halo())
    elif generator.needs_whole_plane and not whole:
        low_pass = low_pass_stages(on.cached, name, source, source.count, on.mask_shape, generator.transfers)  # type: ignore[attr-defined]
    # whether masks are levelled says how exact they must be; how, and what is done with them, comes later
    plain = plain.model_copy(update={"level": generator.levelled, "equalise": True})
    function = SliceMask(plain, source.one_channel, low_pass is not None)
    compute = Masks(on.mask_shape[2:], function, source, low_pass)
    level = on.cached.fitting(compute, mask_levels(on, whole=whole))
    masks = on.cached.add(name, f"masks of {label}", compute, level)
    return masks, _levels(on, generator, masks, f"{on.prefix}{label}")


def _input(on: StackRecipe, generator: Generator) -> MaskInput | MapInput:
    if isinstance(generator, DepthMap):
        depths = depth_map_stage(on.cached, on.sets, on.resolve(generator.path))
        return MapInput(depths, on.resizing)
    colorspace = on.recipe.colorspace
    space: str | None = generator.colorspace or colorspace.space
    channel = colorspace.channel if generator.channel is None else generator.channel
    if generator.colorspace is not None and generator.channel is None:
        channel = None
    if generator.image is not None:
        first = on.sets.painted.sets[0].index(on.sets.looked.sets[0][0])
        image = image_stage(on.cached, on.sets, generator.image)
        return MaskInput(on.sets.looked, on.resizing, image=image, first=first)
    limit = COLOURS.get(str(space), 3)
    if channel is not None and channel >= limit:
        raise ConfigError(
            f"focus: {generator.name}: channel: {space} has no channel {channel}; use 0"
            + (f" to {limit - 1}" if limit > 1 else "")
        )
    return MaskInput(on.sets.looked, on.resizing, space if space != "sRGB" or channel is not None else None, channel)


def _levels(on: StackRecipe, generator: Generator, masks: StoredArray, label: str) -> Levels | None:
    if not generator.levelled:
        return None
    limits = on.cached.statistic(
        f"{label} limits", f"{on.prefix}limits/{generator.name}", Extremes(masks, Bands(masks.shape))
    )
    if not generator.equalise:
        return Levels(limits, None)
    histogram = Histogram(masks, Bands(masks.shape, deep=True), limits)
    return Levels(limits, on.cached.statistic(f"{label} counts", f"{on.prefix}counts/{generator.name}", histogram))
