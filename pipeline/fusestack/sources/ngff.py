"""What the metadata of OME-NGFF mean: images of a group, axes, transformations; mappings in, facts out.

Versions 0.1 to 0.5, and of 0.6 what places an image by numbers: scale, translation, affine, rotation, sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.labels import axis_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_AXES = "tczyx"
_TYPES = {"time": "t", "channel": "c"}
_ROUNDED = 1e-9
_RESTORE = "restore it from its source, or write the image again"


def attributes_of(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of NGFF: since version 0.5 they lie under ``ome``."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def is_collection(attributes: Mapping[str, Any]) -> bool:
    """Whether a group holds images in groups: a plate, a well, or what bioformats2raw writes."""
    found = attributes_of(attributes)
    layout = "bioformats2raw.layout"
    return not found.get("multiscales") and any(key in found or key in attributes for key in ("plate", "well", layout))


def declared_axes(image: Mapping[str, Any]) -> Sequence[Any] | None:
    """Axes of an image as they stand there; of 0.6, those of the coordinates that its first level is placed in."""
    systems = {system.get("name"): system for system in image.get("coordinateSystems") or ()}
    if not systems:
        return image.get("axes")
    steps: Sequence[Mapping[str, Any]] = image["datasets"][0].get("coordinateTransformations") or ()
    output = steps[-1].get("output") if steps else None
    name = output.get("name") if isinstance(output, dict) else output
    found: Sequence[Any] = systems.get(name, next(iter(systems.values())))["axes"]
    return found


def axes_of(declared: Sequence[Any] | None, ndim: int, path: str, given: str | None = None) -> str:
    """Axes as letters; images that name none have the last ones of t, c, z, y, x.

    Parameters
    ----------
    declared : sequence or None
        Names, or mappings with name and type.
    ndim : int
        Of the array.
    path : str
        For messages.
    given : str, optional
        What the user says they are.

    Raises
    ------
    InputError
        If they cannot be fused, or there are not as many as the array has.
    """
    if given is not None:
        names, letters = list(given), list(given)
    elif declared is None:
        names = letters = list(_AXES[-ndim:])
    else:
        names = [str(axis["name"] if isinstance(axis, dict) else axis) for axis in declared]
        letters = [_letter(axis) for axis in declared]
    wrong = set(letters) - set(_AXES) or len(set(letters)) < len(letters) or not {"y", "x"} <= set(letters)
    if wrong or len(letters) != ndim:
        raise InputError(
            f"{path}: its {ndim} axes are {', '.join(names)}; they have to be y, x with any of t, c, z; say what they "
            f"are, slowest first, such as axes: {_AXES[-min(ndim, 5) :]}, or write the image again with such axes"
        )
    return "".join(letters)


def _letter(axis: Any) -> str:
    if isinstance(axis, dict):
        return axis_of(axis.get("name")) or _TYPES.get(str(axis.get("type")), "")
    return axis_of(axis)


def units_of(declared: Sequence[Any] | None, axes: str) -> dict[str, str | None]:
    """Unit of every axis as it is written, by letter."""
    listed = declared if declared is not None and len(declared) == len(axes) else [None] * len(axes)
    return {
        letter: axis.get("unit") if isinstance(axis, dict) else None for letter, axis in zip(axes, listed, strict=True)
    }


def matrix_of(steps: Sequence[Mapping[str, Any]] | None, ndim: int, where: str) -> NDArray[np.float64]:
    """Transformations, the first one applied first, as a matrix ``float64[ndim + 1, ndim + 1]`` in the order of axes.

    Raises
    ------
    InputError
        If one is of a kind that is not read, or has not the numbers that it needs.
    """
    found = np.eye(ndim + 1)
    for step in steps or ():
        found = _matrix(step, ndim, where) @ found
    return found


def _matrix(step: Mapping[str, Any], ndim: int, where: str) -> NDArray[np.float64]:
    kind = str(step.get("type"))
    matrix = np.eye(ndim + 1)
    if kind == "identity":
        return matrix
    if kind == "sequence":
        return matrix_of(step.get("transformations"), ndim, where)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "scale": [(ndim,)],
        "translation": [(ndim,)],
        "rotation": [(ndim, ndim)],
        "affine": [(ndim, ndim + 1), (ndim + 1, ndim + 1)],
    }
    if kind not in shapes:
        raise InputError(
            f"{where}: its transformation '{kind}' is not read, only {', '.join(shapes)} and sequences of them are; "
            "write the image again, or give voxel_size and affine and a path to the array itself"
        )
    try:
        numbers = np.asarray(step.get(kind), dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if (
        numbers.shape not in shapes[kind]
        or not np.isfinite(numbers).all()
        or (kind == "scale" and (numbers <= 0).any())
    ):
        raise InputError(
            f"{where}: its transformation '{kind}' has not {' x '.join(map(str, shapes[kind][0]))} usable numbers; "
            f"{_RESTORE}"
        )
    if kind == "scale":
        np.fill_diagonal(matrix[:-1, :-1], numbers)
    elif kind == "translation":
        matrix[:-1, -1] = numbers
    else:
        matrix[: len(numbers), : numbers.shape[1]] = numbers
    return matrix


def is_scaling(matrix: NDArray[np.float64]) -> bool:
    """Whether it only scales and shifts."""
    linear = np.abs(matrix[:-1, :-1])
    beside = linear - np.diag(np.diag(linear))
    return bool(beside.max() <= _ROUNDED * linear.max())


def spatial_part(matrix: NDArray[np.float64], axes: str, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Linear part and offset along z, y, x; an axis z that is not there goes from 0 in steps of 1.

    Raises
    ------
    InputError
        If it mixes time or channels with space.
    """
    kept = [axes.index(axis) for axis in "zyx" if axis in axes]
    others = [number for number in range(len(axes)) if number not in kept]
    if np.any(matrix[np.ix_(kept, others)]) or np.any(matrix[np.ix_(others, kept)]):
        raise InputError(f"{where}: its transformation mixes time or channels with space; write the image again")
    linear, offset = np.eye(3), np.zeros(3)
    places = ["zyx".index(axes[number]) for number in kept]
    linear[np.ix_(places, places)] = matrix[np.ix_(kept, kept)]
    offset[places] = matrix[kept, -1]
    return linear, offset


def outer_steps(image: Mapping[str, Any], said: list[str]) -> Sequence[Mapping[str, Any]]:
    """Transformations of a whole image, after those of its levels.

    Of 0.6 they lead to other coordinates: a single one is used, of several none, which is said.
    """
    steps: Sequence[Mapping[str, Any]] = image.get("coordinateTransformations") or ()
    if not image.get("coordinateSystems") or len(steps) < 2:
        return steps
    names = ", ".join(str(step.get("name") or step.get("output") or step.get("type")) for step in steps)
    said.append(
        f"its transformations into {len(steps)} other coordinates ({names}) are not used, since one has to be chosen; "
        "affine says where it is"
    )
    return ()
