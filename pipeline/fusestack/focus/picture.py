"""The picture over its backgrounds."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.config.focus import Focus
from fusestack.focus.blocks import BYTES, BlockWise, along, in_blocks, read_planes
from fusestack.focus.finals import final_stages
from fusestack.focus.images import image_stage
from fusestack.focus.montage import PICTURE_PLANES, montage_stages, planes_of
from fusestack.focus.recipe import NESTED, StackRecipe, recipe_of
from fusestack.model.stage import Along
from fusestack.operators.base import spelled
from fusestack.operators.canvas import Canvas
from fusestack.operators.choices import IMAGES
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.channels import SliceChannels
    from fusestack.focus.region import Region
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.base import Place

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]


@dataclass(frozen=True)
class Background:
    """One layer behind the picture.

    Parameters
    ----------
    colour : tuple of float or None
        A colour 0..1, r, g, b.
    image : StoredArray or None
        An image of the stack, or the picture of another recipe, which has an opacity: [t, m, plane, y, x].
    opacity : SliceChannels or None
        Of the slices: where no slice shows anything, an image of the stack shows nothing.
    """

    colour: tuple[float, float, float] | None = None
    image: StoredArray | None = None
    opacity: SliceChannels | None = None

    def read(self, t: int, m: int, count: int, region: Region) -> tuple[Planes, Plane]:
        """Colours float32[c, y, x] and their opacity float32[y, x]."""
        opacity = np.ones(region.shape, np.float32)
        if self.image is not None:
            planes = read_planes(self.image, t, m, (0, min(count + 1, self.image.shape[2])), region)
            if len(planes) > count:
                opacity = planes[count]
            elif self.opacity is not None:
                opacity = self.opacity.greatest(t, m, region)[0]
            return planes[:count], np.clip(opacity, 0, 1)
        values = self.colour or (0.0, 0.0, 0.0)
        if count != 3:
            values = (sum(w * v for w, v in zip(kernels.colour.LUMA, values, strict=True)),)  # type: ignore[assignment]
        colours = np.broadcast_to(np.array(values, np.float32)[:, None, None], (count, *region.shape))
        return colours, opacity


@dataclass(frozen=True)
class Layering:
    """Pictures are painted over one another and over backgrounds: a block function.

    Parameters
    ----------
    keeps_canvas : bool
        Whether pictures bring a canvas of their own, painted over the backgrounds.
    """

    keeps_canvas: bool

    @property
    def depth(self) -> int:
        """Pixel by pixel."""
        return 0

    def __call__(
        self,
        pictures: Iterable[Planes],
        backgrounds: Iterable[tuple[Planes, Plane, bool]],
        size: tuple[int, int, int],
        place: Place,
    ) -> Planes:
        """Planes of the picture.

        Parameters
        ----------
        pictures : iterable of float32[plane, y, x]
            The last one is the uppermost.
        backgrounds : iterable of (float32[c, y, x], float32[y, x], bool)
            Colours, opacity, and whether that is the greatest of the slices, which counts where none of them is shown;
            the last one is the uppermost.
        size : (int, int, int)
            Colours, rows and columns.
        place : Place
        """
        count, *shape = size
        result, layers = Canvas.empty(size), Canvas.empty(size)
        depth = Canvas.empty((1, *shape))
        depth.colours[:] = place.slices - 1
        mask = np.zeros(shape, np.float32)
        kept: list[tuple[Planes, Plane]] = []
        for planes in pictures:
            picture = Picture.unpacked(planes[: count + PICTURE_PLANES])
            if self.keeps_canvas:
                kept.append((planes[count + PICTURE_PLANES : -1], np.clip(planes[-1], 0, 1)))
            result.paint(picture.colours, np.clip(picture.alpha, 0, 1))
            depth.paint(picture.depth[None], np.clip(picture.depth_alpha, 0, 1))
            np.maximum(mask, picture.mask, out=mask)
        for colours, opacity, of_slices in backgrounds:
            layers.paint(colours, opacity * _unseen(result.alpha, depth.alpha) if of_slices else opacity)
        for colours, opacity in kept:
            layers.paint(colours, opacity)
        layers.paint(result.colours, result.alpha)
        return Picture(layers.colours, layers.alpha, mask, depth.colours[0], depth.alpha).packed()


def _unseen(alpha: Plane, known: Plane) -> Plane:
    """Share of a background that is left behind a picture so that both together are as opaque as the slices shown."""
    behind = 1 - alpha
    left = np.divide(1 - known, behind, out=np.ones_like(alpha), where=behind > 0)
    return np.asarray(np.clip(left, 0, 1))


@dataclass(frozen=True)
class Composition(BlockWise):
    """The picture of all substacks over the backgrounds: [t, m, plane, y, x].

    Parameters
    ----------
    pictures : tuple of StoredArray
        Of each substack, in order; the last one is painted first.
    backgrounds : tuple of Background
        The first one is the lowest.
    colours : int
    """

    function: Layering
    pictures: tuple[StoredArray, ...]
    backgrounds: tuple[Background, ...]
    colours: int

    def read(
        self, t: int, m: int, k: int, region: Region
    ) -> tuple[Iterator[Planes], Iterator[tuple[Planes, Plane, bool]], tuple[int, int, int]]:
        """Layers one by one, the uppermost last."""
        span = (0, planes_of(self.colours, canvas=self.function.keeps_canvas))
        pictures = (read_planes(one, t, m, span, region) for one in reversed(self.pictures))
        backgrounds = (
            (*one.read(t, m, self.colours, region), one.opacity is not None and bool(self.pictures))
            for one in self.backgrounds
        )
        return pictures, backgrounds, (self.colours, *region.shape)

    def reaches(self) -> dict[StoredArray, Reach]:
        """The same pixels of all layers."""
        here = along(0)
        found: dict[StoredArray, Reach] = {}
        for background in self.backgrounds:
            if background.opacity is not None:
                found |= background.opacity.reaches(None, here, here)
        images = [one.image for one in self.backgrounds if one.image is not None]
        return found | dict.fromkeys((*self.pictures, *images), (Along(), Along(), None, here, here))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: three canvases, one layer, the picture and its encoded form."""
        return BYTES * math.prod(block[3:]) * (6 * block[2] + 8)

    def warm_up(self) -> None:
        """Compile the painting."""
        zeros = np.zeros((4, 4), np.float32)
        Canvas.empty((1, 4, 4)).paint(zeros[None], zeros)


