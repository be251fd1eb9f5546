"""Views of one plane: all at one depth they are a plane, at several depths a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fusestack.kernels.views import Numerics
    from fusestack.model.geometry import Affine, Int3

_TOLERANCE = 1e-6


def is_flat(shapes: Iterable[Int3]) -> bool:
    """Whether all views have a single plane."""
    return all(shape[0] == 1 for shape in shapes)


def plane_depths(placed: Iterable[tuple[Affine, Int3]]) -> tuple[NDArray[np.float64], float]:
    """Where the first pixels of views of one plane lie along z, and how far apart the nearest planes of one would be.

    Parameters
    ----------
    placed : iterable of (pixel_to_world, shape)
    """
    found = [(affine.offset[0], affine.column_lengths[0]) for affine, _ in placed]
    return np.array([depth for depth, _ in found]), float(min(step for _, step in found))


def at_one_depth(placed: Iterable[tuple[Affine, Int3]]) -> bool:
    """Whether views of one plane show the same plane: none lies half a step along z from another, or more."""
    depths, step = plane_depths(placed)
    return bool(np.ptp(depths) < step / 2)


def gap_of_planes(placed: Iterable[tuple[Affine, Int3]]) -> str | None:
    """What should be said where planes at several depths leave out some in between."""
    depths, step = plane_depths(placed)
    known = np.unique(np.round(depths, 6))
    gaps = np.diff(known)
    wide = np.flatnonzero(gaps > step * (1 + _TOLERANCE) + _TOLERANCE)
    if not wide.size:
        return None
    first, last = known[wide[0]], known[wide[0] + 1]
    return (
        f"the views have one plane each, at {known.size:,} depths: no plane lies between z {first:.6g} and {last:.6g} "
        f"(world pixels; {wide.size:,} such gaps), the result is black there, as a plane is {step:.6g} thick; give "
        "the step between planes as the z scale of their affine, or one z to tiles of one plane"
    )


def shows_one_plane(placed: Sequence[tuple[Affine, Int3]], numerics: Numerics, warnings: list[str]) -> bool:
    """Whether views show one plane; planes at several depths are a volume, but not for BigStitcher.

    Parameters
    ----------
    placed : sequence of (pixel_to_world, shape)
    numerics : {"exact", "bigstitcher"}
    warnings : list of str
        What should be said of planes at several depths is added.
    """
    if not is_flat(shape for _, shape in placed):
        return False
    if at_one_depth(placed):
        return True
    if numerics == "bigstitcher":
        warnings.append(
            "the views have one plane each, at several depths; BigStitcher fuses them as one plane, and so does "
            "fusion.numerics: bigstitcher; exact keeps them apart"
        )
        return True
    if said := gap_of_planes(placed):
        warnings.append(said)
    return False
