"""Where tiles are and how large their pixels are, as people say it in arguments, instead of what tiles say."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.fusion.labelled import matrix_affine
from fusestack.model.errors import ConfigError, FusestackError
from fusestack.model.geometry import Affine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fusestack.fusion.array_tiles import Tile
    from fusestack.model.geometry import Float3

_SAME = 1e-6  # of a pixel
_SHAPES = {"positions": ((2,), (3,)), "affines": ((2, 3), (3, 3), (3, 4), (4, 4))}
"""Of one value."""


def collected(make: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Results of calls; the problems of all that fail at once.

    Raises
    ------
    FusestackError
        Of the class of the last problem.
    """
    made: list[Any] = []
    problems: list[str] = []
    for call in calls:
        try:
            made.append(make(*call))
        except FusestackError as error:
            kind, problems = type(error), [*problems, *error.problems]
    if problems:
        raise kind(*problems)
    return made


def with_affines(tiles: Sequence[Tile], affines: Any) -> list[Tile]:
    """Put tiles where matrices say, ``float[3, 4]`` or ``float[4, 4]`` in z, y, x each, pixel to world units.

    Raises
    ------
    ConfigError
        If there is not one for each tile, or one is no affine.
    """
    listed = _one_each("affines", affines, len(tiles))

    def placed(tile: Tile, given: Any) -> Tile:
        matrix = _matrix(f"affines: that of {tile.label}", given, plane=tile.plane)
        return replace(tile, pixel_to_unit=(matrix,) * len(tile.timepoints), placed=True)

    moved: list[Tile] = collected(placed, list(zip(tiles, listed, strict=True)))
    _say_contradictions("affines", _moved(tiles, moved))
    return moved


def _matrix(where: str, given: Any, *, plane: bool) -> Affine:
    shapes = ((2, 3), (3, 3), (3, 4), (4, 4)) if plane else ((3, 4), (4, 4))
    if isinstance(given, Affine):
        return given
    try:
        matrix = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{where} is {given!r}, no matrix of numbers; give 3 x 4 numbers, z, y, x") from None
    if matrix.shape not in shapes:
        wanted = " or ".join(f"{a} x {b}" for a, b in shapes)
        raise ConfigError(f"{where} has the shape {matrix.shape}; give {wanted} numbers, rows and columns z, y, x")
    last = [0.0] * (matrix.shape[1] - 1) + [1.0]
    if len(matrix) == matrix.shape[1] and matrix[-1].tolist() != last:
        raise ConfigError(f"{where} ends with the row {matrix[-1].tolist()}, not {last}; transpose it, or mend it")
    return matrix_affine(matrix)


def with_voxel_size(tiles: Sequence[Tile], voxel_size: Any) -> list[Tile]:
    """Give the pixels of all tiles one size: a number, a mapping of axes, or numbers z, y, x.

    Raises
    ------
    ConfigError
        If it is none of them, or not above 0.
    """

    def sized(tile: Tile) -> Tile:
        wanted = _by_axis("voxel_size", voxel_size, plane=tile.plane, alone=True)
        if min(wanted) <= 0:
            raise ConfigError(f"voxel_size: {voxel_size!r} is not above 0 along every axis; give the size of a pixel")
        change = Affine.scaling([new / (old or 1.0) for new, old in zip(wanted, tile.sizes, strict=True)])
        moved = tuple(Affine(place.linear @ change.linear, place.offset) for place in tile.pixel_to_unit)
        return replace(tile, pixel_to_unit=moved, sizes=wanted)

    sized_tiles = [sized(tile) for tile in tiles]
    differing = [
        old
        for old, new in zip(tiles, sized_tiles, strict=True)
        if any(o is not None and abs(o - (n or 0)) > _SAME * o for o, n in zip(old.sizes, new.sizes, strict=True))
    ]
    _say_contradictions("voxel_size", differing)
    return sized_tiles


