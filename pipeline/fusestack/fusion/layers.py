"""Tiles that are layers of napari: ``(data, metadata)``, ``(data, metadata, "image")`` or a layer itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.fusion.array_tiles import Tile, factor_of, lazy_array, sources_of, spatial_shape
from fusestack.fusion.labelled import axes_of, matrix_affine
from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3

_PLACES = ("scale", "translate", "rotate", "shear", "affine")
_NO_UNIT = ("", "pixel", "px")
_LEAST_COLOUR_SIDE = 30  # napari takes a last axis of 3 or 4 for colours beyond this


def is_layer(held: Any) -> bool:
    """Whether something is a layer, or one as a tuple."""
    if isinstance(held, tuple):  # trees and datasets of xarray are mappings, but no dict
        return len(held) in (2, 3) and isinstance(held[1], dict) and isinstance(held[-1], (dict, str))
    return hasattr(type(held), "as_layer_data_tuple")


def layer_tile(label: str, held: Any) -> Tile:
    """Tile of an image layer.

    As napari composes it: ``world = affine @ (rotate @ shear @ scale @ pixel + translate)``, axes in the order of
    the data. ``axis_labels`` name axes where there are more than z, y, x; what only changes how the layer looks
    (colormap, contrast limits ...) is no part of the pixels.

    Raises
    ------
    InputError
        If it is another kind of layer, or its axes or its place cannot be used.
    """
    if not isinstance(held, tuple):
        held = held.as_layer_data_tuple()
        if not isinstance(held, tuple) or not is_layer(held):
            raise InputError(f"{label}: is no layer, it gives {held!r}; give (data, metadata)")
    data, metadata = held[0], dict(held[1])
    kind = held[2] if len(held) == 3 else "image"
    if kind != "image":
        raise InputError(f"{label}: is a layer of type {kind}, not image; leave it out, or convert it to an image")
    several = metadata.get("multiscale")
    if several or (several is None and isinstance(data, (list, tuple))):
        if not isinstance(data, Sequence) or not len(data):
            raise InputError(f"{label}: is multiscale, but its data is no list of arrays; give [finest, coarser, ...]")
        arrays = [lazy_array(label, array) for array in data]
    else:
        arrays = [lazy_array(label, data)]
    axes, split = _axes(label, metadata, arrays[0].shape)
    levels, factors = _levels(label, arrays, axes)
    place = _place(label, metadata, axes.replace("c", "", 1) if split else axes)
    shape = spatial_shape(arrays[0].shape, axes)
    lengths = dict(zip(axes, arrays[0].shape, strict=True))
    name = metadata.get("name")
    unit = _unit(label, metadata, axes.replace("c", "", 1) if split else axes)
    z, y, x = np.linalg.norm(place.linear, axis=0).tolist()
    return Tile(
        label,
        name if isinstance(name, str) and name else label,
        shape,
        arrays[0].dtype.name,
        sources_of(label, levels, axes, factors),
        (place,) * lengths.get("t", 1),
        (z, y, x) if unit is not None or (z, y, x) != (1, 1, 1) else (None, None, None),
        placed=bool(place.offset.any()),
        unit=unit,
        timepoints=tuple(range(lengths.get("t", 1))),
        channels=_channels(label, name, lengths.get("c", 1)),
        plane="z" not in axes,
        at_zero=True,
    )


def _axes(label: str, metadata: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[str, bool]:
    """Axes of the data, and whether `channel_axis` names c, so that the metadata speak of the others only."""
    colours = metadata.get("rgb")
    if colours is None:
        colours = len(shape) > 2 and shape[-1] in (3, 4) and min(shape[-3:-1]) > _LEAST_COLOUR_SIDE
    if colours:
        raise InputError(f"{label}: holds colours; split them into channels: channel_axis={len(shape) - 1}, rgb=False")
    number = metadata.get("channel_axis")
    if number is not None and (not isinstance(number, (int, np.integer)) or not -len(shape) <= number < len(shape)):
        raise InputError(f"{label}: channel_axis is {number!r}; its {len(shape)} axes are numbered from 0")
    count = len(shape) - (number is not None)
    names = [str(name) for name in _listed(metadata.get("axis_labels"))]
    if names and not all(name.lstrip("-").isdigit() for name in names):
        if len(names) != count:
            raise InputError(f"{label}: axis_labels are {', '.join(names)}, but it has {count} axes; name each of them")
        axes = axes_of(label, names)
    elif count in (2, 3):
        axes = "zyx"[-count:]
    else:
        raise InputError(
            f"{label}: has {count} axes; name them: axis_labels=('t', 'z', 'y', 'x'), or give channel_axis"
        )
    if number is None:
        return axes, False
    if "c" in axes:
        raise InputError(f"{label}: channel_axis and axis_labels both name channels; keep one")
    place = int(number) % len(shape)
    return axes[:place] + "c" + axes[place:], True


def _levels(label: str, arrays: list[Any], axes: str) -> tuple[list[Any], list[Float3]]:
    """Levels that lie where ours do, and their factors; napari knows shapes only."""
    levels, factors = [arrays[0]], [(1.0, 1.0, 1.0)]
    full = dict(zip(axes, arrays[0].shape, strict=True))
    for number, array in enumerate(arrays[1:], start=1):
        found = None
        if array.ndim == len(axes) and array.dtype == arrays[0].dtype:
            lengths = dict(zip(axes, array.shape, strict=True))
            same = all(lengths[axis] == full[axis] for axis in axes if axis in "tc")
            found = [factor_of(full.get(axis, 1), lengths.get(axis, 1)) if same else None for axis in "zyx"]
        if found is None or None in found or any(lengths[axis] > full[axis] for axis in axes):
            warnings.warn(
                f"{label}: its level {number} of shape {array.shape} is none of {arrays[0].shape} reduced by whole "
                "numbers, of the same pixels; it is not used",
                stacklevel=2,
            )
            continue
        z, y, x = (float(factor or 1) for factor in found)
        levels.append(array)
        factors.append((z, y, x))
    return levels, factors


def _place(label: str, metadata: Mapping[str, Any], axes: str) -> Any:
    """Pixel to world of the axes z, y, x among those of the metadata."""
    n = len(axes)
    numbers = {key: _numbers(label, key, metadata.get(key)) for key in _PLACES}
    try:
        scale, translate = np.ones(n), np.zeros(n)
        for values, key in ((scale, "scale"), (translate, "translate")):
            if (given := numbers[key]) is not None:
                values[_last(len(np.atleast_1d(given)), n)] = given
        matrix = np.eye(n + 1)
        matrix[:n, :n] = _rotation(numbers["rotate"], n) @ _shear(numbers["shear"], n) @ np.diag(scale)
        matrix[:n, n] = translate
        if numbers["affine"] is not None:
            whole = np.eye(n + 1)
            last = _last(numbers["affine"].shape[0], n + 1)
            whole[last, last] = numbers["affine"]
            matrix = whole @ matrix
    except (IndexError, ValueError):
        shapes = ", ".join(f"{key} {v.shape}" for key, v in numbers.items() if v is not None)
        raise InputError(
            f"{label}: scale, translate, rotate, shear or affine do not fit its {n} axes (shapes: {shapes}); "
            "give one number per axis, matrices of as many rows, affine with one more"
        ) from None
    spatial = [axes.index(axis) for axis in "zyx" if axis in axes]
    others = [i for i in range(n) if i not in spatial]
    if matrix[np.ix_(spatial, others)].any() or matrix[np.ix_(others, spatial)].any():
        raise InputError(f"{label}: its transform mixes z, y, x with time or channels; give affines= instead")
    rows = [*spatial, n]
    return matrix_affine(matrix[np.ix_(rows, rows)])


def _numbers(label: str, key: str, value: Any) -> NDArray[np.float64] | None:
    if value is None:
        return None
    try:
        return np.array(getattr(value, "affine_matrix", value), dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{label}: {key} is {value!r}, not numbers; correct it, or leave it away") from None


def _rotation(given: NDArray[np.float64] | None, n: int) -> NDArray[np.float64]:
    """Matrix of degrees in the last plane, of three angles (first to second, first to third, second to third axis)."""
    turned = np.eye(n)
    if given is None:
        return turned
    if given.ndim == 2:
        last = _last(len(given), n)
        turned[last, last] = given
        return turned
    planes = [(n - 3, n - 2, 1.0), (n - 3, n - 1, -1.0), (n - 2, n - 1, 1.0)][2 if given.ndim == 0 else 0 :]
    for (i, j, sign), angle in zip(planes, np.atleast_1d(np.deg2rad(given)), strict=True):
        step = np.eye(n)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -sign * np.sin(angle), sign * np.sin(angle)
        turned = turned @ step
    return turned


def _shear(given: NDArray[np.float64] | None, n: int) -> NDArray[np.float64]:
    """Matrix of the numbers above its diagonal, row by row."""
    sheared = np.eye(n)
    if given is None:
        return sheared
    if given.ndim == 1:
        size = int((1 + np.sqrt(8 * len(given) + 1)) / 2)
        part = np.eye(size)
        part[np.triu_indices(size, 1)] = given
        given = part
    last = _last(len(given), n)
    sheared[last, last] = given
    return sheared


def _listed(given: Any) -> list[Any]:
    """One entry for each axis; something else is one entry."""
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) else [given]


def _last(count: int, n: int) -> slice:
    """The last axes, which fewer numbers than axes are for."""
    if count > n:
        raise ValueError(f"{count} numbers for {n} axes")
    return slice(n - count, n)


def _unit(label: str, metadata: Mapping[str, Any], axes: str) -> str | None:
    given = metadata.get("units")
    if given is None:
        return None
    units = [given] * len(axes) if isinstance(given, str) else _listed(given)
    if len(units) != len(axes):
        raise InputError(f"{label}: units are {given!r}, but it has {len(axes)} axes; give one per axis")
    found = {str(unit).strip() for unit, axis in zip(units, axes, strict=True) if axis in "zyx"}
    if len(found) > 1:
        raise InputError(f"{label}: z, y and x have different units ({', '.join(sorted(found))}); convert them to one")
    unit = found.pop()
    return None if unit.lower() in _NO_UNIT else unit


def _channels(label: str, name: Any, count: int) -> tuple[str | None, ...]:
    """Names: a list of them is one per channel."""
    if name is None or isinstance(name, str):
        return (None,) * count
    names = tuple(str(n) for n in name) if isinstance(name, (list, tuple)) else ()
    if len(names) != count:
        raise InputError(f"{label}: name is {name!r}; give one name, or one for each of {count} channels")
    return names
