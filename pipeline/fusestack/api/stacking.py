"""Focus stacking of what people hold in their hands."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.api.configured import plan, run
from fusestack.model.errors import ConfigError, InputError, tell
from fusestack.model.geometry import Box
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray
    from numpy.typing import NDArray

    from fusestack.focus.arrays import ArrayStack
    from fusestack.planning.plan import PlannedImage


def focus_stack(
    stack: str | Path | Sequence[Any] | NDArray[Any] | xarray.DataArray,
    *,
    chunks: int | tuple[int, int] | None = None,
    **options: Any,
) -> xarray.Dataset:
    """Focus-stack slices into one sharp image, its mask and its depth.

    Lazy for dask and xarray: nothing is computed before it is asked for, on any dask scheduler, to the same bytes as a
    stored run. NumPy arrays go in and come out. Paths are computed at once, with a temporary folder for the stages.

    Slices are rechunked to tiles that hold all of them and overlapped once for the whole chain of operators. Where
    masks are levelled, as by default, levels are a statistic of the whole stack: its first pixel costs a pass over all
    slices, whose masks are kept (float32) until they are used, in memory or, by dask.distributed, on disk. For more
    than that, give paths, or ``statistics={"use": ...}`` of a run that saved them.

    Parameters
    ----------
    stack : path, sequence of paths, array or sequence of arrays
        - NumPy or dask: slices uint8, uint16 or float32 [k, y, x], or [k, y, x, colour] with 3 colours and possibly
          opacity, front first; or a sequence of slices.
        - xarray.DataArray: a volume with dimensions out of t, c, z, y, x (as `fuse` gives it), focused along ``axis``;
          or photographs k, y, x, colour. Their order does not matter.
        - A pattern such as ``stack/*.jpg``, a folder of pictures, a TIFF stack, an OME-Zarr, pictures one by one.
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
        transparent. Of volumes with t and c first, and ``height`` (the place of the slice) where slices have places.
        ``attrs["options"]`` says what was done.

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
    named = _paths_of(stack)
    if named is not None:
        if chunks is not None:
            raise ConfigError("chunks: pictures are cut by the program; leave it out, or give arrays")
        return _of_paths(named, options)
    import xarray

    from fusestack.focus.arrays import is_lazy, known_options, named_stack, plain_stack

    if isinstance(stack, xarray.Dataset | xarray.DataTree):
        raise InputError("stack: holds several arrays; give one of them, such as stack['image']")

    loaded, focus = known_options(options)
    if isinstance(stack, xarray.DataArray):
        described = named_stack(stack, focus)
        return _lazy_dataset(described, loaded, focus, chunks, stack)
    described = plain_stack(stack, reverse=focus.reverse)
    found = _lazy_dataset(described, loaded, focus, chunks)
    return found if is_lazy(stack) else found.compute(scheduler="threads")


def _of_paths(named: str | list[str], options: dict[str, Any]) -> xarray.Dataset:
    """Run the stages in a temporary folder, and read what they made."""
    import tempfile

    from fusestack.focus.slices import PictureSlices

    with tempfile.TemporaryDirectory(prefix="fusestack-") as folder:
        paths = {
            key: f"{folder}/{name}.ome.zarr" for key, name in (("path", "image"), ("mask", "mask"), ("depth", "depth"))
        }
        output = {**paths, "pyramid": "none", **options.pop("output", {})}
        config: dict[str, Any] = {"version": 1, "focus": {**options, "output": output}}
        if isinstance(named, list) or glob.has_magic(named):
            config["input"] = {"images": named}
        else:
            config["focus"]["input"] = named
        made = plan(config)
        tell(made.warnings)
        run(made)
        outputs = {image.title.partition(" ")[0]: _read(image) for image in made.images}
    spec, options = made.images[0].target.image, made.images[0].components["focus"]
    attrs = {"options": options["options"]}
    if any(isinstance(stage.compute, PictureSlices) for stage in made.images[0].preparation):
        return _dataset(outputs, ("y", "x"), None, {}, attrs)
    places = zip("yx", spec.origin[1:], spec.pixel_size[1:], spec.shape[3:], strict=True)
    coords = {axis: origin + size * np.arange(n) for axis, origin, size, n in places}
    attrs |= {"unit": spec.unit} if spec.unit else {}
    return _dataset(outputs, ("y", "x"), ("t", "c"), {"t": list(spec.timepoints), **coords}, attrs)


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
    attrs |= {key: named.attrs[key] for key in ("unit",) if named is not None and key in named.attrs}
    return _dataset(made.arrays, stack.plane, lead, coords, attrs)


def _tile(chunks: Any) -> tuple[int, int] | None:
    sides = (chunks, chunks) if isinstance(chunks, int) else chunks
    if sides is None:
        return None
    if not isinstance(sides, tuple | list) or len(sides) != 2 or not all(isinstance(n, int) and n > 0 for n in sides):
        raise ConfigError(f"chunks: {chunks!r} is no size of a tile; give rows and columns, such as (1024, 1024)")
    return sides[0], sides[1]


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
        found[name] = xarray.DataArray(pixels, dims=(*kept, *plane), coords=own, name=name)
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


def _absolute(path: str) -> str:
    return path if is_address(path) else str(Path(path).absolute())


def _paths_of(stack: Any) -> str | list[str] | None:
    """Absolute paths, where a stack is named by paths."""
    if isinstance(stack, str | Path):
        return _absolute(str(stack))
    if isinstance(stack, list | tuple) and stack and all(isinstance(one, str | Path) for one in stack):
        return [_absolute(str(one)) for one in stack]
    return None
