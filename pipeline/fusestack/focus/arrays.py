"""Stacks that people hold in their hands, NumPy, dask and xarray, focused lazily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.cached import CachedStages
from fusestack.focus.files import FocusFiles
from fusestack.focus.input import StackInput
from fusestack.focus.lazy import LazyStack
from fusestack.focus.painted import check_recipe, doubts_of, paint_stack
from fusestack.focus.recipe import recipe_of
from fusestack.focus.slices import ArraySlices
from fusestack.focus.statistics import known_statistics
from fusestack.focus.tiling import usual_tile
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.graph_array import GraphArray
from fusestack.model.image import Channel
from fusestack.planning.resources import Resources
from fusestack.sources.base import PIXEL_TYPES
from fusestack.sources.labels import even_line, is_colour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dask.array as da

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig

_PICTURE_TYPES = ("uint8", "uint16", "float32")
_COLOURS = {1: "L", 3: "RGB", 4: "RGBA"}
_WANTED = "give slices [k, y, x], or [k, y, x, 3 or 4] with their colours, paths, or a pattern such as stack/*.jpg"
_NAMED = (
    "dimensions are t, c, z, y, x of a volume, or k, y, x, colour of photographs; "
    "rename them, for example stack.rename({'%s': 'z'})"
)
_NO_FILES = ("dtype", "between_slices", "sharpen_between")
# what dask's workers have is not known here: chunks say how much memory is needed
_ANY = Resources("threads", 1, 1, 2**62, 0)


@dataclass(frozen=True)
class ArrayStack:
    """A stack in memory or in a dask graph, and the names of its axes.

    Parameters
    ----------
    input : StackInput
    slices : dask.array.Array
        [t, c, k, y, x].
    lead : tuple of str
        Which of the axes t and c it has.
    plane : (str, str)
        Names of the axes of a slice.
    """

    input: StackInput
    slices: da.Array
    lead: tuple[str, ...]
    plane: tuple[str, str]


def is_lazy(stack: Any) -> bool:
    """Whether pixels are read or computed only when they are asked for: dask, Zarr, HDF5, or slices of which any is."""
    if isinstance(stack, list | tuple):
        return any(is_lazy(one) for one in stack)
    return not isinstance(stack, np.ndarray | np.generic) and hasattr(stack, "shape") and hasattr(stack, "dtype")


@dataclass(frozen=True)
class LazyOutputs:
    """What a stack becomes.

    Parameters
    ----------
    arrays : mapping of str to (dask.array.Array, tuple of str)
        ``image``, ``mask``, ``depth``, and ``height`` where slices have places: [t, c, 1, y, x], names of channels.
    options : str
        The option string that says what is done.
    warnings : tuple of str
    """

    arrays: Mapping[str, tuple[da.Array, tuple[str, ...]]]
    options: str
    warnings: tuple[str, ...]


def plain_stack(stack: Any, *, reverse: bool) -> ArrayStack:
    """Slices of photographs: an array [k, y, x] or [k, y, x, colour], or arrays one by one, front first.

    Raises
    ------
    InputError
        If it is none, or its pixels are of a type that is not stacked.
    """
    import dask.array as da

    if isinstance(stack, list | tuple) and is_lazy(stack):
        stack = [_dask(getattr(one, "data", one) if hasattr(one, "dims") else one) for one in stack]
        shapes = {getattr(one, "shape", None) for one in stack}
        if len(shapes) > 1:
            listed = ", ".join(map(str, sorted(shapes, key=str)))
            raise InputError(f"stack: its slices differ in size ({listed}); {_WANTED}")
        stack = da.stack(stack)
    elif is_lazy(stack):
        stack = _dask(stack)
    if not isinstance(stack, da.Array):
        stack = _numpy(stack)
    _check_plain(stack.shape, stack.dtype)
    pixels = stack if stack.ndim == 4 else stack[..., None]
    slices = da.moveaxis(pixels, -1, 0)[None]
    return _photographs(slices[:, :, ::-1] if reverse else slices, ("y", "x"))


def _dask(array: Any) -> da.Array:
    import dask.array as da

    if isinstance(array, da.Array):
        return array
    _check_plain((1, 1, 1), np.dtype(array.dtype))
    return da.from_array(array, chunks=getattr(array, "chunks", None) or "auto")


def _numpy(stack: Any) -> Any:
    """Pixels in memory as one dask array, which is nobody's to find again."""
    import uuid

    import dask.array as da

    try:
        pixels = np.asarray(stack)
    except ValueError as error:
        raise InputError(f"stack: its slices differ in size ({error}); {_WANTED}") from error
    _check_plain(pixels.shape, pixels.dtype)
    return da.from_array(pixels, chunks=-1, name=f"slices-{uuid.uuid4().hex}")


