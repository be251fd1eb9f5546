"""Slices of photographs that people hold in their hands: one array without names of axes, or slices one by one."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import ConfigError, InputError
from fusestack.sources.arrays import held_array, named_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array as da
    from numpy.typing import NDArray

    from fusestack.config.focus import Focus

PICTURE_TYPES = ("uint8", "uint16", "int8", "int16", "uint32", "float32")
WANTED = "give slices [k, y, x], or [k, y, x, 3 or 4] with their colours, paths, or a pattern such as stack/*.jpg"
_MODES = ("L", "RGB", "RGBA", "I;16")
"""Of pictures of PIL: their numbers are what is seen."""
_CONVERSIONS = {
    **dict.fromkeys(("LA", "La", "PA", "RGBa"), "picture.convert('RGBA')"),
    **dict.fromkeys(("I", "F"), "numpy.asarray(picture, dtype='float32')"),
}


def is_lazy(stack: Any) -> bool:
    """Whether pixels are read or computed only when they are asked for: dask, Zarr, HDF5, or slices of which any is."""
    if isinstance(stack, list | tuple):
        return any(is_lazy(one) for one in stack)
    return not isinstance(stack, np.ndarray | np.generic) and hasattr(stack, "shape") and hasattr(stack, "dtype")


def check_photographs(focus: Focus, way_out: str) -> None:
    """Refuse options that only volumes have.

    Raises
    ------
    ConfigError
        With the way out.
    """
    asked = [key for key in ("axis", "reference_channel") if key in focus.model_fields_set]
    asked = [key for key in asked if getattr(focus, key) != type(focus).model_fields[key].default]
    if asked:
        raise ConfigError(f"focus.{asked[0]}: photographs have slices and colours, no such axes; {way_out}")


def plain_pixels(stack: Any) -> da.Array:
    """Slices [k, y, x] or [k, y, x, colour] of an array, or of arrays and pictures of PIL one by one, front first.

    Raises
    ------
    InputError
        If it is none, slices are not alike, or pixels are of a type that is not stacked.
    """
    import dask.array as da

    if isinstance(stack, list | tuple):
        slices = [_slice(number, one) for number, one in enumerate(stack)]
        _check_alike(slices)
        pixels = da.stack(slices) if any(map(is_lazy, slices)) else np.stack(slices) if slices else np.empty(0, "u1")
    elif is_lazy(stack):
        pixels = held_array("stack", stack)
    else:
        pixels = _in_memory("stack", stack)
    _check(pixels.shape, pixels.dtype)
    if isinstance(pixels, np.ndarray):  # focused at once, so nobody looks for it by its name again
        return da.from_array(pixels, chunks=-1, name=f"slices-{uuid.uuid4().hex}")
    return named_array("stack", pixels)


def _slice(number: int, one: Any) -> Any:
    label = f"stack[{number}]"
    if isinstance(one, str | os.PathLike):
        raise InputError(f"{label}: is a path, others are arrays; give paths only, or read it and give arrays only")
    if hasattr(one, "coords") and {"y", "x"} <= set(one.dims):
        one = one.transpose("y", "x", ...)
    if not is_lazy(one):
        return _in_memory(label, one)
    found = named_array(label, one)
    _check_numbers(label, found.dtype)
    return found


def _in_memory(label: str, held: Any) -> NDArray[Any]:
    """Pixels of whatever NumPy makes an array of; of a picture with a palette, its colours."""
    mode = getattr(held, "mode", None)
    if isinstance(mode, str) and callable(getattr(held, "convert", None)):
        if mode == "P":
            held = held.convert("RGBA" if "transparency" in held.info else "RGB")
        elif mode not in _MODES:
            way_out = _CONVERSIONS.get(mode, "picture.convert('RGB')")
            raise InputError(
                f"{label}: is a picture of mode {mode}, of which {', '.join(_MODES)} and P are stacked; "
                f"convert it: {way_out}"
            )
    if isinstance(held, np.ndarray):
        held_array(label, held)
    try:
        pixels = np.asarray(held)
    except (TypeError, ValueError) as error:
        raise InputError(f"{label}: is no array of numbers ({error}); {WANTED}") from error
    _check_numbers(label, pixels.dtype)
    return pixels


def _check_alike(slices: Sequence[Any]) -> None:
    """Refuse slices of several sizes or types, which NumPy would not stack, or would convert."""
    for number, one in enumerate(slices):
        if one.shape != slices[0].shape:
            raise InputError(
                f"stack[{number}]: its slices differ in size: it has the shape {one.shape}, the first one "
                f"{slices[0].shape}; crop or pad it, or leave it out"
            )
        if one.dtype != slices[0].dtype:
            raise InputError(
                f"stack[{number}]: has pixels of type {one.dtype.name}, the first slice {slices[0].dtype.name}; "
                "convert them to one type (astype), which says what becomes of black and white"
            )


def _check_numbers(label: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "uif":
        raise InputError(f"{label}: is no array of numbers; {WANTED}")


def _check(shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    _check_numbers("stack", dtype)
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] not in (3, 4)) or 0 in shape:
        volume = "; name the axes of a volume with xarray.DataArray(..., dims=...)" if len(shape) > 3 else ""
        raise InputError(f"stack: has the shape {tuple(shape)}; {WANTED}{volume}")
    if len(shape) == 3 and shape[-1] in (3, 4):
        raise InputError(f"stack: has the shape {tuple(shape)}, which looks like one picture in colour; {WANTED}")
    check_type(dtype, PICTURE_TYPES)


def check_type(dtype: np.dtype[Any], known: Sequence[str]) -> None:
    """Refuse pixels of types that are not stacked.

    Raises
    ------
    InputError
    """
    if dtype.name not in known:
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise InputError(f"stack: has pixels of type {dtype.name}; convert them to {listed} (stack.astype(...))")
