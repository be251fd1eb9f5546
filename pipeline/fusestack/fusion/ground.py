"""Where the pixels of fused images lie: views with their registrations, and the frame that is laid around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusestack.fusion.extent import far_views
from fusestack.fusion.frame import (
    Frame,
    average_anisotropy,
    box_of_views,
    couples_z,
    flattened,
    frame_of_box,
    frame_of_views,
    whole_pixels,
)
from fusestack.fusion.opened import open_views
from fusestack.fusion.planes import shows_one_plane
from fusestack.fusion.sampling import calibration, in_one_unit
from fusestack.model.errors import ConfigError
from fusestack.model.geometry import Box, float3
from fusestack.sources.base import open_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.models import Fusion
    from fusestack.fusion.placement import OpenedView
    from fusestack.model.geometry import Affine, Float3, Int3
    from fusestack.model.view import View, ViewId


@dataclass(frozen=True)
class Ground:
    """Where the pixels of fused images lie, before anything is known about them.

    Parameters
    ----------
    views : tuple of View
        Selected views, in one unit.
    opened : mapping of ViewId to OpenedView
    registrations : mapping of ViewId to Affine
        Pixel to world, flattened where the frame is flat.
    anisotropy : float
    frame : Frame
    warnings, stray : tuple of str
        What should be said; of views that lie far from all others.
    """

    views: tuple[View, ...]
    opened: Mapping[ViewId, OpenedView]
    registrations: Mapping[ViewId, Affine]
    anisotropy: float
    frame: Frame
    warnings: tuple[str, ...]
    stray: tuple[str, ...]

    def calibrated(self, warnings: list[str]) -> tuple[Float3, Float3, str | None]:
        """Physical size of a pixel, place of the first one (z, y, x), and their unit."""
        world_pixel, unit = calibration(self.views, warnings)
        size = float3(s * c for s, c in zip(self.frame.spacing, world_pixel, strict=True))
        start = zip(self.views[0].world_origin, size, self.frame.box.start, strict=True)
        return size, float3(w + p * o for w, p, o in start), unit


def lay_out(views: Sequence[View], all_views: Sequence[View], boxes: Mapping[str, Box], options: Fusion) -> Ground:
    """Lay the frame of fused images around views; see `design_images`.

    Raises
    ------
    InputError, ConfigError
    """
    views = tuple(in_one_unit(views))
    opened = open_views(views)
    warnings: list[str] = []
    flat = shows_one_plane([(v.pixel_to_world, opened[v.id].shape) for v in views], options.numerics, warnings)
    registrations = _registrations(views, flat=flat, warnings=warnings)
    anisotropy = _anisotropy(views, options, flat=flat, warnings=warnings)
    stray: list[str] = []
    frame = _frame(opened, registrations, all_views, boxes, options, stray, anisotropy=anisotropy, flat=flat)
    return Ground(views, opened, registrations, anisotropy, frame, tuple(warnings), tuple(stray))


def _registrations(views: Sequence[View], *, flat: bool, warnings: list[str]) -> dict[ViewId, Affine]:
    if not flat:
        return {view.id: view.pixel_to_world for view in views}
    coupled = [view.id for view in views if couples_z(view.pixel_to_world)]
    if coupled:
        warnings.append(
            f"the views have one plane, but the registrations of {len(coupled)} of them (first: {coupled[0]}) "
            "tilt it; only their x, y part is used"
        )
    return {view.id: flattened(view.pixel_to_world) for view in views}


def _anisotropy(views: Sequence[View], options: Fusion, *, flat: bool, warnings: list[str]) -> float:
    wanted = options.preserve_anisotropy
    if wanted is False or flat:
        return 1.0
    factor = average_anisotropy(views) if wanted is True else float(wanted)
    if wanted is True and not any(v.voxel_size for v in views):
        warnings.append("fusion.preserve_anisotropy: the views have no voxel size, factor 1 is used; give a number")
    if factor != 1.0 and len({v.angle for v in views}) > 1:
        warnings.append(
            "fusion.preserve_anisotropy: the views have several angles; "
            "one anisotropic grid does not follow each of them, an isotropic one is usual"
        )
    return factor


def _frame(
    opened: Mapping[ViewId, OpenedView],
    registrations: Mapping[ViewId, Affine],
    all_views: Sequence[View],
    boxes: Mapping[str, Box],
    options: Fusion,
    warnings: list[str],
    *,
    anisotropy: float,
    flat: bool,
) -> Frame:
    wanted = options.bounding_box
    grid: dict[str, Any] = {"anisotropy": anisotropy, "downsampling": options.downsampling, "flat": flat}
    if not isinstance(wanted, str):
        return frame_of_box(Box.from_inclusive(wanted.min.xyz, wanted.max.xyz), **grid)
    if wanted in boxes:
        return frame_of_box(boxes[wanted], **grid)
    if wanted == "all_views":
        placed = [(view, *_placed(view, opened, registrations)) for view in all_views]
    elif wanted == "selected_views":
        placed = [(o.view, registrations[i], o.shape) for i, o in opened.items()]
    else:
        names = ", ".join([*boxes, "all_views", "selected_views"])
        raise ConfigError(f"fusion.bounding_box: the project has no box '{wanted}'; there are: {names}")
    if stray := far_views(placed):
        warnings.append(stray)
    at = [(affine, shape) for _, affine, shape in placed]
    if options.numerics == "bigstitcher":
        return frame_of_box(whole_pixels(*box_of_views(at)), **grid)
    return frame_of_views(at, **grid)


def _placed(
    view: View, opened: Mapping[ViewId, OpenedView], registrations: Mapping[ViewId, Affine]
) -> tuple[Affine, Int3]:
    if view.id in opened:
        return registrations[view.id], opened[view.id].shape
    return view.pixel_to_world, view.shape or open_source(view.source).levels[0].shape
