"""Images that people hold in their hands, with what their labels say: axes, pixel size, place, timepoints, channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.image import AXES, Channel
from fusestack.model.units import time_step, unit_of
from fusestack.planning.pictures import colour_channel
from fusestack.sources.arrays import held_array, named_array
from fusestack.sources.base import PIXEL_TYPES
from fusestack.sources.labels import axis_of, even_line, is_colour

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3
    from fusestack.model.units import TimeStep

_DIMENSIONS = {2: ("y", "x"), 3: ("z", "y", "x"), 5: AXES}
_COLOURS = {1: ("L",), 2: ("L", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}
_DIFFERS = 1e-3
_SAME = 1e-6
_GIVE = (
    "give an xarray.DataArray with dims out of t, c, z, y, x, or y, x, colour, "
    "or an array [y, x], [z, y, x] or [t, c, z, y, x]"
)
_GIVE_PICTURE = "give an array [y, x] or [y, x, colour] with 1 to 4 colours, or an xarray.DataArray with named dims"


@dataclass(frozen=True)
class LabelledImage:
    """An image before it has a format.

    Parameters
    ----------
    title : str
    pixels : numpy or dask array
        t, c, z, y, x.
    pixel_size, origin : (float, float, float)
        z, y, x, in `unit`.
    unit : str or None
        UDUNITS name.
    timepoints : tuple of int
    channels : tuple of Channel
    warnings : tuple of str
        What of it cannot be written.
    colours : bool
        Whether its channels are the colours of a picture.
    time : TimeStep or None
        From one timepoint to the next.
    """

    title: str
    pixels: Any
    pixel_size: Float3
    origin: Float3
    unit: str | None
    timepoints: tuple[int, ...]
    channels: tuple[Channel, ...]
    warnings: tuple[str, ...] = ()
    colours: bool = False
    time: TimeStep | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along t, c, z, y, x."""
        return tuple(int(n) for n in self.pixels.shape)

    @property
    def dtype(self) -> str:
        """Type of its pixels."""
        return str(np.dtype(self.pixels.dtype).name)


def labelled(image: Any, *, voxel_size: Any = None, unit: str | None = None, picture: bool = False) -> LabelledImage:
    """Read the labels of an image; no pixel is computed.

    Parameters
    ----------
    image : xarray.DataArray, xarray.DataTree, or array of dask, numpy, zarr or h5py
        Of a tree, the image at full resolution is taken.
    voxel_size : float, mapping or (float, float, float), optional
        Physical size of a pixel, ``{"x": 0.2, "y": 0.2, "z": 1}`` or z, y, x; where no coordinates say it.
    unit : str, optional
        Of `voxel_size` and of coordinates, such as micrometer.
    picture : bool
        Whether an array without names is a picture, [y, x] or [y, x, colour].

    Raises
    ------
    InputError
        If it is no image, or has axes, coordinates or pixels that cannot be written.
    """
    given = None if voxel_size is None else _per_axis(voxel_size)
    image, warnings = _full_resolution(image)
    image = _in_letters(image)
    names, colour = _dims_of(image, picture=picture)
    labels = image if hasattr(image, "coords") else None
    data = held_array("image", image)
    if 0 in data.shape:
        raise InputError(f"image: has no pixels, its shape is {tuple(data.shape)}; {_GIVE}")
    _check_pixels(data)
    places = {axis: _place(labels, axis, given) for axis in ("z", "y", "x")}
    steps, origins = ([places[axis][i] for axis in ("z", "y", "x")] for i in (0, 1))
    timepoints = _timepoints(labels, _length(data, names, "t"))
    return LabelledImage(
        title=str(getattr(image, "name", None) or "image") if labels is not None else "image",
        pixels=_five(data, names),
        pixel_size=(steps[0], steps[1], steps[2]),
        origin=(origins[0], origins[1], origins[2]),
        unit=_unit(labels, unit),
        timepoints=timepoints,
        channels=_channels(labels, _length(data, names, "c"), colour),
        warnings=(*warnings, *_not_written(labels, colour)),
        colours=colour is not None,
        time=_time_step(labels, timepoints),
    )


