"""The masks of several generators become one, which the mask operators transform."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.config.optionstring import option_string
from fusestack.focus.blocks import BYTES, BlockWise, read_planes
from fusestack.focus.lowpass import low_pass_stages, transformed_whole, whole_bytes
from fusestack.focus.masks import mask_levels, mask_stages
from fusestack.focus.stretching import Stretched, limits_of
from fusestack.model.errors import ConfigError
from fusestack.model.stage import Along
from fusestack.operators.base import Place
from fusestack.operators.commands import MaskCommand, stretching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.channels import Resizing, SliceChannels
    from fusestack.focus.lowpass import TiledLowPass
    from fusestack.focus.recipe import StackRecipe
    from fusestack.focus.region import Region
    from fusestack.focus.statistics import Levels
    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.masks import MaskOperator

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_FULL = ("Multiply", "Darken")
"""Modes that begin with a white mask: black would stay black."""


@dataclass(frozen=True)
class StoredMasks:
    """Masks of a stage [t, m, k, y, x], one by one."""

    array: StoredArray

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """A region of one: float32[1, y, x]."""
        return read_planes(self.array, t, m, (k, k + 1), region)

    def reaches(self, along: Along | None) -> dict[StoredArray, Reach]:
        """The same slice."""
        return {self.array: (Along(), Along(), Along(), along, along)}

    def read_bytes(self, pixels: int) -> int:
        """Nothing besides the masks."""
        return 0


@dataclass(frozen=True)
class WeightedMasks:
    """The masks of one generator, and how they are merged.

    Parameters
    ----------
    masks : StoredMasks
    levels : Levels or None
    weight : float
        0..1.
    low, high : float
        Below `low` 0, above `high` 1.
    """

    masks: StoredMasks
    levels: Levels | None
    weight: float
    low: float
    high: float

    def read(self, t: int, m: int, k: int, region: Region) -> Plane:
        """Levelled, thresholded and weighted: float32[y, x]."""
        mask: Plane = self.masks.read(t, m, k, region)[0]
        weigh = _Weighing(self.weight, self.low, self.high)
        return weigh(mask) if self.levels is None else self.levels.apply(mask, t, m, weigh)


@dataclass(frozen=True)
class _Weighing:
    """What is done with each number of a mask, which may be changed: see `WeightedMasks`."""

    weight: float
    low: float
    high: float

    def __call__(self, mask: Plane) -> Plane:
        if self.low > 0:
            mask = np.where(mask < np.float32(self.low), np.float32(0), mask)
        if self.high < 1:
            mask = np.where(mask > np.float32(self.high), np.float32(1), mask)
        return np.multiply(mask, np.float32(self.weight), out=mask)


@dataclass(frozen=True)
class MaskChain:
    """Masks become one, operators transform it: the block function of merged masks.

    Parameters
    ----------
    mode : str
        How masks are merged.
    chain : tuple of MaskOperator
    clipped : bool
        Whether this is the end, where masks are limited to 0..1 and to what is opaque.
    """

    mode: str
    chain: tuple[MaskOperator, ...]
    clipped: bool

    @property
    def depth(self) -> int | None:
        """The halos of all operators."""
        if any(operator.needs_whole_plane for operator in self.chain):
            return None
        return sum(operator.halo() for operator in self.chain)

    @property
    def guided(self) -> bool:
        """Whether an operator looks at the slice."""
        return any(operator.guided for operator in self.chain)

    def __call__(
        self,
        begun: Plane,
        first: Iterable[Plane],
        last: Iterable[Plane],
        opacity: Plane | None,
        guide: Planes | None,
        place: Place,
    ) -> Plane:
        """Merged mask float32[y, x] of a region.

        Parameters
        ----------
        begun : float32[y, x]
            What the first ones are merged with.
        first, last : iterable of float32[y, x]
            Merged before and after the operators.
        opacity : float32[y, x] or None
        guide : float32[1, y, x] or None
            Brightness of the slice, for what is guided by it.
        place : Place
        """
        mask = begun
        for one in first:
            mask = self._merged(one, mask)
        planes, place = mask[None], replace(place, guide=guide)
        for operator in self.chain:
            planes = operator.apply(planes, place)
        mask = np.ascontiguousarray(planes[0])
        for one in last:
            mask = self._merged(one, mask)
        if not self.clipped:
            return mask
        mask = np.clip(mask, 0, 1)
        return mask if opacity is None else mask * opacity

    def _merged(self, source: Plane, destination: Plane) -> Plane:
        if self.mode == "Screen":  # the usual one, without copies
            return kernels.levels.screened(source, destination)
        return kernels.compose.compose(self.mode, source, destination)


@dataclass(frozen=True)
class Merge(BlockWise):
    """Merged masks [t, m, k, y, x], or one link of a chain of operators on them.

    Parameters
    ----------
    resizing : Resizing
        From slices to masks.
    first : tuple of WeightedMasks
        Merged at the beginning.
    below : StoredMasks or Stretched or None
        The link before, instead of `first`.
    low_pass : TiledLowPass or None
        Filters `below`.
    last : tuple of WeightedMasks
        Merged at the end.
    opacity : SliceChannels or None
    guide : SliceChannels or None
        Slices, where an operator looks at them.
    """

    BY_SLICE = True

    function: MaskChain
    resizing: Resizing
    first: tuple[WeightedMasks, ...]
    below: StoredMasks | Stretched | None
    low_pass: TiledLowPass | None
    last: tuple[WeightedMasks, ...]
    opacity: SliceChannels | None
    guide: SliceChannels | None

    def __call__(self, box: Box) -> Planes:
        """Compute masks."""
        return kernels.levels.shorten(super().__call__(box))

    def read(
        self, t: int, m: int, k: int, region: Region
    ) -> tuple[Plane, Iterator[Plane], Iterator[Plane], Plane | None, Planes | None]:
        """Masks one by one, how opaque the slice is, and how bright."""
        first, last = ((part.read(t, m, k, region) for part in parts) for parts in (self.first, self.last))
        opacity, opaque = None, self.opacity
        if opaque is not None:
            opacity = self.resizing.apply(region, lambda at: opaque.read(t, m, k, at))[0]
        guide, seen = None, self.guide
        if seen is not None:
            guide = self.resizing.apply(region, lambda at: kernels.colour.luma(seen.read(t, m, k, at)))
        return self._begun(t, m, k, region), first, last, opacity, guide

    def _begun(self, t: int, m: int, k: int, region: Region) -> Plane:
        below = self.below
        if below is None:
            return np.full(region.shape, 1.0 if self.function.mode in _FULL else 0.0, np.float32)
        if self.low_pass is None:
            planes = below.read(t, m, k, region)
        else:
            (planes,) = self.low_pass.filter(t, m, k, region, lambda at: below.read(t, m, k, at))
        return np.asarray(planes[0])

    def reaches(self) -> dict[StoredArray, Reach]:
        """Masks with the halo of the operators."""
        halo = self.halo
        found: dict[StoredArray, Reach] = {}
        for part in (*self.first, *self.last):
            found |= part.masks.reaches(halo)
        for slices in (self.opacity, self.guide):
            if slices is not None:
                found |= slices.reaches(Along(), *self.resizing.along(halo, halo))
        if self.below is not None:
            found |= self.below.reaches(halo) if self.low_pass is None else self.low_pass.reaches(self.below)
        return found

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: masks, and the work of the operators."""
        if self.function.depth is None:
            return whole_bytes(self.plane, 1)
        pixels = self.outer_pixels(block)
        resized = 0 if self.opacity is None and self.guide is None else self.resizing.source_pixels(pixels)
        guided = 0 if self.guide is None else 8 + len(self.guide.sets[0])
        return BYTES * ((10 + guided) * pixels + (2 + guided) * resized)

    def warm_up(self) -> None:
        """Compile what the operators need, on a few pixels."""
        one = np.zeros((1, 1), np.float32)
        kernels.levels.shorten(kernels.levels.screened(one, one))
        for part in (*self.first, *self.last):
            if part.levels is not None and part.levels.counts is not None:
                kernels.levels.look_up(one, 0, 1, np.zeros(kernels.levels.STEPS, np.float32))
        for operator in self.function.chain:
            if operator.compiles:
                zeros = np.zeros((1, 4, 4), np.float32)
                operator.apply(zeros, Place((0, 0), (4, 4), guide=zeros))