def _check_plain(shape: Sequence[float], dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "uif":
        raise InputError(f"stack: is no array of numbers; {_WANTED}")
    if any(np.isnan(n) for n in shape):
        raise InputError("stack: its chunks have unknown sizes; call compute_chunk_sizes() first")
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] not in (3, 4)) or 0 in shape:
        volume = "; name the axes of a volume with xarray.DataArray(..., dims=...)" if len(shape) > 3 else ""
        raise InputError(f"stack: has the shape {tuple(shape)}; {_WANTED}{volume}")
    if len(shape) == 3 and shape[-1] in (3, 4):
        raise InputError(f"stack: has the shape {tuple(shape)}, which looks like one picture in colour; {_WANTED}")
    _check_type(dtype, _PICTURE_TYPES)


def _check_type(dtype: np.dtype[Any], known: Sequence[str]) -> None:
    if dtype.name not in known:
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise InputError(f"stack: has pixels of type {dtype.name}; convert them to {listed} (stack.astype(...))")


def named_stack(stack: Any, focus: Focus) -> ArrayStack:
    """A stack whose axes have names: a volume t, c, z, y, x, or photographs k, y, x, colour.

    Parameters
    ----------
    stack : xarray.DataArray
        Its axes in any order; only those of a slice and the one along which it is focused are needed.
    focus : Focus

    Raises
    ------
    InputError
        If it has other axes, or its pixels are of a type that is not stacked.
    """
    import dask.array as da

    colour = next((name for name in stack.dims if is_colour(name)), None)
    photographs = "k" in stack.dims or colour is not None
    lead: tuple[str, ...]
    if photographs:
        axis, plane = "k", ("y", "x")
        lead = () if colour is None else (str(colour),)
    else:
        axis = focus.axis
        y, x = (name for name in ("z", "y", "x") if name != axis)
        plane, lead = (y, x), tuple(name for name in ("t", "c") if name in stack.dims)
    unknown = [name for name in stack.dims if name not in (axis, *plane, *lead)]
    missing = [name for name in (axis, *plane) if name not in stack.dims]
    if unknown or missing:
        what = f"has the dimension '{unknown[0]}'" if unknown else f"has no dimension '{missing[0]}'"
        raise InputError(
            f"stack: {what} (it has {', '.join(map(str, stack.dims))}); {_NAMED % (unknown or ['plane'])[0]}"
        )
    if 0 in stack.shape:
        raise InputError(f"stack: has the shape {stack.shape}; {_WANTED}")
    ordered = stack.transpose(*lead, axis, *plane)
    data = ordered.data if isinstance(ordered.data, da.Array) else _from_memory(ordered)
    if focus.reverse:
        data = data[..., ::-1, :, :]
    if photographs:
        _check_type(data.dtype, _PICTURE_TYPES)
        if colour is not None and data.shape[0] not in (3, 4):
            raise InputError(f"stack: has {data.shape[0]} colours; photographs have 3, or 4 with their opacity")
        return _photographs((data if colour is not None else data[None])[None], ("y", "x"))
    _check_type(data.dtype, PIXEL_TYPES)
    for place, name in enumerate(("t", "c")):
        if name not in lead:
            data = da.expand_dims(data, place)
    return _volume(ordered, data, focus, lead, plane)


def _from_memory(ordered: Any) -> Any:
    import dask.array as da

    return da.from_array(ordered.data if isinstance(ordered.data, np.ndarray) else ordered.to_numpy(), chunks="auto")


def _photographs(slices: da.Array, plane: tuple[str, str]) -> ArrayStack:
    colours = _COLOURS[slices.shape[1]]
    return ArrayStack(_input(slices, photographs=True, colours=colours), slices, (), plane)


