"""Views of one plane: all at one depth they are a plane, at several depths a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.amounts import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.kernels.views import Numerics
    from fusestack.model.geometry import Affine, Int3

_TOLERANCE = 1e-6
_DIGITS = 9
_LOOKED_AT = 100
_STACKED = 0.75
"""Share of a plane that lies over another one in a stack; tiles of a mosaic overlap less, whatever their focus is."""


def is_flat(shapes: Iterable[Int3]) -> bool:
    """Whether all views have a single plane."""
    return all(shape[0] == 1 for shape in shapes)


def plane_depths(placed: Sequence[tuple[Affine, Int3]]) -> tuple[NDArray[np.float64], float]:
    """Where the first pixels of views of one plane lie along z, and how far apart the nearest planes of one would be.

    Parameters
    ----------
    placed : sequence of (pixel_to_world, shape)
    """
    found = [(affine.offset[0], affine.column_lengths[0]) for affine, _ in placed]
    return np.array([depth for depth, _ in found]), float(min(step for _, step in found))


def at_one_depth(placed: Sequence[tuple[Affine, Int3]]) -> bool:
    """Whether views of one plane show one plane: none lies over another, half a step along z from it or more."""
    depths, step = plane_depths(placed)
    if np.ptp(depths) < step / 2:
        return True
    return not any((apart >= step / 2).any() for apart in _depths_over_one_another(placed))


def step_of_stacks(stacks: Iterable[Sequence[tuple[Affine, Int3]]]) -> float | None:
    """How far apart the nearest planes of stacks are, where only their places say it.

    Tiles beside one another say nothing about it, whatever their focus is: only planes that lie over one another do.

    Parameters
    ----------
    stacks : iterable of sequence of (pixel_to_unit, shape)
        Each of one timepoint and one channel: others may lie elsewhere for reasons of focus.

    Returns
    -------
    float or None
        In the unit of the places; None where no plane lies over another one, or some are no planes.
    """
    return min((step for placed in stacks if (step := _step_of_stack(placed)) is not None), default=None)


def _step_of_stack(placed: Sequence[tuple[Affine, Int3]]) -> float | None:
    if len(placed) < 2 or not is_flat(shape for _, shape in placed):
        return None
    depths = np.array([affine.offset[0] for affine, _ in placed])
    least = _TOLERANCE * float(np.ptp(depths))
    if not least:
        return None
    found = min(float(apart[apart > least].min(initial=np.inf)) for apart in _depths_over_one_another(placed))
    return round(found, _DIGITS) if np.isfinite(found) else None


def _depths_over_one_another(placed: Sequence[tuple[Affine, Int3]]) -> Iterator[NDArray[np.float64]]:
    """Yield how far along z the planes are that lie over one, for some of them."""
    depths = np.array([affine.offset[0] for affine, _ in placed])
    bounds = np.array([affine.bounds((0, 0, 0), (0, y - 1, x - 1)) for affine, (_, y, x) in placed])[:, :, 1:]
    pixels = np.array([affine.column_lengths[1:] for affine, _ in placed])
    sizes = bounds[:, 1] - bounds[:, 0] + pixels
    for one in np.unique(np.linspace(0, len(bounds) - 1, _LOOKED_AT).astype(int)).tolist():
        common = np.minimum(bounds[one, 1], bounds[:, 1]) - np.maximum(bounds[one, 0], bounds[:, 0]) + pixels[one]
        share = np.clip(common, 0, None).prod(axis=1) / np.minimum(sizes[one].prod(), sizes.prod(axis=1))
        yield np.abs(depths - depths[one])[share > _STACKED]


def gap_of_planes(placed: Sequence[tuple[Affine, Int3]]) -> str | None:
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
        f"(world pixels; {counted(wide.size, 'such gap')}), the result is black there, as a plane is {step:.6g} thick; "
        "give the step between planes as the z scale of their affine, or one z to tiles of one plane"
    )


def shows_one_plane(placed: Sequence[tuple[Affine, Int3]], numerics: Numerics, warnings: list[str]) -> bool:
    """Whether views show one plane: those that lie over one another at several depths are a volume.

    Tiles beside one another are a mosaic, whatever their depths are, and everything is one for BigStitcher.

    Parameters
    ----------
    placed : sequence of (pixel_to_world, shape)
    numerics : {"exact", "bigstitcher"}
    warnings : list of str
        What should be said of planes at several depths is added.
    """
    if not is_flat(shape for _, shape in placed):
        return False
    depths, step = plane_depths(placed)
    if at_one_depth(placed):
        if np.ptp(depths) >= step / 2:
            warnings.append(
                f"the views have one plane each, beside one another, at z {depths.min():.6g} to {depths.max():.6g} "
                "(world pixels): they are fused as one plane, their z is not used; give them one z"
            )
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
