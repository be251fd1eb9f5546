"""What makes the box of a fused image huge: views that lie far from all others, and images that nobody can make."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.amounts import counted, times_xyz
from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.frame import Frame
    from fusestack.model.geometry import Affine, Int3
    from fusestack.model.view import View

_FAR = 10
"""Extents of the largest view between views that are far apart."""
_NAMED = 3
MOST_PIXELS = 2**50
"""Of a fused image; a petabyte and more. Numbers of pixels and blocks stay far below those that 64 bits hold."""


def far_views(placed: Sequence[tuple[View, Affine, Int3]]) -> str | None:
    """Name the views that an empty gap separates from most others; None where there are none.

    A gap is far if, along one axis of the world, it is longer than all that the views cover along it, and than ten of
    the largest view.

    Parameters
    ----------
    placed : sequence of (view, pixel_to_world, shape)
    """
    if len(placed) < 2:
        return None
    bounds = np.array([affine.bounds((0, 0, 0), np.array(shape) - 1) for _, affine, shape in placed])
    far: NDArray[np.bool_] = np.zeros(len(placed), dtype=bool)
    distance = 0.0
    for axis in range(3):
        low, high = bounds[:, 0, axis], bounds[:, 1, axis]
        order = np.argsort(low, kind="stable")
        reached = np.maximum.accumulate(high[order])
        gaps = np.maximum(low[order][1:] - reached[:-1], 0.0)
        extents = high - low + 1
        covered = reached[-1] - low.min() - gaps.sum()
        for place in np.flatnonzero(gaps > max(covered, _FAR * extents.max())).tolist():
            before, after = order[: place + 1], order[place + 1 :]
            far[after if len(after) <= len(before) else before] = True
            distance = max(distance, float(gaps[place]))
    if not far.any():
        return None
    strays = [placed[i][0] for i in np.flatnonzero(far).tolist()]
    named = ", ".join(called(view) for view in strays[:_NAMED])
    more = f" and {len(strays) - _NAMED:,} more" if len(strays) > _NAMED else ""
    what = "lies" if len(strays) == 1 else "lie"
    others = counted(len(placed) - len(strays), "view")
    return (
        f"{named}{more}: {what} {distance:,.0f} world pixels away from the other {others}, the box around all of them "
        "is nearly empty; correct the registration, leave it out (input.select with fusion.bounding_box: "
        "selected_views), or give fusion.bounding_box"
    )


def called(view: View) -> str:
    """A view for people: its id, and the file or the name by which they know it."""
    return f"view {view.id}, {view.source.path.rstrip('/').rpartition('/')[2] or view.name}"


def refuse_absurd(frame: Frame, reasons: Sequence[str]) -> None:
    """Refuse an image that nobody can make, and say what makes it so large.

    Parameters
    ----------
    frame : Frame
    reasons : sequence of str
        What is known of the registrations.

    Raises
    ------
    InputError
    """
    shape = tuple(b - a for a, b in zip(frame.box.start, frame.box.stop, strict=True))
    if math.prod(shape) <= MOST_PIXELS:
        return
    raise InputError(
        f"the fused image would have {times_xyz(shape)} pixels (xyz), more than can be made; "
        "check the registrations, choose a fusion.bounding_box or a greater fusion.downsampling",
        *reasons,
    )