def _volume(stack: Any, slices: da.Array, focus: Focus, lead: tuple[str, ...], plane: tuple[str, str]) -> ArrayStack:
    count = slices.shape[1]
    names = [str(name) for name in stack.coords["c"].to_numpy()] if "c" in stack.coords and "c" in lead else []
    channels = tuple(Channel(c, names[c] if names else f"channel {c}") for c in range(count))
    place = _evenly_spaced(stack, focus.axis)
    first, step = (0.0, 1.0) if place is None else place
    if focus.reverse:
        first, step = first + (slices.shape[2] - 1) * step, -step
    found = _input(slices, photographs=False, channels=channels, first=first, step=step, placed=place is not None)
    return ArrayStack(found, slices, lead, plane)


def _evenly_spaced(stack: Any, axis: str) -> tuple[float, float] | None:
    """Place of the first slice and distance of two, where coordinates say it."""
    if axis not in stack.coords:
        return None
    places = np.asarray(stack.coords[axis].to_numpy())
    if places.dtype.kind not in "uif" or places.ndim != 1:
        return None
    if len(places) == 1:
        return float(places[0]), 1.0
    return even_line(places.astype(np.float64))


def _input(slices: da.Array, *, photographs: bool, placed: bool = False, **facts: Any) -> StackInput:
    array = GraphArray.of(slices)
    return StackInput(
        title="stack",
        source="stack",
        shape=array.shape,
        dtype=array.dtype,
        slices=ArraySlices(array),
        read={"stack": array.name},
        photographs=photographs,
        depth_chunk=1,
        unit="placed" if placed else None,
        timepoints=tuple(range(array.shape[0])),
        **facts,
    )


def lazy_outputs(
    loaded: LoadedConfig, focus: Focus, stack: ArrayStack, tile: tuple[int, int] | None = None
) -> LazyOutputs:
    """Sharp picture, mask and depth of a stack as dask arrays [t, c, 1, y, x]; computes nothing.

    Parameters
    ----------
    loaded : LoadedConfig
        For messages and paths.
    focus : Focus
    stack : ArrayStack
    tile : (int, int), optional
        Rows and columns of a tile, at least.

    Raises
    ------
    ConfigError
        If an option asks for files, or for what the stack does not have.
    """
    _refuse_files(loaded, focus)
    use = focus.statistics.use
    one = stack.input
    recipe = recipe_of(focus, photographs=one.photographs)
    check_recipe(loaded, recipe)
    cached = CachedStages("", _ANY, None if use is None else known_statistics(loaded.resolve_path(use)))
    painted = paint_stack(loaded, recipe, one, cached, focus.reference_channel, opaque=not one.photographs)
    files = FocusFiles(focus, one, painted.on, "")
    kinds = ("image", "mask", "depth", *(("height",) if one.unit is not None else ()))
    written = {kind: files.written(kind, ".zarr", [painted.final]) for kind in kinds}
    usual = usual_tile((one.shape[3], one.shape[4]), one.shape[2], one.shape[1] * np.dtype(one.dtype).itemsize)
    by_channel = not one.photographs and focus.reference_channel is None
    lazy = LazyStack(stack.slices, list(cached.stages.values()), tile or usual, by_channel)
    arrays = lazy.written({kind: compute for kind, (compute, _) in written.items()})
    outputs = {kind: (arrays[kind], names) for kind, (_, names) in written.items()}
    return LazyOutputs(outputs, recipe.option_string(), (*one.warnings, *doubts_of(recipe, focus)))


def _refuse_files(loaded: LoadedConfig, focus: Focus) -> None:
    """Refuse options about files: arrays go in, arrays come out."""
    asked = [f"output.{key}" for key in focus.output.model_fields_set if key not in _NO_FILES]
    asked += ["statistics.save"] if focus.statistics.save else []
    asked += ["layered"] if focus.layered else []
    if asked:
        raise ConfigError(
            f"{loaded.cite(f'focus.{asked[0]}')}: an array becomes arrays, not files; leave it out and store what you "
            "want with fusestack.write, or give the paths of the slices"
        )


def known_options(options: Mapping[str, Any]) -> tuple[LoadedConfig, Focus]:
    """Options of the section ``focus``, checked.

    Raises
    ------
    ConfigError
        If they are wrong, or not available yet.
    """
    from fusestack.config.focus import Focus
    from fusestack.config.load import from_mapping, unsupported

    if "input" in options:
        raise ConfigError("focus.input: the stack is the first argument; leave the option out")
    loaded = from_mapping({"version": 1, "focus": {**options, "input": "stack"}})
    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    focus = loaded.config.focus
    return loaded, Focus() if focus is None else focus