def is_volume(image: Any) -> bool:
    """Whether an image has several planes of one channel, and no colours: what a TIFF stack is for.

    Of an array without names, the last axis may be the colours of a picture, where it is as short as that.
    """
    image = _in_letters(_full_resolution(image)[0])
    shape = tuple(getattr(image, "shape", ()))
    names = tuple(getattr(image, "dims", ())) if hasattr(image, "coords") else _DIMENSIONS.get(len(shape), ())
    if not hasattr(image, "coords") and len(shape) == 3 and shape[2] in _COLOURS:
        return False
    lengths = dict(zip(names, shape, strict=False))
    return lengths.keys() <= set("tczyx") and lengths.get("z", 1) > 1 and lengths.get("c", 1) == 1


def _full_resolution(image: Any) -> tuple[Any, tuple[str, ...]]:
    """The image itself, or the largest one of a tree of levels; what is not written of it."""
    kind = f"{type(image).__module__.partition('.')[0]}.{type(image).__name__}"
    if kind == "xarray.Dataset":
        names = [str(name) for name in image.data_vars]
        way_out = f"write one after the other: write(found.{names[0]}, ...)" if names else _GIVE
        raise InputError(f"image: is a Dataset of several images ({', '.join(names)}); {way_out}")
    if kind != "xarray.DataTree":
        return image, ()
    found = [array for node in image.subtree for array in node.data_vars.values()]
    if not found:
        raise InputError(f"image: the DataTree holds no image; {_GIVE}")
    largest = max(found, key=lambda array: int(array.size))
    if sum(array.size == largest.size for array in found) > 1:
        raise InputError("image: the DataTree holds several images of the same size; write one of them")
    return largest, ("of the DataTree its largest image is written; the levels are made anew",)


def _in_letters(image: Any) -> Any:
    """Call the axes and their coordinates t, c, z, y, x where they have longer names, or capitals."""
    if not hasattr(image, "dims") or not hasattr(image, "coords"):
        return image
    names = {name: axis_of(name) for name in dict.fromkeys((*image.dims, *image.coords)) if axis_of(name)}
    if len(set(names.values())) < len(names):
        raise InputError(
            f"image: two of its dimensions or coordinates ({', '.join(map(str, names))}) are the same axis; "
            "rename or drop one: image.drop_vars"
        )
    return image.rename({name: axis for name, axis in names.items() if name != axis})


def _dims_of(image: Any, *, picture: bool) -> tuple[tuple[str, ...], str | None]:
    """Letters of the axes, and the dimension that is the colour; it is an axis c."""
    if not (hasattr(image, "shape") and hasattr(image, "dtype") and hasattr(image, "ndim")):
        raise InputError(f"image: is no array, but {type(image).__name__}; {_GIVE}")
    if not hasattr(image, "coords"):  # arrays of HDF5 have dims too
        return _unnamed(tuple(image.shape), picture=picture)
    found = [str(name) for name in image.dims]
    colour = next((name for name in found if is_colour(name)), None)
    if colour is not None and "c" in found:
        raise InputError(
            f"image: has channels (c) and colours ({colour}); take one channel (image.isel(c=0)), "
            f'or make channels of them: image.stack(channel=("c", "{colour}"), create_index=False)'
            '.rename(channel="c")'
        )
    if colour is not None and not 0 < image.sizes[colour] <= len(_COLOURS):
        raise InputError(
            f"image: has {image.sizes[colour]} colours, pictures have 1 to {len(_COLOURS)}; "
            f'call them channels: image.rename({colour}="c")'
        )
    names = tuple("c" if name == colour else name for name in found)
    unknown = [name for name in names if name not in AXES]
    if unknown:
        raise InputError(
            f"image: the dimension '{unknown[0]}' is unknown; rename it to one of t, c, z, y, x: "
            f'image.rename({unknown[0]}="z")'
        )
    if not {"y", "x"} <= set(names):
        raise InputError(f"image: has the dimensions {', '.join(found) or 'none'}, and needs y and x; {_GIVE}")
    return names, colour


