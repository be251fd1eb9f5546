"""What people hold in their hands as views: arrays, labelled images, layers and paths, placed in the world."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.fusion.array_tiles import Tile, lazy_array, sources_of, spatial_shape
from fusestack.fusion.labelled import labelled_tile, tree_tile
from fusestack.fusion.layers import is_layer, layer_tile
from fusestack.fusion.stored_tiles import file_tile, group_tile, zarr_tile
from fusestack.fusion.tile_arguments import collected, with_affines, with_positions, with_voxel_size
from fusestack.fusion.tile_world import project_in_world, with_steps_of_planes
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.geometry import Affine
from fusestack.model.units import common_unit, length_factor
from fusestack.model.view import View
from fusestack.project.model import check_registration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.project.model import Project


def project_of_tiles(
    tiles: Any,
    *,
    positions: Any = None,
    affines: Any = None,
    voxel_size: Any = None,
    unit: str | None = None,
) -> Project:
    """Project of tiles that people hold in their hands; reads no pixel of files and computes none of lazy arrays.

    Parameters
    ----------
    tiles : tile or sequence of tiles
        Each of them one of

        * a NumPy or dask array ``[z, y, x]``, or ``[y, x]`` for one plane; NumPy arrays are not copied: change them
          after the fused image is computed;
        * a ``zarr.Array`` or ``zarr.Group`` (an OME-Zarr image); without dimension names, the last ones of t, c, z,
          y, x;
        * an ``xarray.DataArray`` with dimensions out of t, c, z, y, x in any order; coordinates along z, y, x are pixel
          centres in world units, those along c names of channels, those along t, if they are whole numbers, timepoint
          ids. Transforms of multiview-stitcher are used;
        * an ``xarray.DataTree`` with nodes ``scale0``, ``scale1`` ... (multiscale-spatial-image, multiview-stitcher);
        * a path or an address of an OME-Zarr image or a TIFF file, whose place, size of pixels, unit, channels and
          timepoints are used; of a file of a microscope, whose place is not read;
        * a layer of napari, or ``(data, metadata)``, or ``(data, metadata, "image")``.
    positions : sequence of (mapping or sequence of float), optional
        For each tile, the centre of its first pixel in world units: ``{"z": 0, "y": 10, "x": 5.5}``, or numbers in
        the order z, y, x (y, x for planes that lie at one depth). Planes at several depths are a volume; without a
        size along z they are as thick as the nearest two are apart.
    affines : sequence of array, optional
        For each tile, pixel to world units: ``float[3, 4]`` or ``float[4, 4]``, rows and columns in the order z, y, x
        (``float[2, 3]`` or ``float[3, 3]``, y, x for planes). The size of a pixel is in it.
    voxel_size : float, mapping or sequence of float, optional
        Size of a pixel in world units: one number for all axes, ``{"z": 2, "y": 0.5, "x": 0.5}``, or numbers in the
        order z, y, x (y, x for planes). Of all tiles; 1 where nobody says it.
    unit : str, optional
        Of the world: "micrometer".

    Returns
    -------
    Project
        Tiles are numbered from 0; setups count the channels of tile 0, then those of tile 1. Channels of one name are
        one channel, channels without a name are counted.

    Raises
    ------
    ConfigError
        If `positions`, `affines`, `voxel_size` or `unit` are wrong or contradict one another.
    InputError
        If a tile cannot be used, or its place is unknown; all problems at once.

    Warns
    -----
    UserWarning
        If an argument contradicts what a tile says (the argument is used), or something of a tile is not used.

    Notes
    -----
    *World pixels.* A world pixel is along each axis the finest step of any tile: what one has to go along the axis to
    cross one pixel of it. World pixels are counted from a point near 0 that puts the pixels of tile 0 on whole
    numbers. So a fused image has coordinates in world units, is as fine as the finest tile, and a tile alone that is
    not turned comes back pixel for pixel. ``bounding_box`` counts these world pixels; leave ``preserve_anisotropy``
    off, since they are as long along z as those of the tiles already.

    Examples
    --------
    >>> import numpy as np
    >>> tile = np.zeros((8, 32, 32), np.uint16)
    >>> project = project_of_tiles(
    ...     [tile, tile], positions=[(0, 0, 0), (0, 0, 12.5)], voxel_size={"z": 2, "y": 0.5, "x": 0.5}, unit="um"
    ... )
    >>> [view.pixel_to_world.offset.tolist() for view in project.views]
    [[0.0, 0.0, 0.0], [0.0, 0.0, 25.0]]
    """
    held = _listed(tiles)
    if unit is not None and (not isinstance(unit, str) or not unit.strip()):
        raise ConfigError(f"unit= is {unit!r}; give its name, such as 'micrometer'")
    if affines is not None and (positions is not None or voxel_size is not None):
        other = "positions=" if positions is not None else "voxel_size="
        raise ConfigError(
            f"affines= and {other} were given, affines say where and how large pixels are; leave one away"
        )
    make = functools.partial(_tile, transformed=affines is None)
    found = collected(make, [(f"tile {i}", tile) for i, tile in enumerate(held)])
    _check_together(found)
    if unit is None:
        found = _in_one_unit(found)
    else:
        found = [_converted(tile, length_factor(tile.unit, unit) if tile.unit else None, unit) for tile in found]
    if affines is not None:
        found = with_affines(found, affines)
    if voxel_size is not None:
        found = with_voxel_size(found, voxel_size)
    if positions is not None:
        found = with_positions(found, positions)
    _check_placed(found, given=positions is not None or affines is not None)
    if affines is None:
        found = with_steps_of_planes(found)
    return project_in_world(found, _unit(found, unit))


def _listed(tiles: Any) -> list[Any]:
    """The tiles of an argument that may be one."""
    if tiles is None:
        raise InputError("tiles: None was given; give an array, or a list of arrays")
    kinds = (str, bytes, Path, Mapping, np.ndarray)
    alone = isinstance(tiles, kinds) or is_layer(tiles) or hasattr(tiles, "dtype") or hasattr(tiles, "attrs")
    if alone or not isinstance(tiles, Iterable):
        return [tiles]
    listed = list(tiles)
    if not listed:
        raise InputError("tiles: the list is empty; give at least one array")
    return listed


def _tile(label: str, held: Any, *, transformed: bool) -> Tile:
    import dask.array
    import xarray
    import zarr

    if isinstance(held, (str, Path)):
        return file_tile(label, held)
    if is_layer(held):
        return layer_tile(label, held)
    if isinstance(held, xarray.DataTree):
        return tree_tile(label, held, transformed=transformed)
    if isinstance(held, xarray.DataArray):
        return labelled_tile(label, held, transformed=transformed)
    if isinstance(held, zarr.Array):
        return zarr_tile(label, held)
    if isinstance(held, zarr.Group):
        return group_tile(label, held)
    if isinstance(held, (np.ndarray, dask.array.Array)):
        return _array_tile(label, held)
    raise InputError(f"{label}: {_what_it_is(held)}")


def _what_it_is(held: Any) -> str:
    """What somebody holds that is no tile, and what to do."""
    import xarray

    if isinstance(held, View):
        return "is a view; views are fused among themselves: give a list of views, or none"
    if isinstance(held, (list, tuple)):
        return "is a list; give one array per tile: numpy.stack(tile) makes one of its planes"
    if isinstance(held, xarray.Dataset):
        names = ", ".join(repr(name) for name in held.data_vars) or "none"
        return f"is a Dataset; give one of its variables ({names}): tile['name']"
    if isinstance(held, Mapping):
        return "is a mapping; give its values: list(tiles.values())"
    if held is None:
        return "is None; leave it out"
    kind = type(held).__name__
    return f"is of type {kind}, not an image; convert it: numpy.asarray(tile), or dask.array.from_array(tile)"


def _array_tile(label: str, held: Any) -> Tile:
    if held.ndim not in (2, 3):
        way_out = (
            "name them: xarray.DataArray(tile, dims=('c', 'z', 'y', 'x')), or give a list of its parts: list(tile)"
            if held.ndim > 3
            else "give an array [z, y, x], or [y, x] for one plane"
        )
        raise InputError(f"{label}: has {held.ndim} dimensions, shape {held.shape}, and no names of them; {way_out}")
    array, axes = lazy_array(label, held), "zyx"[-held.ndim :]
    return Tile(
        label,
        label,
        spatial_shape(held.shape, axes),
        array.dtype.name,
        sources_of(label, [array], axes, [(1.0, 1.0, 1.0)]),
        (Affine.identity(),),
        plane=held.ndim == 2,
    )


def _check_together(tiles: Sequence[Tile]) -> None:
    """Refuse planes among stacks; say where timepoints are not the same."""
    planes = [tile for tile in tiles if tile.plane]
    stacks = [tile for tile in tiles if tile.shape[0] > 1]
    if planes and stacks:
        raise InputError(
            f"{planes[0].label} is a plane [y, x] and {stacks[0].label} a stack [z, y, x]; "
            "give planes an axis z of length 1 and their place along it: tile[numpy.newaxis]"
        )
    most = max(tiles, key=lambda tile: len(tile.timepoints))
    if fewer := [tile for tile in tiles if tile.timepoints != most.timepoints]:
        warnings.warn(
            f"{fewer[0].label} has timepoints {_few(fewer[0].timepoints)}, {most.label} {_few(most.timepoints)}: "
            "images of the others lack it",
            stacklevel=3,
        )


def _few(numbers: Sequence[int]) -> str:
    return ", ".join(str(n) for n in numbers[:4]) + (f" ... {numbers[-1]}" if len(numbers) > 4 else "")


def _check_placed(tiles: Sequence[Tile], *, given: bool) -> None:
    """Refuse several tiles that do not say where they are, and places that cannot be."""
    lost = [tile for tile in tiles if not tile.placed]
    alone = len(lost) == 1 and lost[0].at_zero
    if len(tiles) > 1 and lost and not given and not alone:
        raise InputError(
            f"{lost[0].label} does not say where it is{_nor(len(lost) - 1)}: "
            "they would all lie on top of one another; give positions= (z, y, x of the first pixel, in world units), "
            "affines=, or coordinates (xarray.DataArray)"
        )
    problems = []
    for tile in tiles:
        try:
            for place in tile.pixel_to_unit:
                check_registration(place)
        except ValueError as error:
            problems.append(f"{tile.label}: {str(error).replace('registration', 'affine')}; correct it")
    if problems:
        raise InputError(*problems)


def _in_one_unit(tiles: Sequence[Tile]) -> list[Tile]:
    """Tiles whose places and sizes are in the unit of the first one that has one.

    Raises
    ------
    InputError
        If units cannot be converted into one another.
    """
    unit, factors = common_unit({tile.label: tile.unit for tile in tiles if tile.unit})
    untold = [tile.label for tile in tiles if not tile.unit and (tile.placed or any(tile.sizes))]
    if unit is not None and untold:
        more = f" and {len(untold) - 1} more" if untold[1:] else ""
        warnings.warn(
            f"{untold[0]}{more}: without a unit, numbers are taken for {unit} as those of others; unit= says otherwise",
            stacklevel=3,
        )
    return [_converted(tile, factors.get(tile.label), unit) for tile in tiles]


def _converted(tile: Tile, factor: float | None, unit: str | None) -> Tile:
    """Tile in another unit; as it is where there is no factor, or nothing to convert."""
    if factor is None or factor == 1.0:
        return tile
    z, y, x = (None if size is None else size * factor for size in tile.sizes)
    change = Affine.scaling((factor,) * 3)
    return replace(
        tile, pixel_to_unit=tuple(change @ place for place in tile.pixel_to_unit), sizes=(z, y, x), unit=unit
    )


def _unit(tiles: Sequence[Tile], given: str | None) -> str | None:
    """The unit of the world."""
    written = {tile.unit: tile.label for tile in reversed(tiles) if tile.unit}
    if given is not None:
        others = [f"{label}: {unit}" for unit, label in written.items() if length_factor(unit, given) is None]
        if others:
            warnings.warn(f"tiles say another unit ({', '.join(others)}); unit= is used: {given}", stacklevel=4)
        return given
    return next(iter(written), None)


def _nor(others: int) -> str:
    return "" if not others else ", nor does another one" if others == 1 else f", nor do {others:,} others"
