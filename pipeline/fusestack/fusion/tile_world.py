"""Placed tiles as the views of a project: the world pixels that they share."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fusestack.fusion.frame import steps
from fusestack.fusion.planes import at_one_depth, is_flat, step_of_stacks
from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine, float3
from fusestack.project.model import Project, Setup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.array_tiles import Tile
    from fusestack.model.geometry import Float3, Int3
    from fusestack.model.view import View

_DIGITS = 9
"""Decimals of places in world pixels: sums of rounded decimals are whole pixels again."""


@dataclass(frozen=True)
class World:
    """World pixels: their size, and the point that lies on whole numbers of them.

    Parameters
    ----------
    step : float64[3]
        Size of a world pixel along z, y, x, in units.
    anchor : float64[3]
        Point in units.
    number : float64[3]
        World pixel of the anchor.
    """

    step: NDArray[np.float64]
    anchor: NDArray[np.float64]
    number: NDArray[np.float64]

    @classmethod
    def of(cls, tiles: Sequence[Tile]) -> World:
        """World of tiles: their finest step, and tile 0 on whole pixels."""
        step = np.min([steps(place.linear) for tile in tiles for place in tile.pixel_to_unit], axis=0)
        anchor = tiles[0].pixel_to_unit[0].offset
        number = np.floor(anchor / step + 0.5)
        placed = [(place, tile.shape) for tile in tiles for place in tile.pixel_to_unit]
        if is_flat(shape for _, shape in placed) and at_one_depth(placed):
            number[0] = 0  # the grid of one plane has no z
        return cls(step, anchor, number)

    @property
    def origin(self) -> Float3:
        """World pixel 0 in units."""
        return float3(self.anchor - self.number * self.step)

    def from_pixel(self, place: Affine) -> Affine:
        """Pixel to world pixels of a tile."""
        linear = np.round(place.linear / self.step[:, np.newaxis], _DIGITS + 3)
        return Affine(linear, np.round((place.offset - self.anchor) / self.step + self.number, _DIGITS))

    def voxel_size(self, pixel_to_world: Affine) -> Float3:
        """Size of a tile's pixels, in units."""
        return float3(pixel_to_world.column_lengths * self.step)


def with_steps_of_planes(tiles: Sequence[Tile]) -> list[Tile]:
    """Tiles of one plane at several depths, as thick as planes of a stack are apart where nobody says how thick."""
    stacks: dict[object, list[tuple[Affine, Int3]]] = defaultdict(list)
    for tile in tiles:
        for timepoint, place in zip(tile.timepoints, tile.pixel_to_unit, strict=True):
            stacks[tile.channels, timepoint].append((place, tile.shape))
    step = None if any(tile.sizes[0] for tile in tiles) else step_of_stacks(stacks.values())
    if step is None:
        return list(tiles)
    change = Affine.scaling((step, 1, 1)).linear
    return [
        replace(tile, pixel_to_unit=tuple(Affine(place.linear @ change, place.offset) for place in tile.pixel_to_unit))
        for tile in tiles
    ]


def project_in_world(tiles: Sequence[Tile], unit: str | None) -> Project:
    """Views of placed tiles, see `fusestack.fusion.tiles.project_of_tiles`."""
    world = World.of(tiles)
    names = _channel_names(tiles)
    setups: dict[int, Setup] = {}
    views: list[View] = []
    for number, tile in enumerate(tiles):
        places = [world.from_pixel(place) for place in tile.pixel_to_unit]
        for c, channel in enumerate(tile.channels):
            found = c if channel is None else names.index(channel)
            setup = Setup(
                id=len(setups),
                name=tile.name,
                shape=tile.shape,
                voxel_size=world.voxel_size(places[0]),
                unit=unit,
                channel=found,
                tile=number,
                channel_name=names[found],
                channel_color=(tile.colors[c] or "") if tile.colors else "",
            )
            setups[setup.id] = setup
            views += [
                replace(
                    setup.view(timepoint, place, sources[c]),
                    voxel_size=world.voxel_size(place),
                    world_origin=world.origin,
                    world_pixel=float3(world.step),
                    pixels=tile.pixels,
                    time=tile.time,
                )
                for timepoint, place, sources in zip(tile.timepoints, places, tile.sources, strict=True)
            ]
    return Project(
        path="tiles",
        loader="tiles",
        views=tuple(sorted(views, key=lambda view: view.id)),
        timepoints=tuple(sorted({view.id.timepoint for view in views})),
        setups=setups,
    )


def _channel_names(tiles: Sequence[Tile]) -> list[str]:
    """Channels in the order in which they appear; those without a name are the first ones, whatever they are called.

    Raises
    ------
    InputError
        If two channels of a tile have one name: they would be mixed.
    """
    for tile in tiles:
        own = [name for name in tile.channels if name is not None]
        if twice := sorted({name for name in own if own.count(name) > 1}):
            raise InputError(
                f"{tile.label}: {own.count(twice[0])} of its channels are called {twice[0]!r}, and channels of one "
                "name are one channel; name them apart: tile.assign_coords(c=['a', 'b'])"
            )
    named = list(dict.fromkeys(name for tile in tiles for name in tile.channels if name is not None))
    counted = max((len(tile.channels) for tile in tiles if None in tile.channels), default=0)
    if counted and named[:counted] != [str(c) for c in range(len(named[:counted]))]:
        unnamed = next(tile for tile in tiles if None in tile.channels)
        warnings.warn(
            f"channels of {unnamed.label} have no names; they are taken for the first ones of {', '.join(named)}",
            stacklevel=4,
        )
    return named + [str(c) for c in range(len(named), counted)]