def _unnamed(shape: tuple[int, ...], *, picture: bool) -> tuple[tuple[str, ...], str | None]:
    """As `_dims_of`, of an array whose axes have no names."""
    if picture:
        if len(shape) == 3 and shape[2] in _COLOURS:
            return ("y", "x", "c"), "colour"
        if len(shape) != 2:
            raise InputError(f"image: has the shape {shape}, a picture has not; {_GIVE_PICTURE}")
    elif len(shape) not in _DIMENSIONS:
        raise InputError(f"image: has {len(shape)} dimensions; {_GIVE}")
    return _DIMENSIONS[len(shape)], None


def _check_pixels(data: Any) -> None:
    dtype = np.dtype(data.dtype)
    if dtype.name not in PIXEL_TYPES:
        wanted = "float32" if dtype.kind == "f" else "uint8" if dtype.kind == "b" else "uint16"
        raise InputError(
            f"image: pixels of type {dtype.name} are not written, only {', '.join(PIXEL_TYPES)}; "
            f'convert them: image.astype("{wanted}")'
        )


def _five(data: Any, names: Sequence[str]) -> Any:
    """Pixels t, c, z, y, x; the array itself where it is that already, if it is one of numpy or dask."""
    if not isinstance(data, np.ndarray):
        data = named_array("image", data)
    if tuple(names) == AXES:
        return data
    present = [axis for axis in AXES if axis in names]
    order = [list(names).index(axis) for axis in present]
    turned = data if order == sorted(order) else data.transpose(order)
    return turned[tuple(slice(None) if axis in names else None for axis in AXES)]


def _length(data: Any, names: Sequence[str], axis: str) -> int:
    return int(data.shape[list(names).index(axis)]) if axis in names else 1


def _per_axis(value: Any) -> dict[str, float]:
    wanted = "give a number, {x: ..., y: ..., z: ...}, or three numbers z, y, x, all greater than 0"
    try:
        if isinstance(value, Mapping):
            found = {axis: float(value[axis]) for axis in ("z", "y", "x")}
            if len(value) != len(found):
                raise ValueError
        elif np.ndim(value) == 0:
            found = dict.fromkeys("zyx", float(value))
        else:
            found = {axis: float(size) for axis, size in zip("zyx", value, strict=True)}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"voxel_size: {value!r} is not allowed; {wanted}") from error
    if not all(np.isfinite(size) and size > 0 for size in found.values()):
        raise InputError(f"voxel_size: {value!r} is not allowed; {wanted}")
    return found


def _place(labels: Any, axis: str, given: Mapping[str, float] | None) -> tuple[float, float]:
    """Size of a pixel, and where the first one is."""
    said = _said_size(labels, axis)
    size = (given or {}).get(axis, said if said is not None else 1.0)
    if labels is None or axis not in labels.coords:
        return size, 0.0
    values = _numbers(np.atleast_1d(np.asarray(labels.coords[axis].values)), axis)
    origin = float(values[0])
    if values.size == 1:
        return size, origin
    line = even_line(values)
    if line is None or line[1] < 0:
        raise InputError(
            f"image: its coordinates along {axis} do not rise evenly; "
            f'sort it (image.sortby("{axis}")), or interpolate it to an even grid (image.interp)'
        )
    step = line[1]
    if given is not None and abs(size - step) > _DIFFERS * step:
        raise InputError(
            f"voxel_size: is {size:g} along {axis}, the coordinates of the image say {step:g}; "
            f'leave it out, or drop them: image.drop_vars("{axis}")'
        )
    near = said is not None and abs(said - step) <= _SAME * step
    return (said if near and said is not None else float(f"{step:.9g}")), origin


def _said_size(labels: Any, axis: str) -> float | None:
    """What `fuse` notes in the attribute pixel_size: a number that no difference of coordinates has blurred."""
    sizes = None if labels is None else labels.attrs.get("pixel_size")
    size = sizes.get(axis) if isinstance(sizes, Mapping) else None
    return float(size) if isinstance(size, int | float) and size > 0 else None


