"""What a TIFF file says about its pixels: OME-XML, ImageJ's description, or plain tags; metadata only."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.units import known_unit, length_factor
from fusestack.sources.base import check_exists, file_identity, input_errors, opened_file, pixel_dtype
from fusestack.sources.facts import ImageFacts, refuse_choice
from fusestack.sources.ome_xml import OmeImage, master_of, ome_images
from fusestack.sources.tiff_axes import Axes, axes_of_series
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.sources.ome_xml import Sizes

_READER = "fusestack.sources.tiff:TiffSource"
_RESTORE = "restore it from its source, or write the image again"
_ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")
_RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}
_SCREEN = 72
"""Dots an inch that programs write who know nothing of it; ImageJ does not use them either (its TiffDecoder)."""


def tiff_facts(path: str, *, series: int | None = None, axes: str | None = None) -> ImageFacts:
    """Read what a TIFF file says of one of its images; no pixel is read.

    Parameters
    ----------
    path : str
    series : int, optional
        Number of the image; needed where the file holds several.
    axes : str, optional
        Letters of t, c, z, y, x: what the axes of its array are, slowest first, whatever the file says.

    Raises
    ------
    InputError
        If the description is damaged, or it is not clear which image or which axes are meant.
    """
    check_exists(path)
    return _read(path, series, axes, file_identity(path))


@functools.lru_cache(maxsize=65536)
def _read(path: str, series: int | None, axes: str | None, identity: str | None) -> ImageFacts:
    import tifffile

    with (
        input_errors(path, "its description cannot be read", _RESTORE),
        tifffile.TiffFile(opened_file(path) if is_address(path) else path) as tiff,
    ):
        images: list[OmeImage] = []
        if tiff.is_ome and (text := tiff.ome_metadata):
            images = ome_images(text)
            if not images and (master := master_of(text)) is not None:
                raise InputError(
                    f"{path}: is a part of an image that {master} describes; name that file, if it is TIFF"
                )
        number, image = 0, None
        if axes is not None or series is not None or len(images) != 1 or images[0].samples != 1:
            number, image = _chosen(tiff, path, series)
            described = _description_of(image, tiff.series, images)
            found = axes_of_series(image, path, axes)
        else:
            described = images[0]
            found = Axes.of_lengths(described.lengths)
        if described is not None:
            dtype = described.dtype if image is None else image.dtype
            facts = _of_ome(described, found)
        else:
            dtype = tiff.series[number].dtype
            facts = _of_imagej(tiff, found) if tiff.is_imagej else _of_tags(tiff.pages.first, found)
        page = tiff.pages.first if image is None else image.keyframe
        options: tuple[tuple[str, Any], ...] = (("series", number),) if number else ()
        return replace(
            facts,
            path=path,
            dtype=pixel_dtype(dtype, path).name,
            chunks=(1, 1, 1, *_piece(page)),
            options=options if axes is None else (*options, ("axes", axes)),
            found=(*facts.found, *(("axes", guess) for guess in found.guesses)),
        )


def _chosen(tiff: Any, path: str, series: int | None) -> tuple[int, Any]:
    """Number of an image of a file, and the image: the one that is asked for, or the only one that lies in it."""
    listed: Sequence[Any] = tiff.series
    if not listed:
        raise InputError(f"{path}: holds no image; {_RESTORE}")
    if series is not None:
        if series >= len(listed):
            raise InputError(f"{path}: has {len(listed)} series, and no series {series}; correct it")
        return series, listed[series]
    if len(listed) > 1:
        # Files of a set describe all of it, and each holds one of its images.
        own = [number for number, image in enumerate(listed) if image.keyframe.parent is tiff]
        if len(own) != 1:
            choices = [f"{image.name or 'no name'}, {' x '.join(map(str, image.shape))}" for image in listed]
            raise refuse_choice(path, "images (series)", choices)
        return own[0], listed[own[0]]
    return 0, listed[0]


def _description_of(image: Any, listed: Sequence[Any], images: Sequence[OmeImage]) -> OmeImage | None:
    """Description of an image; images without planes are described, but not listed."""
    if image.kind != "ome" or not images:
        return None
    if len(images) == len(listed):
        return images[listed.index(image)]
    named = [described for described in images if described.name == image.name]
    return named[0] if len(named) == 1 else None


def _piece(page: Any) -> tuple[int, int]:
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(min(page.rowsperstrip, page.imagelength)), int(page.imagewidth)


def _blank(axes: Axes) -> ImageFacts:
    return ImageFacts(_READER, "", axes.shape, (), "", names=(None,) * axes.shape[1], colors=(None,) * axes.shape[1])


def _of_ome(image: OmeImage, axes: Axes) -> ImageFacts:
    facts = _blank(axes)
    same = len(image.names) == axes.shape[1]
    names, colors = (image.names, image.colors) if same else (facts.names, facts.colors)
    count, positions = axes.shape[0], image.positions
    found = [
        (any(image.sizes), "voxel size"),
        (bool(positions), "position"),
        (any(names), "channel names"),
        (any(colors), "channel colours"),
    ]
    z, y, x = (size or 1.0 for size in image.sizes)
    return replace(
        facts,
        sizes=image.sizes,
        unit=image.unit,
        positions=positions if len(positions) == count else positions[:1] * count,
        turn=Affine.scaling((-z, y, x)) if image.falling else None,
        names=names,
        colors=colors,
        found=tuple((what, "OME-XML") for there, what in found if there),
        said=image.said,
        files=image.files if len(image.files) > 1 else (),
    )


def _of_imagej(tiff: Any, axes: Axes) -> ImageFacts:
    """Sizes in a unit other than the pixel: ``spacing`` along z, resolutions along y and x; origins in pixels."""
    description: Mapping[str, Any] = tiff.imagej_metadata or {}
    facts, page = _blank(axes), tiff.pages.first
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), str(description.get("unit") or ""))
    unit = known_unit(text)
    colors = _lookup_tables(description, axes.shape[1])
    if any(colors):
        facts = replace(facts, colors=colors, found=(("channel colours", "ImageJ"),))
    spacing = _positive(abs(float(description.get("spacing") or 0)))  # the sign is of no use to ImageJ either
    if unit is None:
        plain = _of_tags(page, axes)
        if any(plain.sizes):  # a unit of the resolution only
            z = None if spacing is None else spacing * (length_factor(_unit_tag(page), "micrometer") or 1)
            found = (*facts.found, *plain.found)
            return replace(plain, sizes=(z, *plain.sizes[1:]), colors=colors, found=found)
        said = plain.said
        if spacing is not None and spacing != 1:
            said = (
                *said,
                f"its spacing of {spacing:.6g} along z has no unit and is not used; voxel_size and unit use it",
            )
        return replace(facts, said=said)
    z, (y, x) = spacing, _resolutions(page)
    sizes: Sizes = (z, y, x)
    starts = [float(description.get(f"{axis}origin") or 0) for axis in "zyx"]
    origin = [-start * (size or 1.0) for start, size in zip(starts, sizes, strict=True)]
    told = [("voxel size", any(sizes)), ("position", any(origin))]
    positions = ((origin[0], origin[1], origin[2]),) * axes.shape[0] if any(origin) else ()
    return replace(
        facts,
        sizes=sizes,
        unit=unit if any(sizes) else None,
        positions=positions,
        found=(*facts.found, *((what, "ImageJ") for what, there in told if there)),
    )


def _lookup_tables(description: Mapping[str, Any], channels: int) -> tuple[str | None, ...]:
    """Colours of channels: the brightest entries of ImageJ's lookup tables, which are of no use where they are grey."""
    tables = description.get("LUTs")
    if tables is None or len(tables) != channels or channels < 2:
        return (None,) * channels
    return tuple("".join(f"{int(part[-1]):02X}" for part in table) for table in tables)


