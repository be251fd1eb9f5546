"""Setups of the projects beside fused images, by what was fused into one image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fusestack.planning.projects import setup_of
from fusestack.project.write import FusedImage, StoredAt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.fusion.design import DesignedImage
    from fusestack.fusion.groups import Group
    from fusestack.model.image import ImageSpec
    from fusestack.project.model import Setup


def numbers_of(images: Sequence[DesignedImage], group_by: str) -> dict[tuple[int, ...], int]:
    """Number of the setup of every group, from 0 without gaps: readers count them."""
    keys = sorted({_key(group, group_by) for image in images for group in image.groups})
    return {key: number for number, key in enumerate(keys)}


def setups_of(
    fused: DesignedImage, spec: ImageSpec, group_by: str, numbers: Mapping[tuple[int, ...], int]
) -> tuple[FusedImage, ...]:
    """Setups of a fused image, each at the timepoints at which it has views.

    Parameters
    ----------
    fused : DesignedImage
    spec : ImageSpec
        What is written of it.
    group_by : str
        As in the configuration.
    numbers : mapping
        Of `numbers_of`.

    Notes
    -----
    Names and attributes are those of BigStitcher's exports (``ExportSpimData2HDF5``): of a channel its name; of a
    channel and an illumination both; "Fused"; those of the view.
    """
    members: dict[int, list[Group]] = {}
    for group in sorted(fused.groups, key=lambda group: group.timepoint):
        members.setdefault(numbers[_key(group, group_by)], []).append(group)
    channels = {channel.id: number for number, channel in enumerate(spec.channels)}
    return tuple(
        FusedImage(
            _setup(spec, number, groups[0], group_by),
            tuple(group.timepoint for group in groups),
            fused.frame.output_to_world,
            tuple(
                StoredAt(spec.path, channels[group.views[0].channel], spec.timepoints.index(group.timepoint))
                for group in groups
            ),
        )
        for number, groups in sorted(members.items())
    )


def _key(group: Group, group_by: str) -> tuple[int, ...]:
    """What the groups of one setup have in common."""
    view = group.views[0]
    match group_by:
        case "timepoint_channel":
            return (view.channel,)
        case "timepoint_channel_illumination":
            return (view.channel, view.illumination)
        case "view":
            return (view.id.setup,)
        case _:
            return ()


def _setup(spec: ImageSpec, number: int, group: Group, group_by: str) -> Setup:
    view = group.views[0]
    channel = next(channel for channel in spec.channels if channel.id == view.channel)
    made = setup_of(spec, number, channel)
    match group_by:
        case "timepoint_channel_illumination":
            return replace(made, name=f"{channel.name}_{view.illumination}", illumination=view.illumination)
        case "view":
            named = replace(made, name=view.name or channel.name)
            return replace(named, illumination=view.illumination, angle=view.angle, tile=view.tile)
        case "all":
            return replace(made, name="Fused")
        case _:
            return made