def _numbers(values: NDArray[Any], axis: str) -> NDArray[np.float64]:
    if values.dtype.kind not in "iuf" or not np.isfinite(values.astype(np.float64)).all():
        raise InputError(
            f"image: its coordinates along {axis} are no numbers, or not finite; "
            f'give others (image.assign_coords), or drop them: image.drop_vars("{axis}")'
        )
    return values.astype(np.float64)


def _unit(labels: Any, given: str | None) -> str | None:
    """UDUNITS name of the keyword, or of what the image says."""
    said = [given]
    if given is None and labels is not None:
        held = [labels.attrs, *(labels.coords[axis].attrs for axis in ("z", "y", "x") if axis in labels.coords)]
        said = [str(attrs[key]) for attrs in held for key in ("unit", "units") if attrs.get(key)]
    found = dict.fromkeys(unit_of(unit) for unit in said if unit is not None)
    if len(found) > 1:
        raise InputError(f"image: its axes have several units ({', '.join(map(str, said))}); bring them to one")
    return next(iter(found), None)


def _timepoints(labels: Any, count: int) -> tuple[int, ...]:
    if labels is None or "t" not in labels.coords:
        return tuple(range(count))
    values = np.atleast_1d(np.asarray(labels.coords["t"].values))
    whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and (values == np.floor(values)).all())
    if not whole or (values < 0).any() or len(set(values.tolist())) < values.size:
        raise InputError(
            "image: its coordinates along t are not the numbers of timepoints, 0, 1, 2 ...; number them: "
            "image.assign_coords(t=range(len(image.t)))"
        )
    return tuple(int(value) for value in values)


def _time_step(labels: Any, timepoints: tuple[int, ...]) -> TimeStep | None:
    """What `fuse` notes in the attribute time_step, of these timepoints."""
    said = None if labels is None else labels.attrs.get("time_step")
    if not isinstance(said, Mapping):
        return None
    step = time_step(said.get("value"), str(said.get("unit")), float(said.get("first", 0.0)))
    return None if step is None else step.of(timepoints)


def _channels(labels: Any, count: int, colour: str | None) -> tuple[Channel, ...]:
    from fusestack.fusion.groups import channel_color

    if colour is not None:
        return tuple(colour_channel(number, name) for number, name in enumerate(_colours(labels, count, colour)))
    names: list[Any] = [f"channel {number}" for number in range(count)]
    if labels is not None and "c" in labels.coords:
        names = np.atleast_1d(np.asarray(labels.coords["c"].values)).tolist()
        names = [name if isinstance(name, str) else f"channel {name}" for name in names]
    said = labels.attrs.get("colors") if labels is not None else None
    if isinstance(said, list | tuple) and len(said) == count:  # of what `fuse` has made
        return tuple(Channel(number, name, str(said[number])) for number, name in enumerate(names))
    if len(names) == 1:
        return (Channel(0, names[0]),)
    if set(names) <= {"R", "G", "B", "A"}:
        return tuple(colour_channel(number, name) for number, name in enumerate(names))
    return tuple(Channel(number, name, channel_color(number)) for number, name in enumerate(names))


def _colours(labels: Any, count: int, colour: str) -> tuple[str, ...]:
    """Names of the colours of a picture: R, G, B and A (opacity), or L, as coordinates say or by their number."""
    if labels is None or colour not in labels.coords:
        return _COLOURS[count]
    said = np.asarray(labels.coords[colour].values).tolist()
    if not all(isinstance(name, str) for name in said):  # they count
        return _COLOURS[count]
    return tuple(name.upper() if len(name) == 1 else name for name in said)


def _not_written(labels: Any, colour: str | None) -> tuple[str, ...]:
    if labels is None:
        return ()
    attributes = [str(key) for key in labels.attrs if key not in ("unit", "units", "pixel_size", "colors", "time_step")]
    coordinates = [str(name) for name in labels.coords if name not in (*AXES, colour)]
    return tuple(
        f"the {what} {', '.join(names)} of the image {'are' if len(names) > 1 else 'is'} not written"
        for what, names in (("attributes", attributes), ("coordinates", coordinates))
        if names
    )