def _of_tags(page: Any, axes: Axes) -> ImageFacts:
    """Resolution in inches or centimeters, and the place on the sheet that some microscopes write."""
    facts, unit = _blank(axes), _unit_tag(page)
    y, x = _resolutions(page)
    if unit is None:
        odd = [size for size in (y, x) if size not in (None, 1.0)]
        said = ("its resolution has no unit and is not used; voxel_size and unit use it",) if odd else ()
        return replace(facts, said=said)
    if x is None or (unit == "inch" and abs(1 / x - _SCREEN) < 1e-3):
        return facts
    factor = length_factor(unit, "micrometer") or 1.0
    sizes: Sizes = (None, None if y is None else y * factor, x * factor)
    found = [("voxel size", "the resolution in TIFF tags")]
    places = [_number(page, name) for name in ("YPosition", "XPosition")]
    positions: tuple[tuple[float, float, float], ...] = ()
    if any(places):
        positions = ((0.0, (places[0] or 0.0) * factor, (places[1] or 0.0) * factor),) * axes.shape[0]
        found.append(("position", "TIFF tags"))
    return replace(facts, sizes=sizes, unit="micrometer", positions=positions, found=tuple(found))


def _unit_tag(page: Any) -> str | None:
    tag = page.tags.get("ResolutionUnit")
    return None if tag is None else _RESOLUTION_UNITS.get(int(tag.value))


def _resolutions(page: Any) -> tuple[float | None, float | None]:
    """Length of a pixel along y and x, in whatever unit it is."""
    y, x = (_number(page, name) for name in ("YResolution", "XResolution"))
    return (1 / y if y else None, 1 / x if x else None)


def _number(page: Any, name: str) -> float | None:
    """Value of a tag that holds a fraction."""
    tag = page.tags.get(name)
    if tag is None:
        return None
    above, below = tag.value if isinstance(tag.value, tuple) else (tag.value, 1)
    return _positive(above / below) if below else None


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None
