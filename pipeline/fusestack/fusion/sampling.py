"""How large a world pixel is, and how the grid of the fused image compares with the pixels of the data."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fusestack.fusion.extent import called
from fusestack.model.amounts import times_xyz
from fusestack.model.geometry import float3
from fusestack.model.units import common_unit, known_unit, length_factor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.frame import Frame
    from fusestack.model.geometry import Affine, Float3
    from fusestack.model.view import View, ViewId

_EQUAL = 0.01
_COARSER, _FINER = 1.1, 1.5
"""Pixels of the data in one of the fused image, or the reverse, that are said."""
_ORDERS = tuple(itertools.permutations(range(3)))


def axis_lengths(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of steps along three axes, freed of rotation and of shear.

    Parameters
    ----------
    columns : float64[n, 3, 3]
        The steps are the columns.

    Returns
    -------
    float64[n, 3]
        The length of a step along the normal of the planes that the other axes span, in the order of axes in which
        the steps are most alike. A matrix that is a rotation and a shear of equal steps, in any order, has equal ones.

    Examples
    --------
    >>> sheared = np.array([[[5.0, 0, 0], [0, 1, 0], [2.5, 0, 1]]])
    >>> axis_lengths(sheared).tolist()
    [[5.0, 1.0, 1.0]]
    """
    single = (np.count_nonzero(columns, axis=(1, 2)) == 3)[:, None]  # turned by right angles at most: exact
    lengths = np.where(single, np.abs(columns).sum(axis=1), 0.0)
    spread = np.full(len(columns), np.inf)
    alike = np.zeros(len(columns), dtype=bool)
    for order in _ORDERS:
        alike |= _spread(_heights(columns.swapaxes(1, 2), order)) < _EQUAL
        found = _heights(columns, order)
        better = (_spread(found) < spread * (1 - 1e-9)) & ~single[:, 0]
        lengths[better], spread[better] = found[better], _spread(found)[better]
    alike &= ~single[:, 0]
    lengths[alike] = np.cbrt(np.abs(np.linalg.det(columns[alike])))[:, None]
    return lengths


def _heights(columns: NDArray[np.float64], order: Sequence[int]) -> NDArray[np.float64]:
    """Lengths of the columns, each without what lies along those before it (Gram and Schmidt)."""
    triangle = np.linalg.qr(columns[:, :, list(order)], mode="r")
    found: NDArray[np.float64] = np.abs(np.diagonal(triangle, axis1=1, axis2=2))[:, np.argsort(order)]
    return found


