"""What a configuration fuses, for a viewer: each level is fused on its own, from what its pixels need."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fusestack.display.served import ServedImage, ServedLevel
from fusestack.fusion.placement import choose_level
from fusestack.fusion.plan import design_of, ground_of
from fusestack.model.geometry import Box
from fusestack.planning.levels import int3
from fusestack.planning.pyramid import propose_factors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fusestack.config.load import LoadedConfig
    from fusestack.config.models import Fusion
    from fusestack.fusion.design import Design, DesignedImage
    from fusestack.fusion.ground import Ground
    from fusestack.fusion.inputs import Inputs
    from fusestack.model.geometry import Int3

_MOST_READ = 2**27
"""Pixels of the views for a whole level that is no less to read than the one before it."""


class _Design:
    """A design that is made when it is first asked for: most resolutions are never looked at.

    Parameters
    ----------
    make : callable
    """

    def __init__(self, make: Callable[[], Design]) -> None:
        self._make = make
        self._made: Design | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Design:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


@dataclass(frozen=True)
class FusedPixels:
    """Pixels of a fused image, fused when they are asked for.

    Parameters
    ----------
    number : int
        Of the image in designs.
    designs : tuple of _Design
        Of the same images at several resolutions, finest first.
    """

    number: int
    designs: tuple[_Design, ...]

    def read(self, level: int, t: int, c: int, box: Box) -> NDArray[Any] | None:
        """Fuse a region z, y, x of a level; None where no view reaches it."""
        found = self.designs[level]().images[self.number].compute(Box((t, c, *box.start), (t + 1, c + 1, *box.stop)))
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
    options = loaded.config.fusion
    design = design_of(loaded, inputs)
    first = design.images[0]
    designs, grounds = [_Design(lambda: design)], [design.ground]
    for factors in propose_factors(int3(first.shape[2:]), first.anisotropy)[1:]:
        if options.plain_method != "mask" and _reads_as_much(grounds[-1]):
            break  # nothing that is read became smaller: such a level would cost seconds
        changes = coarser(options, first.anisotropy, factors)
        designs.append(_Design(partial(design_of, loaded, inputs, **changes)))
        grounds.append(ground_of(loaded, inputs, **changes))
    levels = tuple(_level(ground) for ground in grounds)
    return design, [_served(image, levels, FusedPixels(n, tuple(designs))) for n, image in enumerate(design.images)]


def _reads_as_much(ground: Ground) -> bool:
    """Whether a still coarser image reads the same levels of the views, the coarsest ones or the only one, and much."""
    read = 0
    for view in ground.views:
        levels = ground.opened[view.id].levels
        number = 0
        if view.no_data is None:
            number = choose_level(ground.frame.world_to_output @ ground.registrations[view.id], levels)
            if number < len(levels) - 1:
                return False
        read += math.prod(levels[number].shape)
    return read > _MOST_READ


def _level(ground: Ground) -> ServedLevel:
    size, origin, _ = ground.calibrated([])
    return ServedLevel(ground.frame.shape, size, origin)


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


def _served(image: DesignedImage, levels: tuple[ServedLevel, ...], pixels: FusedPixels) -> ServedImage:
    return ServedImage(
        name=image.title,
        dtype=image.dtype,
        levels=levels,
        channels=image.channels,
        times=len(image.timepoints),
        unit=image.unit,
        pixels=pixels,
        fill=image.compute.rule.fill,
    )
