"""Small volumes for pictures: from an image file at a coarse level, or of a configuration, fused on the fly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.display.still import Volume, drawn_part
from fusestack.model.errors import InputError
from fusestack.model.geometry import Box, float3
from fusestack.model.image import PICTURE_SUFFIXES
from fusestack.model.view import SourceRef
from fusestack.project.readers import READERS
from fusestack.sources.base import open_source
from fusestack.storage.zarr_python import open_zarr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.config.load import LoadedConfig

_MOST_PIXELS = 2**24
_MOST_STACK = 2**24
"""Pixels of all slices of a stack that is stacked for a picture."""
_COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def volume_of_config(loaded: LoadedConfig) -> Volume:
    """Fuse what a configuration asks for on the fly, coarse enough to be quick; first image, first timepoint.

    Of a configuration that fuses nothing, the sharp picture is drawn: that of a run, or one made of reduced slices.

    Raises
    ------
    ConfigError, InputError
    """
    from fusestack.config.load import unsupported
    from fusestack.fusion.inputs import read_inputs
    from fusestack.fusion.plan import design_of
    from fusestack.model.errors import ConfigError

    if problems := unsupported(loaded):
        raise ConfigError(*problems)
    if loaded.config.input is None or loaded.config.input.images is not None:
        return _volume_of_focus(loaded)
    inputs = read_inputs(loaded)
    downsampling = loaded.config.fusion.downsampling
    image = design_of(loaded, inputs).images[0]
    pixels = math.prod(image.shape[2:])
    if pixels > _MOST_PIXELS:
        downsampling = max(1.0, math.ceil((pixels / _MOST_PIXELS) ** (1 / 3) * downsampling))
        image = design_of(loaded, inputs, downsampling=downsampling).images[0]
    channels = []
    for c in range(image.shape[1]):
        box = Box((0, c, 0, 0, 0), (1, c + 1, *image.shape[2:]))
        found = image.compute(box)
        channels.append(np.zeros(image.shape[2:], image.dtype) if found is None else found[0, 0])
    return Volume(
        tuple(channels),
        tuple(channel.color for channel in image.channels),
        image.pixel_size,
        image.unit or "world pixels",
        f"{loaded.name}: {image.title}, fused at downsampling {downsampling:g}",
        tuple(channel.name for channel in image.channels),
    )


def _volume_of_focus(loaded: LoadedConfig) -> Volume:
    """The sharp picture of a configuration without fusion, else one of slices that are reduced to be quick."""
    from fusestack.display.focused import focus_images

    images = focus_images(loaded, fuses=False).images
    image = next(image for image in images if image.shown)
    most = _MOST_PIXELS if image.levels[0].shape[0] == 1 else _MOST_STACK
    sizes = [len(image.channels) * math.prod(level.shape) for level in image.levels]
    number = next((i for i, size in enumerate(sizes) if size <= most), len(sizes) - 1)
    level = image.levels[number]
    shown = [c for c, channel in enumerate(image.channels) if channel.name != "A"]
    read = [image.pixels.read(number, 0, c, Box.of_shape(level.shape)) for c in shown]
    pixels = np.stack([plane for plane in read if plane is not None])
    colors = tuple(image.channels[c].color for c in shown)
    title = f"{loaded.name}: the focus-stacked image"
    if image.levels[0].shape[0] > 1:
        pixels = _stacked(loaded, pixels, photographs=set("RGBL") >= {image.channels[c].name for c in shown})
        focus = loaded.config.focus
        as_taken = " as they were taken" if focus is not None and (focus.align or focus.prepare) else ""
        size_of = f"{level.shape[2]} x {level.shape[1]} pixels"
        title += f", made of {level.shape[0]} slices of {size_of}{as_taken}; a run is sharper"
    size = float3((1.0, *level.scale[1:]))
    return Volume(tuple(pixels), colors, size, image.unit or "pixels", title)


def _stacked(loaded: LoadedConfig, pixels: NDArray[Any], *, photographs: bool) -> NDArray[Any]:
    """Focus-stack slices [c, k, y, x] as a configuration says: [c, 1, y, x]."""
    import xarray

    from fusestack.config.focus import Focus
    from fusestack.focus.arrays import lazy_outputs, named_stack

    given = loaded.config.focus or Focus()
    focus = given.model_copy(update={"output": Focus().output, "statistics": Focus().statistics, "axis": "z"})
    # slices are in their order already, and are shown as they were taken
    focus = focus.model_copy(update={"reverse": False, "layered": False, "align": None, "prepare": ()})
    dims = ("colour", "k", "y", "x") if photographs else ("c", "z", "y", "x")
    held = xarray.DataArray(pixels, dims=dims)
    stack = named_stack(held[0] if photographs and len(pixels) == 1 else held, focus)
    image, _ = lazy_outputs(loaded, focus, stack).arrays["image"]
    return np.asarray(image[0].compute(scheduler="threads"))


@dataclass(frozen=True)
class _Facts:
    """What an image says of itself, for a picture."""

    colors: tuple[str, ...] = ("FFFFFF",)
    pixel_size: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unit: str = "pixels"


def volume_of_image(path: str) -> Volume:
    """Read an OME-Zarr or TIFF image at the finest level that is small enough; first timepoint.

    Raises
    ------
    InputError
        If the file is missing or of an unknown format.
    """
    name = path.rpartition("/")[2]
    if name.lower().endswith(PICTURE_SUFFIXES) and (picture := _picture(path)) is not None:
        return picture
    reader = next((reader for suffix, reader in READERS.items() if name.lower().endswith(suffix)), None)
    if reader is None:
        raise InputError(
            f"{path}: no picture can be made of this format; known are {', '.join(READERS)} and configurations (.yaml)"
        )
    first = open_source(SourceRef(reader, path, (("timepoint", 0), ("channel", 0))))
    facts = _facts_of_zarr(path) if name.lower().endswith(".zarr") else _Facts()
    number = next(
        (i for i, level in enumerate(first.levels) if math.prod(level.shape) <= _MOST_PIXELS), len(first.levels) - 1
    )
    level = first.levels[number]
    part = drawn_part(level.shape, _MOST_PIXELS)
    channels = []
    for c in range(len(facts.colors)):
        source = open_source(SourceRef(reader, path, (("timepoint", 0), ("channel", c))))
        channels.append(source.read(number, part))
    z, y, x = (s * f for s, f in zip(facts.pixel_size, level.factors, strict=True))
    shape = " x ".join(str(n) for n in reversed(first.levels[0].shape))
    middle = "" if part.shape == level.shape else "the middle of "
    title = f"{name}: {shape} pixels (xyz), drawn from {middle}level {number}"
    return Volume(tuple(channels), facts.colors, (z, y, x), facts.unit, title)


def _picture(path: str) -> Volume | None:
    """Draw a PNG, a JPEG, or a coloured or single page of TIFF; None for stacks of grey planes."""
    from fusestack.sources.pictures import describe_picture, read_picture

    try:
        pictures = describe_picture(path)
    except InputError:
        if path.lower().endswith((".tif", ".tiff")):
            return None  # pixel types of volumes
        raise
    first = pictures[0]
    if len(pictures) > 1 and first.colours == "L":
        return None
    pixels = read_picture(first)[: len(first.colours.rstrip("A"))]
    step = max(1, math.ceil(math.sqrt(pixels[0].size / _MOST_PIXELS)))
    channels = tuple(plane[None, ::step, ::step] for plane in pixels)
    colors = ("FF0000", "00FF00", "0000FF") if len(channels) == 3 else ("FFFFFF",)
    height, width = first.shape
    title = f"{path.rpartition('/')[2]}: {width} x {height} pixels"
    return Volume(channels, colors, (1.0, float(step), float(step)), "pixels", title)


def _facts_of_zarr(path: str) -> _Facts:
    """Channels, pixel size and unit of an OME-Zarr; guesses where the metadata are silent."""
    attributes: dict[str, Any] = dict(open_zarr(path).attrs)
    attributes = attributes.get("ome", attributes)
    image = attributes.get("multiscales", [{}])[0]
    axes = image.get("axes", [])
    units = [axis.get("unit") for axis in axes if axis.get("type") == "space"]
    scale = next(
        (
            transform["scale"]
            for transform in image.get("datasets", [{}])[0].get("coordinateTransformations", [])
            if transform.get("type") == "scale"
        ),
        [1.0],
    )
    size = [float(v) for v in scale[-len(units) :]] if units else []
    z, y, x = [1.0] * (3 - len(size[-3:])) + size[-3:]
    channels = attributes.get("omero", {}).get("channels", [])[: len(_COLORS)]
    if len(channels) > 1:
        colors = tuple(channel.get("color", _COLORS[i]) for i, channel in enumerate(channels))
    else:
        colors = ("FFFFFF",)
    return _Facts(colors, (z, y, x), next((unit for unit in units if unit), "pixels"))
