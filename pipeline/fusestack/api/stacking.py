"""Focus stacking of what people hold in their hands."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.api.configured import plan, run
from fusestack.model.errors import ConfigError, InputError, tell
from fusestack.model.geometry import Box
from fusestack.sources.file_names import is_pattern
from fusestack.storage import absolute

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray
    from numpy.typing import NDArray

    from fusestack.focus.arrays import ArrayStack
    from fusestack.planning.plan import Plan, PlannedImage


def focus_stack(
    stack: str | Path | Iterable[Any] | NDArray[Any] | xarray.DataArray,
    *,
    chunks: int | tuple[int, int] | None = None,
    **options: Any,
) -> xarray.Dataset:
    """Focus-stack slices into one sharp image, its mask and its depth.

    Lazy for dask and xarray: nothing is computed before it is asked for, on any dask scheduler, to the same bytes as a
    stored run. NumPy arrays go in and come out. Paths are computed at once, with a temporary folder for the stages.

    Slices are rechunked to tiles that hold all of them and overlapped once for the whole chain of operators. Where
    masks are levelled, as by default, levels are a statistic of the whole stack: its first pixel costs a pass over all
    slices, whose masks are kept (float32) until they are used, in memory or, by dask.distributed, on disk: compute all
    outputs at once, ``found.compute()``, not ``.values`` of one after the other, which makes masks again for each. For
    more than memory holds, give paths, or ``statistics={"use": ...}`` of a run that saved them.

    Parameters
    ----------
    stack : path, sequence of paths, array or sequence of arrays
        - NumPy or dask: slices uint8, uint16, float32, int8, int16 or uint32 [k, y, x], or [k, y, x, colour] with 3
          colours and possibly opacity, front first; Zarr or HDF5; or slices one by one, all of one size and type, also
          pictures of PIL.
          NaN in float32 is no data; method masks takes it for black.
        - xarray.DataArray: a volume with dimensions out of t, c, z, y, x (as `fuse` gives it; also Z, depth, time,
          channel, row, column ...), focused along ``axis``; or photographs k, y, x, colour. In any order.
        - A pattern such as ``stack/*.jpg``, a folder of pictures, a TIFF stack, an OME-Zarr, pictures one by one: read
          as ``focus.input`` and ``input.images`` of a configuration are, in the order of ``sort -V``, turned as EXIF
          says; of a hyperstack (OME-TIFF, ImageJ) with its timepoints, channels and heights.
    chunks : int or (int, int), optional
        Rows and columns of a tile, at least; they change no pixel. By default, all slices of a tile and their masks
        have about 256 MiB.
    **options
        Keys of the configuration's ``focus`` section: ``options="--fft --maskfft"``, ``masks=[...]``, ``axis="y"`` ...

    Returns
    -------
    xarray.Dataset
        ``image`` [y, x] or [y, x, colour] in the type of the slices, ``mask`` 0..1 and ``depth`` (index of the slice, 0
        in front, NaN where nothing is sharp) float32 [y, x]. ``opacity`` float32 0..1 [y, x] where the picture may be
        transparent. Of volumes with t and c first, and ``height`` (the place of the slice, with its unit) where slices
        have places: evenly spaced coordinates, or what the OME-Zarr says. ``attrs["options"]`` says what was done.

    Raises
    ------
    ConfigError, InputError

    Warns
    -----
    FusestackWarning
        For each thing about the stack and the options that is right but may surprise.

    Examples
    --------
    >>> import dask.array as da
    >>> import fusestack
    >>> rng = da.random.default_rng(0)
    >>> stack = rng.integers(0, 255, (4, 64, 96), dtype="uint8", chunks=(1, 64, 96))
    >>> found = fusestack.focus_stack(stack)
    >>> found.image.dtype, found.depth.dims
    (dtype('uint8'), ('y', 'x'))
    >>> float(found.depth.mean().compute()) < 4
    True
    """
    stack = list(stack) if isinstance(stack, Iterator) else stack
    named = _paths_of(stack)
    if named is not None:
        if chunks is not None:
            raise ConfigError("chunks: pictures are cut by the program; leave it out, or give arrays")
        return _of_paths(named, options)
    import xarray

    from fusestack.focus.arrays import known_options, named_stack, plain_stack, with_letters
    from fusestack.focus.plain import is_lazy

    if isinstance(stack, xarray.Dataset | xarray.DataTree):
        raise InputError("stack: holds several arrays; give one of them, such as stack['image']")

    loaded, focus = known_options(options)
    if isinstance(stack, xarray.DataArray):
        stack = with_letters(stack)
        described = named_stack(stack, focus)
        return _lazy_dataset(described, loaded, focus, chunks, stack)
    described = plain_stack(stack, focus)
    found = _lazy_dataset(described, loaded, focus, chunks)
    return found if is_lazy(stack) else found.compute(scheduler="threads")


def _of_paths(named: str | list[str], options: dict[str, Any]) -> xarray.Dataset:
    """Run the stages in a temporary folder, and read what they made."""
    from fusestack.running.temporary import temporary_folder

    y, x = (name for name in ("z", "y", "x") if name != options.get("axis", "z"))
    with temporary_folder() as folder:
        paths = {
            key: f"{folder}/{name}.ome.zarr" for key, name in (("path", "image"), ("mask", "mask"), ("depth", "depth"))
        }
        output = {**paths, "pyramid": "none", **options.pop("output", {})}
        config: dict[str, Any] = {"version": 1, "focus": {**options, "output": output}}
        if isinstance(named, list) or is_pattern(named):
            config["input"] = {"images": named}
        else:
            config["focus"]["input"] = named
        made = plan(config)
        if _has_places(made) and "height" not in output:
            output["height"] = f"{folder}/height.ome.zarr"
            made = plan(config)
        tell(made.warnings)
        tell(run(made).found)
        read = [image for image in made.images if image.file_format != "mesh"]  # which is a file, not an array
        outputs = {image.title.partition(" ")[0]: _read(image) for image in read}
    spec, options = made.images[0].target.image, made.images[0].components["focus"]
    attrs = {"options": options["options"]}
    if _of_pictures(made):
        return _dataset(outputs, ("y", "x"), None, {}, attrs)
    places = zip((y, x), spec.origin[1:], spec.pixel_size[1:], spec.shape[3:], strict=True)
    units = {"units": spec.unit} if spec.unit else {}
    coords: dict[str, Any] = {axis: (axis, origin + size * np.arange(n), units) for axis, origin, size, n in places}
    coords["t"] = ("t", np.array(spec.timepoints), {})
    attrs |= {"unit": spec.unit} if spec.unit else {}
    attrs |= {} if spec.time is None else {"time_step": spec.time.labels(spec.timepoints)}
    return _dataset(outputs, (y, x), ("t", "c"), coords, attrs)


def _of_pictures(made: Plan) -> bool:
    from fusestack.sources.pictures import PicturePage

    return any(isinstance(sample.reads, PicturePage) for sample in made.samples)


def _has_places(made: Plan) -> bool:
    """Whether the slices of a plan say where they lie."""
    spec = made.images[0].target.image
    said = spec.unit is not None or any(spec.origin) or spec.pixel_size != (1.0, 1.0, 1.0)
    return said and not _of_pictures(made)


def _read(image: PlannedImage) -> tuple[NDArray[Any], tuple[str, ...]]:
    spec = image.target.image
    pixels = image.target.open().read(0, Box.of_shape(spec.shape))
    return pixels, tuple(channel.name for channel in spec.channels)


def _lazy_dataset(
    stack: ArrayStack, loaded: Any, focus: Any, chunks: int | tuple[int, int] | None, named: Any = None
) -> xarray.Dataset:
    from fusestack.focus.arrays import lazy_outputs

    made = lazy_outputs(loaded, focus, stack, _tile(chunks))
    tell(made.warnings)
    coords = {} if named is None else {axis: named.coords[axis] for axis in ("t", *stack.plane) if axis in named.coords}
    lead = None if stack.input.photographs else stack.lead
    attrs = {"options": made.options}
    unit = None if named is None else _unit(named, stack)
    attrs |= {"unit": unit} if unit else {}
    if named is not None and "time_step" in named.attrs:
        attrs["time_step"] = named.attrs["time_step"]
    return _dataset(made.arrays, stack.plane, lead, coords, attrs)


def _unit(named: Any, stack: ArrayStack) -> str | None:
    """Unit that an array says of the place of its slices, else of itself."""
    said = [named.coords[axis].attrs for axis in named.dims if axis in named.coords and axis in ("z", "y", "x")]
    said = [*(attrs for attrs in said), named.attrs]
    return next((str(attrs[key]) for attrs in said for key in ("units", "unit") if attrs.get(key)), None)


def _tile(chunks: Any) -> tuple[int, int] | None:
    if chunks is None:
        return None
    sides = chunks if isinstance(chunks, tuple | list) else (chunks, chunks)
    try:
        if any(isinstance(side, bool | np.bool_) for side in sides):
            raise TypeError
        rows, columns = map(operator.index, sides)
        if min(rows, columns) < 1:
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(
            f"chunks: {chunks!r} is no size of a tile; give rows and columns, such as (1024, 1024)"
        ) from None
    return rows, columns


def _dataset(
    outputs: Mapping[str, tuple[Any, tuple[str, ...]]],
    plane: tuple[str, str],
    lead: tuple[str, ...] | None,
    coords: Mapping[str, Any],
    attrs: Mapping[str, Any],
) -> xarray.Dataset:
    """Outputs [t, c, 1, y, x] as variables; `lead` names the axes t and c that are kept, None for photographs."""
    import xarray

    found: dict[str, xarray.DataArray] = {}
    count = len(outputs["image"][1])
    for name, (written, names) in outputs.items():
        pixels = written[:, :, 0]
        if name == "mask":
            pixels = _share(pixels)
        if lead is None:
            colours = [number for number, colour in enumerate(names) if colour != "A"] if name == "image" else [0]
            found[name] = _picture(pixels[0, : len(colours)], names, plane, name)
            if len(colours) < len(names) and name == "image":
                found["opacity"] = xarray.DataArray(_share(pixels[0, -1]), dims=plane, name="opacity")
            continue
        kept = [axis for axis in lead if axis == "t" or len(names) == count]
        pixels = pixels if "t" in kept else pixels[0]
        pixels = pixels if "c" in kept else pixels[(slice(None),) * ("t" in kept) + (0,)]
        own = {"c": list(names)} if "c" in kept else {}
        said = {"units": attrs["unit"]} if name == "height" and "unit" in attrs else {}
        found[name] = xarray.DataArray(pixels, dims=(*kept, *plane), coords=own, name=name, attrs=said)
    places = {axis: value for axis, value in coords.items() if axis in plane or lead}
    return xarray.Dataset(found, attrs=dict(attrs)).assign_coords(places)


def _picture(pixels: Any, names: tuple[str, ...], plane: tuple[str, str], name: str) -> xarray.DataArray:
    """Colours [c, y, x] as [y, x] or [y, x, colour]."""
    import dask.array
    import xarray

    if len(pixels) == 1:
        return xarray.DataArray(pixels[0], dims=plane, name=name)
    move = dask.array.moveaxis if isinstance(pixels, dask.array.Array) else np.moveaxis
    coords = {"colour": list(names[: len(pixels)])}
    return xarray.DataArray(move(pixels, 0, -1), dims=(*plane, "colour"), coords=coords, name=name)


def _share(pixels: Any) -> Any:
    """Integers as numbers 0..1."""
    white = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    return pixels.astype(np.float32) / np.float32(white)


def _paths_of(stack: Any) -> str | list[str] | None:
    """Absolute paths, where a stack is named by paths."""
    if isinstance(stack, str | Path):
        return absolute(str(stack))
    if isinstance(stack, list | tuple) and stack and all(isinstance(one, str | Path) for one in stack):
        return [absolute(str(one)) for one in stack]
    return None