def _spread(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.log(lengths.max(axis=1) / lengths.min(axis=1))
    return found


def in_one_unit(views: Sequence[View]) -> list[View]:
    """Views whose voxel sizes are all in the unit of the first one that has one.

    Raises
    ------
    InputError
        If they cannot be converted into one another.
    """
    sized = {f"view {v.id} ({v.name or v.source.path})": v for v in views if v.voxel_size}
    unit, factors = common_unit({label: view.unit for label, view in sized.items()})
    by_id = {view.id: factors[label] for label, view in sized.items()}

    def converted(view: View) -> View:
        factor = by_id.get(view.id, 1.0)
        if factor == 1.0 or view.voxel_size is None:
            return view
        size, origin = (float3(np.array(v) * factor) for v in (view.voxel_size, view.world_origin))
        step = None if view.world_pixel is None else float3(np.array(view.world_pixel) * factor)
        return replace(view, voxel_size=size, world_origin=origin, world_pixel=step, unit=unit)

    return [converted(view) for view in views]


def calibration(views: Sequence[View], warnings: list[str]) -> tuple[Float3, str | None]:
    """Physical size of a world pixel (z, y, x), the mean over the views, and its unit."""
    sized = [view for view in views if view.voxel_size]
    if not sized:
        return (1.0, 1.0, 1.0), None
    unit = known_unit(sized[0].unit)
    if unit is not None and length_factor(unit, "meter") is None:
        warnings.append(f"unknown unit '{unit}'; the output has none")
        unit = None
    return float3(world_pixel_sizes(sized).mean(axis=0)), unit


def world_pixel_sizes(views: Sequence[View]) -> NDArray[np.float64]:
    """Physical size of a world pixel as each of the views has it, float64[n, 3] along the world's z, y, x.

    A step of one world pixel is a step in pixels of the view, and so in its unit; see `axis_lengths`. Along axes that
    are turned it is the spacing along the world's axis, not that of the view's axis of the same name. (BigStitcher
    divides voxel sizes by the lengths of the columns of the registration, `computeAverageCalibration`, which is the
    same without shear for pixels that the registration makes cubes of.)
    """
    voxels = np.array([view.voxel_size for view in views])
    linear = np.array([view.pixel_to_world.linear for view in views])
    sizes = voxels / np.linalg.norm(linear, axis=1)
    other = np.ptp(sizes, axis=1) > 1e-9 * sizes.max(axis=1)
    steps, kind = np.unique(voxels[other, :, None] * np.linalg.inv(linear[other]), axis=0, return_inverse=True)
    sizes[other] = axis_lengths(steps)[kind.reshape(-1)]
    diagonal = np.count_nonzero(linear * (1 - np.eye(3)), axis=(1, 2)) == 0
    sizes[diagonal] = voxels[diagonal] / np.abs(np.diagonal(linear[diagonal], axis1=1, axis2=2))
    known = np.array([view.world_pixel is not None for view in views])
    if known.any():
        sizes[known] = [view.world_pixel for view in views if view.world_pixel is not None]
    found: NDArray[np.float64] = sizes
    return found


def compare_sampling(
    views: Sequence[View],
    registrations: Mapping[ViewId, Affine],
    frame: Frame,
    downsampling: float,
    anisotropy: bool | float = False,
) -> list[str]:
    """What should be said where the fused image is coarser or finer than the data without being told so.

    Parameters
    ----------
    views : sequence of View
    registrations : mapping of ViewId to Affine
        Pixel to world.
    frame : Frame
    downsampling : float
        That the frame has. Above 1 it is a wish to be coarser than world pixels, below 1 to be finer.
    anisotropy : bool or float
        As in the configuration; a number is a wish.
    """
    linear = np.array([registrations[view.id].linear for view in views])
    kinds, kind = np.unique(linear, axis=0, return_inverse=True)  # tiles of one grid have one
    world = axis_lengths(np.linalg.inv(kinds))[kind.reshape(-1)]  # pixels of the data in one of the world
    if frame.flat:
        world[:, 0] = world[:, 1:].min(axis=1)
    steps, most = world * downsampling, (world * downsampling).max(axis=1)
    worst = int(np.argmax(most))
    finest, asked = float(most[worst]), max(1.0, downsampling)
    of = f"{len(views):,} views (first: {called(views[worst])})"
    if finest / asked > _COARSER:
        many, kept = f"{int((most / asked > _COARSER).sum()):,} of {of}", "coarser than the data"
    elif downsampling >= 1 and finest < 1 / _FINER:
        many, kept = of, "finer than the data"
    else:
        several_angles = len({view.angle for view in views}) > 1
        z_step = world[:, 0] * frame.spacing[0]
        if anisotropy is not True or frame.flat or z_step.max() / asked <= _COARSER or several_angles:
            return []
        return [
            f"fusion.preserve_anisotropy: true leaves one of {z_step.max():.3g} planes of the data, which the "
            "registrations leave as near as pixels; fusion.preserve_anisotropy: false keeps them all"
        ]
    flatter = ""
    ratio = float(steps[worst, 1:].max() / steps[worst, 0])
    if not frame.flat and ratio > _FINER and frame.spacing[0] < ratio * frame.spacing[2] / _COARSER:
        flatter = f"; with fusion.preserve_anisotropy: {ratio:.4g} planes stay as far apart as they are"
    return [
        f"registrations: a pixel of the fused image is {_shown(steps[worst], flat=frame.flat)} pixels of the data in "
        f"{many}: the result is {kept}, as where registrations are in physical units; "
        f"fusion.downsampling: {downsampling / finest:.4g} gives the sampling of the data{flatter}"
    ]


def _shown(steps: NDArray[np.float64], *, flat: bool) -> str:
    z, y, x = (float(f"{v:.3g}") for v in steps)
    return f"{times_xyz((y, x))} (xy)" if flat else f"{times_xyz((z, y, x))} (xyz)"
