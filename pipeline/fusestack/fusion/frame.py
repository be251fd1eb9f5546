"""The grid of the fused image and its place in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.geometry import Affine, Box, Float3, Int3, round_half_up

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fusestack.model.view import View

# Registrations are products of rounded decimals: 31.000000000000004 planes are 31 planes.
_TOLERANCE = 1e-6
_ROUNDING = 0.1


@dataclass(frozen=True)
class Frame:
    """The fused image's pixels in the world.

    Output pixel ``p`` (from 0) lies at the world point ``spacing * (p + box.start)``.

    Parameters
    ----------
    box : Box
        Region that is fused, z, y, x, in pixels of the fused image.
    spacing : (float, float, float)
        World pixels in one pixel of the fused image, z, y, x: downsampling, times the anisotropy factor along z.
    flat : bool
        All views have one plane: z is ignored throughout.
    """

    box: Box
    spacing: Float3
    flat: bool = False

    @property
    def shape(self) -> Int3:
        """Pixels of the fused image, z, y, x."""
        z, y, x = self.box.shape
        return (z, y, x)

    @property
    def output_to_world(self) -> Affine:
        """Pixel of the fused image to world pixels."""
        spacing = np.array(self.spacing)
        return Affine.scaling(spacing) @ Affine.translation(self.box.start)

    @cached_property
    def world_to_output(self) -> Affine:
        """World pixels to pixel of the fused image."""
        return Affine.translation([-v for v in self.box.start]) @ Affine.scaling(1 / np.array(self.spacing))


def world_bounds(pixel_to_world: Affine, shape: Int3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Real bounds of a view in world pixels: of its pixel centres, z, y, x."""
    return pixel_to_world.bounds((0, 0, 0), np.array(shape) - 1)


def box_of_views(placed: Iterable[tuple[Affine, Int3]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Real bounds of all views together, z, y, x.

    Parameters
    ----------
    placed : iterable of (pixel_to_world, shape)
    """
    bounds = [world_bounds(affine, shape) for affine, shape in placed]
    return np.min([low for low, _ in bounds], axis=0), np.max([high for _, high in bounds], axis=0)


def frame_of_views(
    placed: Iterable[tuple[Affine, Int3]], *, anisotropy: float, downsampling: float, flat: bool
) -> Frame:
    """Frame of views whose first and last planes all show one of them, and that holds all that they show.

    The last plane is the last one that a view or its rim reaches (see `ViewTable`): less than a pixel of the view
    beyond its last pixel centre, or half a pixel of the frame where that is more. A tenth of a pixel of the frame is
    taken for the rounding of a registration. Views that are turned reach planes with their corners only, which may
    lie between pixels. `frame_of_box` is BigStitcher's rule, which rounds up to three times and can add empty planes.

    Parameters
    ----------
    placed : iterable of (pixel_to_world, shape)
    anisotropy, downsampling : float
    flat : bool
    """
    spacing = downsampling * np.array([1.0 if flat else anisotropy, 1.0, 1.0])
    ends = []
    reaches: dict[bytes, NDArray[np.float64]] = {}  # tiles of one grid have one
    for affine, shape in placed:
        low, high = world_bounds(affine, shape)
        kind = affine.linear.tobytes()
        if kind not in reaches:
            reaches[kind] = np.clip(steps(affine.linear) / spacing, 0.5, 1 - _ROUNDING) - _TOLERANCE
        ends.append((low / spacing - reaches[kind], high / spacing + reaches[kind]))
    start = np.ceil(np.min([low for low, _ in ends], axis=0)).astype(int).tolist()
    last = np.floor(np.max([high for _, high in ends], axis=0)).astype(int)
    return _frame(start, np.maximum(start, last).tolist(), spacing, flat)


def steps(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far one has to go along z, y, x to cross one pixel."""
    if np.count_nonzero(linear) == 3:  # not turned but by right angles: exact
        return np.asarray(np.abs(linear).sum(axis=1), dtype=np.float64)
    crossed: NDArray[np.float64] = 1 / np.linalg.norm(np.linalg.inv(linear), axis=0)
    return crossed


def frame_of_box(box: Box, *, anisotropy: float, downsampling: float, flat: bool) -> Frame:
    """Frame of a box of whole world pixels, by BigStitcher's rounding (`FusionTools.createAnisotropicBoundingBox`)."""
    scale = np.array([1.0 if flat else anisotropy, 1.0, 1.0])
    low, high = np.array(box.start, dtype=float), np.array(box.stop, dtype=float) - 1
    box = _outwards(low / scale, high / scale)
    start, last = (
        [round_half_up(v * (1 / downsampling)) for v in ends] for ends in (box.start, np.array(box.stop) - 1)
    )
    return _frame(start, last, downsampling * scale, flat)


def whole_pixels(low: NDArray[np.float64], high: NDArray[np.float64]) -> Box:
    """Smallest box of whole world pixels that holds real bounds (BigStitcher's `BoundingBoxMaximal`)."""
    return _outwards(low, high)


def _outwards(low: NDArray[np.float64], high: NDArray[np.float64]) -> Box:
    start = tuple(math.floor(v + _TOLERANCE) for v in low)
    return Box(start, tuple(max(a, math.ceil(v - _TOLERANCE)) + 1 for a, v in zip(start, high, strict=True)))


def _frame(start: list[int], last: list[int], spacing: NDArray[np.float64], flat: bool) -> Frame:
    if flat:
        start[0] = last[0] = 0
    z, y, x = (float(v) for v in spacing)
    # one plane has no step along z
    return Frame(Box(tuple(start), tuple(v + 1 for v in last)), (1.0 if flat else z, y, x), flat)


def couples_z(affine: Affine) -> bool:
    """Whether an affine mixes z with x or y."""
    return bool(np.any(affine.linear[0, 1:]) or np.any(affine.linear[1:, 0]))


def flattened(affine: Affine) -> Affine:
    """The x, y part of an affine; z stays what it is."""
    linear = affine.linear.copy()
    linear[0] = (1, 0, 0)
    linear[1:, 0] = 0
    return Affine(linear, np.array([0.0, *affine.offset[1:]]))


def average_anisotropy(views: Iterable[View]) -> float:
    """Mean of z size over mean x, y size of the voxels; 1 where no view has a voxel size."""
    factors = [v.voxel_size[0] / ((v.voxel_size[1] + v.voxel_size[2]) / 2) for v in views if v.voxel_size]
    return float(np.mean(factors)) if factors else 1.0
