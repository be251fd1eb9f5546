"""What a configuration fuses, for a viewer: each level is fused on its own, from what its pixels need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusestack.display.served import ServedImage, ServedLevel
from fusestack.fusion.plan import design_of
from fusestack.model.geometry import Box
from fusestack.planning.levels import int3
from fusestack.planning.pyramid import propose_factors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import Fusion
    from fusestack.fusion.design import Design, DesignedImage
    from fusestack.fusion.inputs import Inputs
    from fusestack.fusion.placement import PlacedView, ViewTable
    from fusestack.model.geometry import Int3
    from fusestack.model.view import View

_MOST_READ = 2**27
"""Pixels of the views for a whole level that is no less to read than the one before it."""


@dataclass(frozen=True)
class FusedPixels:
    """Pixels of a fused image, fused when they are asked for.

    Parameters
    ----------
    levels : tuple of DesignedImage
        The same image at several resolutions, finest first.
    """

    levels: tuple[DesignedImage, ...]

    def read(self, level: int, t: int, c: int, box: Box) -> NDArray[Any] | None:
        """Fuse a region z, y, x of a level; None where no view reaches it."""
        found = self.levels[level].compute(Box((t, c, *box.start), (t + 1, c + 1, *box.stop)))
        return None if found is None else found[0, 0]


def fused_images(loaded: LoadedConfig, inputs: Inputs) -> tuple[Design, list[ServedImage]]:
    """The fused images of a configuration, and their design.

    Level 0 has the pixels that `run` writes. A coarser level is the same image with a larger downsampling, from coarser
    levels of the views: it costs what is seen, and not what lies below, so it is no mean of level 0. Views fade over
    the same way in the world on every level.

    Parameters
    ----------
    loaded : LoadedConfig
    inputs : Inputs

    Raises
    ------
    ConfigError, InputError
    """
    design = design_of(loaded, inputs)
    first = design.images[0]
    designs = [design]
    for factors in propose_factors(int3(first.shape[2:]), first.anisotropy)[1:]:
        if _at_the_end(designs[-1]) and _read(designs[-1]) > _MOST_READ:
            break  # nothing that is read became smaller: such a level would cost seconds
        designs.append(design_of(loaded, inputs, **coarser(loaded.config.fusion, first.anisotropy, factors)))
    return design, [_served([one.images[number] for one in designs]) for number in range(len(design.images))]


def _at_the_end(design: Design) -> bool:
    """Whether a still coarser image reads the same levels of the views: the coarsest ones, or the only one."""
    for image in design.images:
        tables = image.compute.tables.values()
        for view, placed in zip(_views(image), _placed(tables), strict=True):
            if placed.pixels.level < len(design.opened[view.id].levels) - 1 and view.no_data is None:
                return False
    return True


def _views(image: DesignedImage) -> Iterator[View]:
    return (view for group in image.groups for view in group.views)


def _placed(tables: Iterable[ViewTable]) -> Iterator[PlacedView]:
    return (placed for table in tables for placed in table.placed)


def _read(design: Design) -> int:
    """Pixels of the views that are read for whole images."""
    tables = (table for image in design.images for table in image.compute.tables.values())
    return sum(math.prod(placed.pixels.shape) for placed in _placed(tables))


def coarser(options: Fusion, anisotropy: float, factors: Int3) -> dict[str, Any]:
    """Options of the fusion that give the same image with pixels of several of its pixels, z, y, x."""
    wider = max(factors[1:])
    changes: dict[str, Any] = {
        "downsampling": options.downsampling * wider,
        "preserve_anisotropy": anisotropy * factors[0] / wider if factors[0] != wider else options.preserve_anisotropy,
    }
    if options.blending:
        fade = {"range": options.blending.range / wider, "border": options.blending.border / wider}
        changes["blending"] = options.blending.model_copy(update=fade)
    return changes


def _served(levels: Sequence[DesignedImage]) -> ServedImage:
    image = levels[0]
    return ServedImage(
        name=image.title,
        dtype=image.dtype,
        levels=tuple(ServedLevel(int3(level.shape[2:]), level.pixel_size, level.origin) for level in levels),
        channels=image.channels,
        times=len(image.timepoints),
        unit=image.unit,
        pixels=FusedPixels(tuple(levels)),
        fill=image.compute.rule.fill,
    )