def composition_stage(
    on: StackRecipe, pictures: Sequence[StoredArray], backgrounds: Sequence[Background], *, keeps_canvas: bool
) -> StoredArray:
    """The picture of all substacks over the backgrounds."""
    sets = on.sets
    planes = planes_of(sets.colours)
    return on.cached.add(
        "picture" if pictures else "background",
        "the picture over its background",
        Composition(sets.size, Layering(keeps_canvas), tuple(pictures), tuple(backgrounds), sets.colours),
        in_blocks((sets.times, sets.count, planes, *sets.painted.plane), (1, 1, planes)),
    )


def backgrounds_of(on: StackRecipe, *, opaque: bool) -> list[Background]:
    """Backgrounds of a recipe, and the stages of those that are made of the stack.

    Parameters
    ----------
    on : StackRecipe
    opaque : bool
        Whether there must be one.
    """
    names = [name for name in on.recipe.backgrounds if name.lower() != "transparent"]
    return [_background(on, name) for name in names or (["max"] if opaque else [])]


def _background(on: StackRecipe, name: str) -> Background:
    if name.lower() in NESTED:
        recipe = recipe_of(Focus.model_validate({"options": NESTED[name.lower()]}), photographs=True)
        nested = StackRecipe(on.cached, on.sets, recipe, prefix=f"{name.lower()}/")
        ((painted, _),) = montage_stages(nested, [(0, on.sets.painted.slices)])
        return Background(image=final_stages(nested, painted, -1))
    image = spelled(IMAGES, name)
    if image is not None:
        return Background(image=image_stage(on.cached, on.sets, image), opacity=on.sets.opacity)
    return Background(colour=_colour(name))


def is_background(name: str) -> bool:
    """Whether there is a background of that name."""
    return name.lower() in ("transparent", *NESTED) or spelled(IMAGES, name) is not None or _colour(name) is not None


def _colour(name: str) -> tuple[float, float, float] | None:
    from PIL import ImageColor

    grey = re.fullmatch(r"gr[ae]y(\d{1,3})", name.lower())  # as ImageMagick: 0 is black, 100 white
    if grey and int(grey[1]) <= 100:
        return (int(grey[1]) / 100,) * 3
    try:
        r, g, b = ImageColor.getrgb(name)[:3]
    except ValueError:
        return None
    return r / 255, g / 255, b / 255
