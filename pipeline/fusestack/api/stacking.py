"""Focus stacking of what people hold in their hands."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.api.configured import plan, run
from fusestack.model.geometry import Box
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray
    from numpy.typing import NDArray

    from fusestack.planning.plan import PlannedImage


def focus_stack(stack: str | Path | Sequence[Any] | NDArray[Any], **options: Any) -> xarray.Dataset:
    """Focus-stack slices into one sharp image, its mask and its depth; computed at once, in a temporary folder.

    Parameters
    ----------
    stack : path, sequence of paths, array or sequence of arrays
        A pattern such as ``stack/*.jpg``, a folder of pictures, a TIFF stack, an OME-Zarr, pictures one by one; or
        slices uint8, uint16 or float32 [k, y, x], or [k, y, x, colour] with 3 colours and possibly alpha, front first.
    **options
        Keys of the configuration's ``focus`` section: ``options="--fft --maskfft"``, ``masks=[...]``, ``axis="y"`` ...

    Returns
    -------
    xarray.Dataset
        ``image`` [y, x] or [y, x, colour] in the type of the slices, ``mask`` 0..1 and ``depth`` (index of the slice, 0
        in front, NaN where nothing is sharp) [y, x]; of volumes all with t and c first.

    Raises
    ------
    ConfigError, InputError
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fusestack-") as folder:
        named = _paths_of(stack)
        if named is None:
            named = _slices_file(stack, Path(folder))
        output = {
            "path": f"{folder}/image.ome.zarr",
            "mask": f"{folder}/mask.ome.zarr",
            "depth": f"{folder}/depth.ome.zarr",
        }
        output |= {"pyramid": "none", **options.pop("output", {})}
        config: dict[str, Any] = {"version": 1, "focus": {**options, "output": output}}
        if isinstance(named, list) or glob.has_magic(named):
            config["input"] = {"images": named}
        else:
            config["focus"]["input"] = named
        made = plan(config)
        run(made)
        return _dataset({image.title.partition(" ")[0]: image for image in made.images})


def _absolute(path: str) -> str:
    return path if is_address(path) else str(Path(path).absolute())


def _paths_of(stack: Any) -> str | list[str] | None:
    """Absolute paths, where a stack is named by paths."""
    if isinstance(stack, str | Path):
        return _absolute(str(stack))
    if isinstance(stack, list | tuple) and stack and all(isinstance(one, str | Path) for one in stack):
        return [_absolute(str(one)) for one in stack]
    return None


def _slices_file(stack: Any, folder: Path) -> str:
    """Slices as the pages of a TIFF file."""
    import tifffile

    from fusestack.model.errors import InputError

    wanted = "give slices [k, y, x], or [k, y, x, 3 or 4] with their colours, paths, or a pattern such as stack/*.jpg"
    try:
        pixels = np.asarray(stack)
    except ValueError as error:
        raise InputError(f"stack: its slices differ in size ({error}); {wanted}") from error
    if pixels.dtype.kind not in "uif":
        raise InputError(f"stack: is no array of numbers; {wanted}")
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[-1] not in (3, 4)) or 0 in pixels.shape:
        raise InputError(f"stack: has the shape {pixels.shape}; {wanted}")
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        raise InputError(f"stack: has the shape {pixels.shape}, which looks like one picture in colour; {wanted}")
    if pixels.dtype.name not in ("uint8", "uint16", "float32"):
        raise InputError(f"stack: has pixels of type {pixels.dtype.name}; convert them to uint8, uint16 or float32")
    path = folder / "stack.tif"
    kind = "rgb" if pixels.ndim == 4 else "minisblack"
    alpha = ("unassalpha",) if pixels.shape[-1] == 4 and pixels.ndim == 4 else None
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for page in pixels:
            writer.write(page, photometric=kind, extrasamples=alpha, contiguous=False, metadata=None)
    return str(path)


def _white(dtype: str) -> float:
    kind = np.dtype(dtype)
    return 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)


def _dataset(images: Mapping[str, PlannedImage]) -> xarray.Dataset:
    import xarray

    arrays = {}
    for name, image in images.items():
        spec = image.target.image
        pixels = image.target.open().read(0, Box.of_shape(spec.shape))[:, :, 0]
        names = [channel.name for channel in spec.channels]
        if name == "mask":
            pixels = pixels.astype(np.float32) / np.float32(_white(spec.dtype))
        photograph = set(names) <= {"L", "R", "G", "B", "A", "mask", "depth"}
        if names[-1] == "A" and (pixels[:, -1] == _white(spec.dtype)).all():
            names, pixels = names[:-1], pixels[:, :-1]
        dims: tuple[str, ...] = ("t", "c", "y", "x")
        values = pixels
        if photograph and pixels.shape[1] == 1:
            dims, values = ("y", "x"), pixels[0, 0]
        elif photograph:
            dims, values = ("y", "x", "colour"), np.moveaxis(pixels[0], 0, -1)
        coords = {"colour": names} if "colour" in dims else {"c": names} if "c" in dims else {}
        arrays[name] = xarray.DataArray(values, dims=dims, coords=coords, name=name)
    return xarray.Dataset(arrays)
