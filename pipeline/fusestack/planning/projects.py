"""Which setups the project beside an image has."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from fusestack.project.append import AppendedProject
from fusestack.project.model import Setup
from fusestack.project.write import FusedImage, FusedProject, StoredAt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fusestack.model.geometry import Affine
    from fusestack.model.image import Channel, ImageSpec
    from fusestack.planning.plan import PlannedImage


def setup_of(spec: ImageSpec, number: int, channel: Channel, name: str = "") -> Setup:
    """Setup of a channel of an image, which has the pixels and the voxel size of the image."""
    z, y, x = spec.shape[2:]
    return Setup(
        id=number,
        name=name or channel.name,
        shape=(z, y, x),
        voxel_size=spec.pixel_size,
        unit=spec.unit or "px",
        channel=channel.id,
        channel_name=channel.name,
        channel_color=channel.color,
    )


def setups_by_channel(spec: ImageSpec, pixel_to_world: Affine) -> tuple[FusedImage, ...]:
    """A setup for each channel of an image, at all its timepoints."""
    return tuple(
        FusedImage(
            setup_of(spec, number, channel),
            spec.timepoints,
            pixel_to_world,
            tuple(StoredAt(spec.path, number, t) for t in range(len(spec.timepoints))),
        )
        for number, channel in enumerate(spec.channels)
    )


def project_of(images: Iterable[PlannedImage]) -> FusedProject | AppendedProject:
    """The project of all images that name the same one, which are one setup where they have the same."""
    images = tuple(images)
    path, file_format = images[0].project, images[0].file_format
    if path is None:
        raise ValueError(f"{images[0].title} has no project")
    found: dict[int, FusedImage] = {}
    for one in (one for image in images for one in image.setups):
        before = found.get(one.setup.id)
        if before is not None:
            times, stored = (*before.timepoints, *one.timepoints), (*before.stored, *one.stored)
            order = sorted(range(len(times)), key=times.__getitem__)
            one = replace(before, timepoints=tuple(times[n] for n in order), stored=tuple(stored[n] for n in order))
        found[one.setup.id] = one
    if images[0].appended is not None:
        return AppendedProject(path, *images[0].appended, tuple(found.values()))
    containers = {image.container or image.target.image.path for image in images}
    partitions = () if images[0].container else images[0].target.image.partitions
    return FusedProject(path, _common(containers), tuple(found.values()), file_format, partitions)


def _common(containers: set[str]) -> str:
    """The container, or the folder that holds all of them."""
    if len(containers) == 1:
        return next(iter(containers))
    folders = [path.split("/")[:-1] for path in sorted(containers)]
    shared = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False))
    return "/".join(names[0] for names in shared)
