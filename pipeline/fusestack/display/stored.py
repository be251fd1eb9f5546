"""Images that are stored, as a viewer asks for them: outputs of any program, and the views of a fusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fusestack.display.served import ServedImage, ServedLevel, settled, with_levels
from fusestack.fusion.groups import channels_of
from fusestack.fusion.placement import level_to_pixel
from fusestack.fusion.sampling import calibration, in_one_unit
from fusestack.model.geometry import Affine, float3
from fusestack.sources.base import open_source

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box, Int3
    from fusestack.model.image import Channel
    from fusestack.model.view import SourceLevel, SourceRef, View


@dataclass(frozen=True)
class StoredPixels:
    """Pixels of files, one 3-D image for each timepoint and channel.

    Parameters
    ----------
    sources : mapping of (int, int) to SourceRef
        By timepoint and channel, counted; where there is none, nothing is shown.
    """

    sources: Mapping[tuple[int, int], SourceRef]

    def read(self, level: int, t: int, c: int, box: Box) -> NDArray[Any] | None:
        """Read a region z, y, x of a level."""
        found = self.sources.get((t, c))
        return None if found is None else open_source(found).read(level, box)


def stored_image(path: str) -> ServedImage:
    """An image of a file or folder, of any format that `fuse` takes: OME-Zarr, TIFF, files of microscopes.

    Raises
    ------
    InputError
        If it is missing, unreadable, or of a kind that is not read.
    """
    from fusestack.fusion.tiles import project_of_tiles

    views = project_of_tiles(path).views
    channels = channels_of(views)
    times = sorted({view.id.timepoint for view in views})
    numbers = {channel.id: number for number, channel in enumerate(channels)}
    sources = {(times.index(view.id.timepoint), numbers[view.channel]): view.source for view in views}
    name = path.rstrip("/").rpartition("/")[2]
    return _served(name, views[0], sources, channels, len(times), World.of(views))


@dataclass(frozen=True)
class World:
    """How world pixels become places.

    Parameters
    ----------
    to_place : Affine
        World pixel to place in `unit`.
    unit : str or None
    """

    to_place: Affine
    unit: str | None

    @classmethod
    def of(cls, views: Sequence[View]) -> World:
        """That of views of one unit, as their fused image has it."""
        size, unit = calibration(views, [])
        return cls(Affine.translation(views[0].world_origin) @ Affine.scaling(size), unit)


@dataclass(frozen=True)
class Outline:
    """Where an input lies: its name, its shape (z, y, x), and where its pixels are in the world."""

    name: str
    shape: Int3
    pixel_to_place: Affine


def inputs_of(
    views: Sequence[View], most: int, wanted: Collection[int] | None = None
) -> tuple[list[ServedImage], list[Outline]]:
    """The inputs of a fusion, and where they lie: one for each setup, where it is first registered.

    Parameters
    ----------
    views : sequence of View
        Those that are fused.
    most : int
        Images that are made; there may be more outlines.
    wanted : collection of int, optional
        Setups that become images; without it the first ones.
    """
    views = in_one_unit(views)
    times = sorted({view.id.timepoint for view in views})
    world = World.of(views)
    setups: dict[int, list[View]] = {}
    for view in views:
        setups.setdefault(view.id.setup, []).append(view)
    images: list[ServedImage] = []
    outlines: list[Outline] = []
    for setup, members in setups.items():
        first, name = members[0], " ".join(["input", str(setup), members[0].name]).strip()
        shape = first.shape or _levels(first)[0].shape  # twenty thousand files are not opened for it
        outlines.append(Outline(name, shape, world.to_place @ first.pixel_to_world))
        if len(images) < most and (wanted is None or setup in wanted):
            sources = {(times.index(view.id.timepoint), 0): view.source for view in members}
            images.append(_served(name, first, sources, channels_of(members), len(times), world, kind="input"))
    return images, outlines


def _levels(view: View) -> tuple[SourceLevel, ...]:
    return view.pixels.levels if view.pixels is not None else open_source(view.source).levels


def _served(
    name: str,
    view: View,
    sources: Mapping[tuple[int, int], SourceRef],
    channels: tuple[Channel, ...],
    times: int,
    world: World,
    kind: Literal["image", "input"] = "image",
) -> ServedImage:
    """An image that is placed in the world."""
    levels = []
    for level in _levels(view):
        place = level_to_pixel(level.factors)
        levels.append(ServedLevel(level.shape, float3(np.diagonal(place.linear)), float3(place.offset)))
    image = ServedImage(
        name=name,
        dtype=view.pixels.dtype if view.pixels is not None else open_source(view.source).dtype.name,
        levels=tuple(levels),
        channels=channels,
        times=times,
        unit=world.unit,
        pixels=StoredPixels(sources),
        kind=kind,
        shown=kind == "image",
        to_world=world.to_place @ view.pixel_to_world,
    )
    return with_levels(settled(image))