def merged_masks(on: StackRecipe) -> StoredArray:
    """Masks of all generators, merged and transformed, before the last levelling.

    Raises
    ------
    ConfigError
        If planes are too large for an operator.
    """
    recipe = on.recipe
    first: list[WeightedMasks] = []
    last: list[WeightedMasks] = []
    for generator, weight in zip(recipe.generators, recipe.weights, strict=True):
        masks, levels = mask_stages(on, generator)
        part = WeightedMasks(StoredMasks(masks), levels, weight, generator.low / 100, generator.high / 100)
        (first if generator.merged_first else last).append(part)
    # small planes are blocks of their own, so that one link is enough for what sees them whole
    operators = [piece for one in recipe.chain for piece in _pieces(one)]
    whole = any(transformed_whole(one, on.resizing.target) for one in operators if not stretching(one))
    links = _links(operators, whole=whole)
    below: StoredMasks | Stretched | None = None
    for number, chain in enumerate(links):
        end = number == len(links) - 1
        name = f"{on.prefix}merge" + (f"/{number + 1}" if len(links) > 1 else "")
        low_pass = None
        left = chain
        if below is not None and stretching(chain[0]):
            said = option_string([one for link in links[:number] for one in link] + [chain[0]])
            below = limits_of(on.cached, on.prefix, f"{on.prefix}merged {said}", below.array, 1, chain[0].command)
            left = chain[1:]
        elif below is not None:
            low_pass = low_pass_stages(on.cached, name, below, 1, on.mask_shape, chain[0].transfers)
            left = chain[1:]
        function = MaskChain(recipe.mode, left, end)
        compute = Merge(
            on.mask_shape[2:],
            function,
            on.resizing,
            tuple(first) if number == 0 else (),
            below,
            low_pass,
            tuple(last) if end else (),
            on.sets.opacity if end else None,
            on.sets.looked if function.guided else None,
        )
        title = " ".join(["merged masks", option_string(chain)]).rstrip()
        level = on.cached.fitting(compute, mask_levels(on, whole=whole))
        below = StoredMasks(on.cached.add(name, title, compute, level))
    if below is None:
        raise ConfigError("focus.masks: the list is empty; name at least one operator")
    return below.array


def _pieces(operator: MaskOperator) -> list[MaskOperator]:
    """A command with stretches, cut before and behind each of them; any other operator as it is."""
    pieces = stretching(operator)
    return [MaskCommand(command=piece) for piece in pieces] if pieces else [operator]


def _links(chain: Sequence[Any], *, whole: bool) -> list[tuple[Any, ...]]:
    """Operators that can be applied to one block after the other.

    One that must know limits of all masks begins a link, and one that sees whole planes, unless blocks are `whole`.
    """
    links: list[list[Any]] = [[]]
    for operator in chain:
        if stretching(operator) or (operator.needs_whole_plane and not whole):
            links.append([])
        links[-1].append(operator)
    return [tuple(link) for link in links]
