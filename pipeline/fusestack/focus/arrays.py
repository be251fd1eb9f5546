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
from fusestack.focus.plain import PICTURE_TYPES, WANTED, check_photographs, check_type, plain_pixels
from fusestack.focus.recipe import recipe_of
from fusestack.focus.slices import ArraySlices
from fusestack.focus.statistics import known_statistics
from fusestack.focus.tiling import usual_tile
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.graph_array import GraphArray
from fusestack.model.image import Channel
from fusestack.planning.resources import Resources
from fusestack.sources.arrays import named_array
from fusestack.sources.base import PIXEL_TYPES
from fusestack.sources.labels import axis_of, even_line, is_colour

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dask.array as da

    from fusestack.config.focus import Focus
    from fusestack.config.load import LoadedConfig

_COLOURS = {1: "L", 3: "RGB", 4: "RGBA"}
_NAMES = "dimensions are t, c, z, y, x of a volume, or k, y, x, colour of photographs"
_TO_NAME = (
    "leave it out, or name the axes of a volume: xarray.DataArray(stack, dims=('z', 'y', 'x')), with c for channels"
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


def plain_stack(stack: Any, focus: Focus) -> ArrayStack:
    """Slices of photographs: an array [k, y, x] or [k, y, x, colour], or arrays one by one, front first.

    Raises
    ------
    ConfigError
        If an option asks for what only volumes have.
    InputError
        If it is none, or its pixels are of a type that is not stacked.
    """
    import dask.array as da

    check_photographs(focus, _TO_NAME)
    pixels = plain_pixels(stack)
    slices = da.moveaxis(pixels if pixels.ndim == 4 else pixels[..., None], -1, 0)[None]
    return _photographs(slices[:, :, ::-1] if focus.reverse else slices, ("y", "x"))


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

    stack = with_letters(stack)
    colour = next((name for name in stack.dims if is_colour(name)), None)
    photographs = "k" in stack.dims or colour is not None
    lead: tuple[str, ...]
    if photographs:
        axis, plane = "k", ("y", "x")
        lead = () if colour is None else (str(colour),)
        check_photographs(focus, "leave it out, or name the axes of a volume t, c, z, y, x")
    else:
        axis = focus.axis
        y, x = (name for name in ("z", "y", "x") if name != axis)
        plane, lead = (y, x), tuple(name for name in ("t", "c") if name in stack.dims)
    _check_dims(stack, (axis, *plane), lead, colour)
    data = named_array("stack", stack)
    data = data.transpose([stack.dims.index(name) for name in (*lead, axis, *plane)])
    if focus.reverse:
        data = data[..., ::-1, :, :]
    if photographs:
        check_type(data.dtype, PICTURE_TYPES)
        if colour is not None and data.shape[0] not in (3, 4):
            raise InputError(f"stack: has {data.shape[0]} colours; photographs have 3, or 4 with their opacity")
        return _photographs((data if colour is not None else data[None])[None], ("y", "x"))
    check_type(data.dtype, PIXEL_TYPES)
    for place, name in enumerate(("t", "c")):
        if name not in lead:
            data = da.expand_dims(data, place)
    return _volume(stack, data, focus, lead, plane)


def with_letters(stack: Any) -> Any:
    """The stack with its dimensions called t, c, z, y, x, whether they were called Z or depth, time or channel.

    Raises
    ------
    InputError
        If two of them mean the same.
    """
    letters = {name: axis_of(name) for name in stack.dims}
    renamed = {name: letter for name, letter in letters.items() if letter not in ("", name)}
    taken = [name for name, letter in renamed.items() if letter in stack.coords or letter in stack.dims]
    if taken or len(set(renamed.values())) < len(renamed):
        name = (taken or list(renamed))[0]
        raise InputError(
            f"stack: the dimension '{name}' is {renamed[name]}, which is there already; "
            f"drop or rename one of them: stack.rename({{'{name}': ...}})"
        )
    return stack.rename(renamed)


def _check_dims(stack: Any, needed: tuple[str, ...], lead: tuple[str, ...], colour: Any) -> None:
    found = ", ".join(map(str, stack.dims))
    unknown = [name for name in stack.dims if name not in (*needed, *lead)]
    missing = [name for name in needed if name not in stack.dims]
    if unknown and unknown[0] in ("t", "c", "z"):
        with_what = f"'{colour}'" if colour is not None else "'k'"
        way_out = f"name photographs: stack.rename({{'{unknown[0]}': 'k'}})" if missing == ["k"] else ""
        if colour is not None and "c" not in stack.dims:
            way_out += f"{', ' if way_out else ''}call colours channels of a volume: stack.rename({{'{colour}': 'c'}})"
        raise InputError(
            f"stack: has the dimension '{unknown[0]}' of a volume together with {with_what} of photographs (it has "
            f"{found}); {way_out or f'take one of it: stack.isel({unknown[0]}=0)'}"
        )
    if unknown:
        to = (missing or ["z"])[0]
        raise InputError(
            f"stack: has the dimension '{unknown[0]}' (it has {found}); {_NAMES}; rename it, for example "
            f"stack.rename({{'{unknown[0]}': '{to}'}})"
        )
    if missing:
        raise InputError(f"stack: has no dimension '{missing[0]}' (it has {found}); {_NAMES}")
    if 0 in stack.shape:
        raise InputError(f"stack: has the shape {stack.shape}; {WANTED}")


def _photographs(slices: da.Array, plane: tuple[str, str]) -> ArrayStack:
    colours = _COLOURS[slices.shape[1]]
    return ArrayStack(_input(slices, photographs=True, colours=colours), slices, (), plane)


def _volume(stack: Any, slices: da.Array, focus: Focus, lead: tuple[str, ...], plane: tuple[str, str]) -> ArrayStack:
    count = slices.shape[1]
    names = [str(name) for name in stack.coords["c"].to_numpy()] if "c" in stack.coords and "c" in lead else []
    channels = tuple(Channel(c, names[c] if names else f"channel {c}") for c in range(count))
    place, warnings = _places(stack, focus.axis)
    first, step = (0.0, 1.0) if place is None else place
    if focus.reverse:
        first, step = first + (slices.shape[2] - 1) * step, -step
    found = _input(
        slices,
        photographs=False,
        channels=channels,
        first=first,
        step=step,
        placed=place is not None,
        warnings=warnings,
    )
    return ArrayStack(found, slices, lead, plane)


def _places(stack: Any, axis: str) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Place of the first slice and distance of two, where coordinates say it; what is said where they do not."""
    if axis not in stack.coords:
        return None, ()
    places = np.atleast_1d(np.asarray(stack.coords[axis].to_numpy()))
    if places.dtype.kind in "uif" and np.isfinite(places).all():
        found = (float(places[0]), 1.0) if len(places) == 1 else even_line(places.astype(np.float64))
        if found is not None:
            return found, ()
    return None, (
        f"stack: its coordinates along {axis} are not evenly spaced numbers, so there is no height; depth counts "
        f"slices; interpolate it to an even grid (stack.interp({axis}=...)) to have heights",
    )


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
    recipe = recipe_of(focus, photographs=one.photographs, opacity=one.colours.endswith("A"))
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
    output = focus.output
    asked = [
        f"output.{key}"
        for key in sorted(output.model_fields_set)
        if key not in _NO_FILES and getattr(output, key) != type(output).model_fields[key].default
    ]
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
    focus = loaded.config.focus or Focus()
    for key in ("align", "prepare"):
        if getattr(focus, key):
            raise ConfigError(
                f"focus.{key}: an array is taken as it is; store it (fusestack.write), and name what is stored in "
                "focus.input of a configuration"
            )
    return loaded, focus
