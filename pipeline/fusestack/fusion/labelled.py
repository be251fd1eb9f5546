"""Tiles with named axes and coordinates: xarray, multiscale-spatial-image and multiview-stitcher."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.fusion.array_tiles import Tile, factor_of, lazy_array, sources_of, spatial_shape
from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.sources.labels import axis_of, even_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3

_MISPLACED = 0.05  # of a pixel, as OME-Zarr levels are judged
_NO_UNIT = ("", "world pixel", "pixel", "pixels")
_SCALE = re.compile(r"scale(\d+)")


def axes_of(label: str, dims: Sequence[Any]) -> str:
    """Letters of t, c, z, y, x for the names of dimensions, in their order.

    Capitals and the long names ``time``, ``channel``, ``depth`` or ``plane`` (z), ``row`` (y), ``column`` or ``col``
    (x) are known too.

    Raises
    ------
    InputError
        If a name is none of them, two mean the same axis, or y or x is missing.
    """
    axes = [axis_of(dim) for dim in dims]
    named = ", ".join(str(dim) for dim in dims) or "none"
    if unknown := [str(dim) for dim, axis in zip(dims, axes, strict=True) if not axis]:
        first = repr(unknown[0])
        raise InputError(
            f"{label}: dimension {first} is not known (it has {named}); call its dimensions t, c, z, y, x: "
            f"tile.rename({{{first}: 'z'}}), or take one of it: tile.isel({{{first}: 0}})"
        )
    if len(set(axes)) < len(axes):
        raise InputError(f"{label}: two of its dimensions ({named}) are the same axis; rename or drop one")
    if not {"y", "x"} <= set(axes):
        raise InputError(f"{label}: its dimensions are {named}; y and x are needed: tile.expand_dims(...) makes them")
    return "".join(axes)


def labelled_tile(label: str, image: Any, *, transformed: bool = True) -> Tile:
    """Tile of a DataArray: coordinates along z, y, x are the centres of its pixels in world units.

    Descending coordinates mirror it. ``attrs["transforms"]`` of multiview-stitcher, if there is one, maps them on.

    Parameters
    ----------
    label : str
    image : xarray.DataArray
    transformed : bool
        Whether transforms are looked at.

    Raises
    ------
    InputError
        If a dimension is not known, or coordinates or transforms cannot be used.
    """
    return _tile(label, [image], _own_transforms(label, image) if transformed else {})


def tree_tile(label: str, tree: Any, *, transformed: bool = True) -> Tile:
    """Tile of a DataTree: nodes ``scale0``, ``scale1`` ... with a variable ``image``, or one such node.

    Levels lie where their coordinates say; a level whose pixels are not centred in those of full resolution that it
    stands for is left out.

    Parameters
    ----------
    label : str
    tree : xarray.DataTree
    transformed : bool
        Whether transforms are looked at, which multiview-stitcher keeps as variables.

    Raises
    ------
    InputError
        If it has no such nodes.

    Warns
    -----
    UserWarning
        If a level is left out.
    """
    scales = {int(match[1]): node for name, node in tree.children.items() if (match := _SCALE.fullmatch(name))}
    if not scales and tree.data_vars:
        scales = {0: tree}
    if not scales:
        found = ", ".join(tree.children) or "nothing"
        raise InputError(
            f"{label}: is a DataTree with no node scale0 (it holds {found}); give an image of it: "
            "tree['name of a node']['name of an image']"
        )
    nodes = [scales[number] for number in sorted(scales)]
    images = [_image(label, node) for node in nodes]
    transforms = {name: v for name, v in nodes[0].data_vars.items() if {"x_in", "x_out"} <= set(v.dims)}
    return _tile(label, images, {**_own_transforms(label, images[0]), **transforms} if transformed else {})


def _image(label: str, node: Any) -> Any:
    """The variable of a node that is its image."""
    if "image" in node.data_vars:
        return node["image"]
    images = [name for name, v in node.data_vars.items() if {"y", "x"} <= {axis_of(d) for d in v.dims}]
    if len(images) != 1:
        found = ", ".join(str(name) for name in node.data_vars) or "no variable"
        raise InputError(
            f"{label}: its node {node.path} has {len(images)} images ({found}); "
            "call one 'image', or give one of them instead of the tree"
        )
    return node[images[0]]


def _tile(label: str, images: Sequence[Any], transforms: Mapping[Any, Any]) -> Tile:
    first = images[0]
    axes = axes_of(label, first.dims)
    arrays = [lazy_array(label, image) for image in images]
    shape = spatial_shape(arrays[0].shape, axes)
    starts, steps = zip(*(_line(label, first, axes, axis) for axis in "zyx"), strict=True)
    kept = [(0, (1.0, 1.0, 1.0))]
    for number in range(1, len(images)):
        factors = _level(label, images, arrays, number, axes)
        if isinstance(factors, str):
            warnings.warn(f"{label}: level scale{number} {factors}; it is not used", stacklevel=2)
        else:
            kept.append((number, factors))
    place = Affine(
        np.diag([1.0 if step is None else step for step in steps]), np.array([start or 0.0 for start in starts])
    )
    timepoints = _timepoints(label, first, axes)
    moved = _transforms(label, transforms, len(timepoints), plane="z" not in axes)
    sizes = tuple(None if step is None else abs(step) for step in steps)
    return Tile(
        label,
        str(first.name) if first.name not in (None, "image") else label,
        shape,
        arrays[0].dtype.name,
        sources_of(label, [arrays[number] for number, _ in kept], axes, [factors for _, factors in kept]),
        tuple(transform @ place for transform in moved) if moved else (place,) * len(timepoints),
        (sizes[0], sizes[1], sizes[2]),
        placed=bool(moved) or any(starts[a] is not None for a in (1, 2)),
        unit=_unit(label, first, axes),
        timepoints=timepoints,
        channels=_channels(first, axes),
        plane="z" not in axes,
    )


def _numbers(label: str, image: Any, axes: str, axis: str) -> NDArray[np.float64] | None:
    """Coordinates along an axis; of a plane that was cut out of a stack, its z; None where there are none."""
    names = [name for name in image.coords if axis_of(name) == axis]
    names = [n for n in names if image.coords[n].dims == (n,) or (not image.coords[n].dims and axis not in axes)]
    if not names:
        return None
    values = np.atleast_1d(image.coords[names[0]].values)
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise InputError(
            f"{label}: its coordinates along {names[0]} are not numbers ({values[0]!r} ...); "
            f"leave them away: tile.drop_vars({str(names[0])!r})"
        )
    return values.astype(np.float64)


def _line(label: str, image: Any, axes: str, axis: str) -> tuple[float | None, float | None]:
    """First coordinate and signed step along an axis; None where coordinates do not say."""
    values = _numbers(label, image, axes, axis)
    if values is None:
        return None, None
    if len(values) == 1:
        return float(values[0]), None
    line = even_line(values)
    if line is None:
        raise InputError(
            f"{label}: its coordinates along {axis} are not evenly spaced; resample it: "
            f"tile.interp({axis}=numpy.linspace(...)), or leave them away: tile.drop_vars({axis!r})"
        )
    return line


def _level(label: str, images: Sequence[Any], arrays: Sequence[Any], number: int, axes: str) -> Float3 | str:
    """Factors of a level, or why it cannot be used."""
    image, full = images[number], images[0]
    if image.dims != full.dims or arrays[number].dtype != arrays[0].dtype:
        return "has other dimensions or another type of pixels than full resolution"
    lengths = [dict(zip(axes, array.shape, strict=True)) for array in (arrays[0], arrays[number])]
    if any(lengths[0].get(axis, 1) != lengths[1].get(axis, 1) for axis in "tc"):
        return "has other timepoints or channels than full resolution"
    factors = []
    for axis in "zyx":
        whole, reduced = (found.get(axis, 1) for found in lengths)
        (first, step), (start, stride) = (_line(label, i, axes, axis) for i in (full, image))
        if reduced > whole:
            return f"is longer along {axis} than full resolution"
        if first is None or step is None or start is None:
            factor: float | None = factor_of(whole, reduced)
        else:
            factor = stride / step if stride else 2 * (start - first) / step + 1
            factor = float(round(factor)) if abs(factor - round(factor)) < 1e-3 else round(factor, 4)
            if factor < 1 or not whole // factor <= reduced <= -(-whole // factor):
                factor = None
            elif abs((start - first) / step - (factor - 1) / 2) > _MISPLACED:
                return f"is shifted along {axis} against full resolution, coarse pixels have to be centred"
        if factor is None:
            return f"does not cover full resolution along {axis}"
        factors.append(float(factor))
    z, y, x = factors
    return (z, y, x)


def _timepoints(label: str, image: Any, axes: str) -> tuple[int, ...]:
    """Ids: coordinates along t where they are whole numbers."""
    count = dict(zip(axes, image.shape, strict=True)).get("t", 1)
    names = [name for name in image.coords if axis_of(name) == "t" and image.coords[name].ndim < 2]
    values = np.atleast_1d(image.coords[names[0]].values) if names else np.arange(count)
    numbers = values.dtype.kind in "iuf" and np.isfinite(values).all()
    if numbers and (values == values.astype(np.int64)).all() and (values >= 0).all() and len(values) == count:
        if len(set(values.tolist())) < count:
            raise InputError(f"{label}: a timepoint is there twice ({values.tolist()}); leave one out, or number them")
        return tuple(int(value) for value in values)
    warnings.warn(
        f"{label}: its coordinates along t are no whole numbers ({values[0]} ...); "
        f"its timepoints are called {', '.join(['0', *(['...', str(count - 1)] if count > 1 else [])])}",
        stacklevel=2,
    )
    return tuple(range(count))


def _channels(image: Any, axes: str) -> tuple[str | None, ...]:
    """Names: coordinates along c, unless they count from 0; of a channel that was taken out of several, its own."""
    count = dict(zip(axes, image.shape, strict=True)).get("c", 1)
    names = [name for name in image.coords if axis_of(name) == "c" and image.coords[name].ndim < 2]
    found: list[str | None] = [str(v) for v in np.atleast_1d(image.coords[names[0]].values)] if names else []
    if len(found) != count or ("c" in axes and found == [str(c) for c in range(count)]):
        found = [None] * count
    return tuple(found)


def _unit(label: str, image: Any, axes: str) -> str | None:
    """Unit of the coordinates, else the one among the attributes of the image."""
    found = {}
    for name, coordinate in image.coords.items():
        axis = axis_of(name)
        unit = str(coordinate.attrs.get("units") or coordinate.attrs.get("unit") or "").strip()
        if axis in tuple("zyx") and axis in axes and unit not in _NO_UNIT:
            found[axis] = unit
    if len(set(found.values())) > 1:
        raise InputError(
            f"{label}: its coordinates have different units "
            f"({', '.join(f'{axis}: {unit}' for axis, unit in found.items())}); convert them to one"
        )
    unit = next(iter(found.values()), str(image.attrs.get("unit") or image.attrs.get("units") or "").strip())
    return None if unit.lower() in _NO_UNIT else unit


def _own_transforms(label: str, image: Any) -> Mapping[Any, Any]:
    """Transforms by name, which multiview-stitcher keeps among the attributes of an image."""
    found = image.attrs.get("transforms") or {}
    if not isinstance(found, Mapping):
        raise InputError(f"{label}: attrs['transforms'] is {found!r}, not affines by name; delete it, or give affines=")
    return found


def _transforms(label: str, transforms: Mapping[Any, Any], count: int, *, plane: bool) -> tuple[Affine, ...]:
    """The one transform of multiview-stitcher at every timepoint, physical to world; none where there is none."""
    if not transforms:
        return ()
    if len(transforms) > 1:
        names = ", ".join(str(name) for name in transforms)
        raise InputError(
            f"{label}: has several transforms ({names}); keep the one that places it, or give affines= of your own"
        )
    ((name, given),) = transforms.items()
    size = 3 if plane else 4
    try:
        if hasattr(given, "dims"):
            given = given.transpose("t", "x_in", "x_out", missing_dims="ignore")
            order = {dim: list("zyx1")[-size:] for dim in ("x_in", "x_out") if dim in given.coords}
            given = given.sel(order)
        numbers = np.asarray(given, dtype=np.float64)
        numbers = np.broadcast_to(numbers, (count, size, size))
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{label}: its transform {name} is no matrix of {size} x {size} numbers, or one for each of {count} "
            "timepoints; correct it, or give affines="
        ) from None
    return tuple(matrix_affine(matrix) for matrix in numbers)


def matrix_affine(matrix: NDArray[np.float64]) -> Affine:
    """Affine of a matrix of three or four rows and columns; two axes are y and x."""
    n = min(matrix.shape[1] - 1, 3)
    linear, offset = np.eye(3), np.zeros(3)
    linear[3 - n :, 3 - n :] = matrix[:n, :n]
    offset[3 - n :] = matrix[:n, n]
    return Affine(linear, offset)
