"""Colours and contrast of the projects that are written, for BigDataViewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.geometry import Box
from fusestack.project.settings import Shade, may_write_settings, write_settings
from fusestack.project.write import FusedProject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.stage import Target
    from fusestack.project.append import AppendedProject
    from fusestack.project.write import StoredAt

_SAMPLE = (4, 512, 512)
_PERCENTILES = (0.1, 99.9)
_WHITE = "FFFFFF"


def keep_colors(project: FusedProject | AppendedProject, targets: Sequence[Target]) -> None:
    """Write the colours and the contrast of a new project whose pixels are all there.

    Not where all of it is white, which BigDataViewer shows by itself, nor over settings of somebody else.

    Parameters
    ----------
    project : FusedProject or AppendedProject
    targets : sequence of Target
        The images that it holds.

    Raises
    ------
    OutputError
        If pixels cannot be read back, or the file cannot be written.
    """
    if not isinstance(project, FusedProject):
        return
    setups = [image.setup for image in project.images]
    if not {setup.channel_color or _WHITE for setup in setups} - {_WHITE} or not may_write_settings(project.path):
        return
    by_path = {target.image.path: target for target in targets}
    shades = {}
    for image in project.images:
        at, setup = image.stored[0], image.setup
        limits, low, high = _contrast(by_path[at.path], at)
        shades[setup.id] = Shade(setup.channel, setup.channel_color or _WHITE, low, high, limits)
    write_settings(project.path, shades)


def _contrast(target: Target, at: StoredAt) -> tuple[tuple[float, float], float, float]:
    """Range of the pixel type, and the 0.1 and 99.9 percentile of the middle of the coarsest level of a view."""
    dtype, number = np.dtype(target.image.dtype), len(target.image.levels) - 1
    shape = target.image.levels[number].shape[2:]
    start = tuple(max(0, (n - side) // 2) for n, side in zip(shape, _SAMPLE, strict=True))
    stop = tuple(min(n, a + side) for n, a, side in zip(shape, start, _SAMPLE, strict=True))
    place = at.timepoint, at.channel
    pixels = target.open().read(number, Box((*place, *start), (*(n + 1 for n in place), *stop)))
    values = pixels[np.isfinite(pixels) & (pixels != target.image.fill)]
    if dtype.kind == "f":
        limits = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    else:
        limits = (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))
    if not values.size:
        return limits, *limits
    low, high = (float(v) for v in np.percentile(values, _PERCENTILES, method="nearest"))
    if high <= low:  # viewers divide by the difference
        low, high = min(low, limits[1] - 1), min(low, limits[1] - 1) + 1
    return (min(limits[0], low), max(limits[1], high)), low, high