def with_positions(tiles: Sequence[Tile], positions: Any) -> list[Tile]:
    """Put the centre of each tile's first pixel where mappings of axes, or numbers z, y, x, say.

    Raises
    ------
    ConfigError
        If there is not one for each tile, or one has not all axes.
    """
    listed = _one_each("positions", positions, len(tiles))

    def placed(tile: Tile, given: Any) -> Tile:
        place = _by_axis(f"positions: that of {tile.label}", given, plane=tile.plane)
        return replace(
            tile, pixel_to_unit=tuple(Affine(a.linear, np.array(place)) for a in tile.pixel_to_unit), placed=True
        )

    moved: list[Tile] = collected(placed, list(zip(tiles, listed, strict=True)))
    _say_contradictions("positions", _moved(tiles, moved))
    return moved


def _moved(tiles: Sequence[Tile], others: Sequence[Tile]) -> list[Tile]:
    """Tiles that said that they are elsewhere."""

    def apart(a: Affine, b: Affine) -> bool:
        limit = _SAME * np.abs(b.linear).max()
        return bool(np.abs(a.offset - b.offset).max() > limit or np.abs(a.linear - b.linear).max() > limit)

    return [
        old
        for old, new in zip(tiles, others, strict=True)
        if old.placed and any(itertools.starmap(apart, zip(old.pixel_to_unit, new.pixel_to_unit, strict=True)))
    ]


def _say_contradictions(argument: str, tiles: Sequence[Tile]) -> None:
    if tiles:
        what = "how large their pixels are" if argument == "voxel_size" else "where they are"
        count = "1 tile says" if len(tiles) == 1 else f"{len(tiles)} tiles say"
        warnings.warn(f"{count} otherwise {what} (first: {tiles[0].label}); {argument}= is used", stacklevel=4)


def _one_each(argument: str, given: Any, count: int) -> list[Any]:
    """One value per tile; a single tile may have its own without a list."""
    alone = isinstance(given, (Mapping, Affine)) or _shape(given) in _SHAPES[argument]
    if alone and count == 1:
        return [given]
    if alone or isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ConfigError(f"{argument}= is {given!r}; give a list with one for each of {count} tiles")
    listed = list(given)
    if len(listed) != count:
        raise ConfigError(f"{argument}= has {len(listed)} entries for {count} tiles; give one for each tile")
    return listed


def _shape(given: Any) -> tuple[int, ...] | None:
    try:
        return np.array(given, dtype=np.float64).shape
    except (TypeError, ValueError):
        return None


def _by_axis(where: str, given: Any, *, plane: bool, alone: bool = False) -> Float3:
    """Numbers along z, y, x of a mapping, a sequence or, if `alone` is allowed, one number; planes have z of 0 or 1."""
    flat = plane and not _has_depth(given)
    axes = "yx" if flat else "zyx"
    wanted = f"give {{{', '.join(f'{axis!r}: ...' for axis in axes)}}} or {len(axes)} numbers ({', '.join(axes)})"
    values: Any = given
    if isinstance(given, Mapping):
        if set(given) != set(axes):
            raise ConfigError(f"{where} has {', '.join(map(str, given)) or 'nothing'}, not {', '.join(axes)}; {wanted}")
        values = [given[axis] for axis in axes]
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{where} is {given!r}, not numbers; {wanted}") from None
    if alone and numbers.ndim == 0:
        numbers = np.full(len(axes), numbers)
    if numbers.shape != (len(axes),) or not np.isfinite(numbers).all():
        raise ConfigError(f"{where} is {given!r}, not {len(axes)} finite numbers; {wanted}")
    z, y, x = (float(number) for number in ([1.0 if alone else 0.0, *numbers] if flat else numbers))
    return (z, y, x)


def _has_depth(given: Any) -> bool:
    """Whether what is said of a plane says where it lies along z, or how thick it is."""
    return "z" in given if isinstance(given, Mapping) else _shape(given) == (3,)
