"""Colours and contrast of the projects that are written, for BigDataViewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.model.geometry import Box
from fusestack.project.settings import Shade, has_settings, may_write_settings, write_settings
from fusestack.project.write import FusedProject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.stage import Target
    from fusestack.project.append import AppendedProject

_SAMPLE = (4, 512, 512)
_WHITE = "FFFFFF"


def write_with_settings(project: FusedProject | AppendedProject, targets: Sequence[Target]) -> None:
    """Write a project whose pixels are all there, and the colours and the contrast of its images.

    Settings of a new project are written before it, but not where all of it is white, which BigDataViewer shows by
    itself, nor over settings of somebody else. To those of a project to which images are added, these are added, after
    the project: until then, they fit it as it was.

    Parameters
    ----------
    project : FusedProject or AppendedProject
    targets : sequence of Target
        The images that it holds.

    Raises
    ------
    OutputError
        If pixels cannot be read back, or a file cannot be written.
    """
    if isinstance(project, FusedProject):
        colors = {image.setup.channel_color or _WHITE for image in project.images}
        if colors - {_WHITE} and may_write_settings(project.path):
            write_settings(project.path, _shades(project, targets))
        project.write()
    else:
        project.write()
        if has_settings(project.path):
            project.add_to_settings(_shades(project, targets))


def _shades(project: FusedProject | AppendedProject, targets: Sequence[Target]) -> dict[int, Shade]:
    """By setup: colour, and contrast by the middle of the coarsest level of its first view."""
    from fusestack.writers.contrast import data_window

    by_path = {target.image.path: target for target in targets}
    shades = {}
    for image in project.images:
        at, setup = image.stored[0], image.setup
        target = by_path[at.path]
        spec, number = target.image, len(target.image.levels) - 1
        shape = spec.levels[number].shape[2:]
        start = tuple(max(0, (n - side) // 2) for n, side in zip(shape, _SAMPLE, strict=True))
        stop = tuple(min(n, a + side) for n, a, side in zip(shape, start, _SAMPLE, strict=True))
        place = at.timepoint, at.channel
        pixels = target.open().read(number, Box((*place, *start), (*(n + 1 for n in place), *stop)))
        window = data_window(spec.dtype, pixels, spec.fill)
        limits = window["min"], window["max"]
        shades[setup.id] = Shade(setup.channel, setup.channel_color or _WHITE, window["start"], window["end"], limits)
    return shades
