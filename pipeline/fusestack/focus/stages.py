"""The stages between the slices of a stack and its picture: all in the cache."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fusestack import kernels
from fusestack.config.optionstring import option_string
from fusestack.focus.generate import Generate, Seen
from fusestack.focus.images import DepthMapImage, StackImage
from fusestack.focus.lowpass import LowFrequencies, Reduce, TiledLowPass, reduced_shape, transformed_whole
from fusestack.focus.measures import Bands, Extremes, Histogram, Levels
from fusestack.focus.merge import MaskReader, Merge, Part
from fusestack.focus.montage import LastLevel, Montage, planes_of
from fusestack.focus.stack import Look, SomeSlices, Stack
from fusestack.kernels.fourier import REDUCTION
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.fingerprint import identities
from fusestack.operators.choices import COLOURS
from fusestack.operators.comparisons import DepthMap
from fusestack.planning.stored import sharded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fusestack.focus.lowpass import PlaneReader
    from fusestack.focus.recipe import Recipe
    from fusestack.focus.stack import Pixels
    from fusestack.focus.workshop import Made, Workshop
    from fusestack.kernels.fourier import Transfer
    from fusestack.model.image import Level
    from fusestack.operators.base import Operator
    from fusestack.operators.generators import Generator

BINS = 256
"""Of histograms of masks."""
BLOCK = 1024
"""Pixels of a block along y and x: a multiple of the tiles of low passes."""
_PLANE = 10**9
_BYTES = 4


def block_bytes(halo: int, shape: tuple[int, int]) -> int:
    """Memory of one plane of a block with its halo, no more than that of the whole plane and a little."""
    side = BLOCK + 2 * halo
    return _BYTES * min(side, shape[0] + 256) * min(side, shape[1] + 256)


class FocusStages:
    """The stages of one recipe on one stack.

    Parameters
    ----------
    workshop : Workshop
    stack : Stack
    slices : Made
        What the stack reads.
    recipe : Recipe
    resolve : callable
        Absolute path of a path in the recipe.
    prefix : str
        Before the names of stages and statistics of a recipe within a recipe.
    """

    def __init__(
        self,
        workshop: Workshop,
        stack: Stack,
        slices: Made,
        recipe: Recipe,
        resolve: Callable[[str], str] = str,
        prefix: str = "",
    ) -> None:
        self.resolve = resolve
        self.workshop = workshop
        self.stack = stack
        self.slices = slices
        self.recipe = recipe
        self.prefix = prefix
        size = recipe.mask_size
        shape, interpolation = stack.plane, "Spline"
        if size is not None:
            height, width = (max(1, int(n * size.percent / 100 + 0.5)) for n in stack.plane)
            shape, interpolation = (height, width), size.interpolation
        self.look = Look(stack, shape, interpolation)
        self.sets = len(stack.looked)

    @property
    def _look_facts(self) -> list[Any]:
        return [self.look.shape, self.look.interpolation, self.stack.looked]

    @property
    def _mask_shape(self) -> tuple[int, ...]:
        return (self.stack.shape[0], self.sets, self.stack.slices, *self.look.shape)

    def _mask_level(self, *, whole: bool) -> Level:
        if whole:
            return sharded(self._mask_shape, (1, 1, 1, _PLANE, _PLANE))
        height, width = self.look.shape
        # several slices where planes are small, so that blocks are few
        return sharded(self._mask_shape, (1, 1, max(1, BLOCK * BLOCK // (height * width)), BLOCK, BLOCK))

    def image(self, name: str) -> Made:
        """An image of the stack: stages that others share."""
        t, c, _, height, width = self.stack.shape
        halo = kernels.blend.reach(kernels.blend.levels_of(height, width)) if name == "enfuse" else 0
        side = BLOCK + 2 * halo
        count = max(len(channels) for channels in self.stack.painted)
        return self.workshop.add(
            f"image/{name}",
            f"image of the stack: {name}",
            StackImage(self.stack, name),
            sharded((t, c, 1, height, width), (1, c, 1, BLOCK, BLOCK)),
            facts=[name, self.stack.painted],
            needs=[self.slices],
            peak=_BYTES * side * side * count * (8 if name == "enfuse" else 6),
        )

    def _depth_map(self, path: str) -> tuple[Made, int]:
        """A depth map from a file, and its colours."""
        from fusestack.sources.pictures import describe_picture

        picture = describe_picture(path)[0]
        if picture.shape != self.stack.plane:
            raise InputError(
                f"{path}: has {picture.shape} pixels (y, x), the slices have {self.stack.plane}; "
                "a depth map must have the size of the slices"
            )
        height, width = picture.shape
        colours = {"L": 1, "LA": 1}.get(picture.colours, len(picture.colours))
        made = self.workshop.add(
            "image/depthmap",
            f"depth map {path}",
            DepthMapImage(picture, self.stack.slices),
            sharded((1, colours, 1, height, width), (1, colours, 1, height, width)),
            facts=[identities([path]), self.stack.slices],
            needs=[],
            peak=10 * height * width * colours,
        )
        return made, colours

    def _generator_masks(self, generator: Generator) -> tuple[Made, str]:
        recipe = self.recipe
        space: str | None = generator.colorspace or recipe.colorspace.space
        channel = recipe.colorspace.channel if generator.channel is None else generator.channel
        if generator.colorspace is not None and generator.channel is None:
            channel = None
        image, colours = None, 0
        if isinstance(generator, DepthMap):
            image, colours = self._depth_map(self.resolve(generator.path))
        elif generator.image is not None:
            image = self.image(generator.image)
        space = space if space != "sRGB" or channel is not None else None
        seen = Seen(self.look, space, channel, image.pixels if image else None, colours)
        needs = [self.slices] + ([image] if image else [])
        planes = len(self.stack.looked[0])
        if image is None and space not in (None, "sRGB"):
            planes = COLOURS.get(str(space), 3)
        if image is None and channel is not None:
            limit = COLOURS.get(str(space), 3)
            if channel >= limit:
                raise ConfigError(
                    f"focus: {generator.name}: channel: {space} has no channel {channel}; use 0"
                    + (f" to {limit - 1}" if limit > 1 else "")
                )
            planes = 1
        low_pass, whole = None, False
        if generator.needs_whole_plane:
            whole = self._whole(generator)
            if not whole:
                label = f"{self.prefix}masks/{generator.name}"
                transfers = generator.transfers  # type: ignore[attr-defined]
                facts = [self._look_facts, space, channel]
                low_pass, low = self._low_pass(label, seen, planes, transfers, needs, facts)
                needs = [*needs, low]
        plain = generator.model_copy(update={"weight": None, "mask": None, "low": 0, "high": 100})
        label = option_string([plain])
        if recipe.colorspace.space != "sRGB" or recipe.colorspace.channel is not None:
            label += f" in {recipe.colorspace.space} {recipe.colorspace.channel}"
        if self.look.resized:
            label += f" at {self.look.shape[1]} x {self.look.shape[0]}"
        name = f"{self.prefix}masks/{generator.name}"
        made = self.workshop.add(
            name,
            f"masks of {label}",
            Generate(generator, seen, low_pass),
            self._mask_level(whole=whole),
            facts=[generator.mask_facts(), self._look_facts, space, channel],
            needs=needs,
            peak=self._peak(generator, planes, whole=whole),
        )
        return made, f"{self.prefix}{label}"

    def _peak(self, operator: Operator, planes: int, *, whole: bool) -> int:
        height, width = self.look.shape
        if whole:
            side = kernels.fourier.padded_side(height, width)
            return _BYTES * (height * width * (4 * planes + 2) + side * side * 6)
        halo = operator.halo()
        return block_bytes(halo, (height, width)) * (6 * planes + 6) + 2**23 + planes * self._source_bytes(halo)

    def _source_bytes(self, halo: int) -> int:
        """Memory of one channel of the slices for a block of masks, where masks are smaller than slices."""
        if not self.look.resized:
            return 0
        side = BLOCK + 2 * halo
        zoom = [min(side, n) * source / n for n, source in zip(self.look.shape, self.stack.plane, strict=True)]
        return 2 * _BYTES * int(zoom[0] + 8) * int(zoom[1] + 8)

    def _whole(self, operator: Operator) -> bool:
        if transformed_whole(*self.look.shape):
            return True
        if not hasattr(operator, "transfers"):
            raise ConfigError(
                f"focus: {operator.word} sees whole slices, which are too large for that here; declare how far it "
                "looks (reach, in imfuse's string halo=N)"
            )
        return False

    def _low_pass(
        self,
        label: str,
        source: PlaneReader,
        planes: int,
        transfers: tuple[Transfer, ...],
        needs: Sequence[Made],
        facts: Any,
    ) -> tuple[TiledLowPass, Made]:
        """Stages for the lowest frequencies of planes that are too large to be transformed whole."""
        shape, count = self.look.shape, len(transfers)
        height, width = reduced_shape(*shape)
        t, k = self.stack.shape[0], self.stack.slices
        level = sharded((t, self.sets * planes, k, height, width), (1, planes, 1, BLOCK // 4, BLOCK // 4), BLOCK // 4)
        reduced = self.workshop.add(
            f"{label}-reduced",
            "reduced planes",
            Reduce(source, shape, planes),
            level,
            facts=[facts, planes],
            needs=needs,
            peak=_BYTES * 3 * planes * math.prod(REDUCTION * n for n in level.block[3:]),
        )
        low = self.workshop.add(
            f"{label}-low",
            "lowest frequencies",
            LowFrequencies(reduced.pixels, transfers, shape),
            sharded((t, self.sets * planes * count, k, height, width), (1, count, 1, _PLANE, _PLANE)),
            facts=[str(transfers), planes],
            needs=[reduced],
            peak=_BYTES * height * width * (6 + count),
        )
        return TiledLowPass(low.pixels, shape, planes, transfers), low

    def _levels(self, generator: Generator, masks: Made, label: str) -> tuple[Levels | None, list[Made]]:
        if not generator.levelled:
            return None, []
        shape = self._mask_shape
        limits, made = self.workshop.values(
            f"{label} limits",
            f"{self.prefix}limits/{generator.name}",
            Extremes(masks.pixels, Bands(shape, deep=False)),
            2,
            [masks],
            "extremes",
        )
        if not generator.equalise:
            return Levels(limits, None), [made]
        counts, counted = self.workshop.values(
            f"{label} counts",
            f"{self.prefix}counts/{generator.name}",
            Histogram(masks.pixels, Bands(shape, deep=True), limits),
            BINS,
            [masks, made],
            "sum",
        )
        return Levels(limits, counts), [made, counted]

    def merged(self) -> Made:
        """Merged masks, before the last levelling."""
        recipe = self.recipe
        first: list[Part] = []
        last: list[Part] = []
        first_needs: list[Made] = []
        last_needs: list[Made] = []
        for generator, weight in zip(recipe.generators, recipe.weights, strict=True):
            masks, label = self._generator_masks(generator)
            levels, needs = self._levels(generator, masks, label)
            part = Part(masks.pixels, levels, weight, generator.low / 100, generator.high / 100)
            (first if generator.merged_first else last).append(part)
            (first_needs if generator.merged_first else last_needs).extend([masks, *needs])
        # small planes are blocks of their own, so that one link is enough
        whole = any(self._whole(one) for one in recipe.chain if one.needs_whole_plane)
        links = [recipe.chain] if whole else _links(recipe.chain)
        below: Made | None = None
        for number, chain in enumerate(links):
            end = number == len(links) - 1
            name = f"{self.prefix}merge" + (f"/{number + 1}" if len(links) > 1 else "")
            low_pass = None
            needs = [self.slices, *first_needs] if below is None else [self.slices, below]
            if below is not None and not whole:
                transfers = chain[0].transfers
                low_pass, low = self._low_pass(name, MaskReader(below.pixels), 1, transfers, [below], "mask")
                needs = [*needs, low]
            halo = sum(one.halo() for one in chain)
            blocks = block_bytes(halo, self.look.shape) * 10 + self._source_bytes(halo)
            weights = [[part.weight, part.low, part.high, part.levels is not None] for part in (*first, *last)]
            below = self.workshop.add(
                name,
                " ".join(["merged masks", option_string(chain)]).rstrip(),
                Merge(
                    self.look,
                    recipe.mode,
                    tuple(first) if number == 0 else (),
                    below.pixels if below else None,
                    low_pass,
                    chain,
                    tuple(last) if end else (),
                    end,
                ),
                self._mask_level(whole=whole),
                facts=[recipe.mode, len(first), weights, [one.facts() for one in chain], self._look_facts, end],
                needs=[*needs, *(last_needs if end else [])],
                peak=self._peak(chain[0], 1, whole=True) if whole else blocks,
            )
        if below is None:
            raise ConfigError("focus.masks: the list is empty; name at least one operator")
        return below

    def montages(
        self, parts: Sequence[tuple[int, int]], *, between: bool = False, sharpen: float = 0.0
    ) -> list[tuple[Made, Montage]]:
        """Paintings of ranges of slices, before the final operators."""
        merged = self.merged()
        level = self.recipe.level
        fixed = level.over == "off" or (level.low is not None and level.high is not None)
        found = []
        for number, part in enumerate(parts):
            limits, needs = None, [self.slices, merged]
            if not fixed:
                of_part = level.over == "substack" and len(parts) > 1
                shape = self._mask_shape
                source: Pixels = merged.pixels
                where = ""
                if of_part:
                    source = SomeSlices(source, part[0])
                    shape = (*shape[:2], part[1] - part[0], *shape[3:])
                    where = f" {part[0] + 1}-{part[1]}"
                limits, made = self.workshop.values(
                    f"{self.prefix}merged{where} limits",
                    f"{self.prefix}limits/merged",
                    Extremes(source, Bands(shape, deep=False)),
                    2,
                    [merged],
                    f"extremes{where}",
                )
                needs = [*needs, made]
            montage = Montage(
                self.look, merged.pixels, LastLevel(level, limits), self.recipe.cuts, part, between, sharpen
            )
            count = len(self.stack.painted[0])
            planes = planes_of(count, canvas=montage.keeps_canvas)
            t, _, _, height, width = self.stack.shape
            made = self.workshop.add(
                f"{self.prefix}montage" + (f"/{number + 1}" if len(parts) > 1 else ""),
                f"slices {part[0] + 1} to {part[1]} painted {option_string(self.recipe.cuts)}".rstrip(),
                montage,
                sharded((t, self.sets, planes, height, width), (1, 1, planes, BLOCK, BLOCK)),
                facts=[
                    [one.facts() for one in self.recipe.cuts],
                    level.facts(),
                    part,
                    between,
                    sharpen,
                    self._look_facts,
                    self.stack.painted,
                ],
                needs=needs,
                peak=block_bytes(montage.halo, (height, width)) * (7 * count + 20) + 2**23,
            )
            found.append((made, montage))
        return found


def _links(chain: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Operators that can be applied to one block after the other; one that sees whole planes begins a link."""
    links: list[list[Any]] = [[]]
    for operator in chain:
        if operator.needs_whole_plane:
            links.append([])
        links[-1].append(operator)
    return [tuple(link) for link in links]
