"""What a TIFF file says about its pixels: OME-XML, ImageJ's description, or plain tags; metadata only."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import InputError
from fusestack.model.geometry import Affine
from fusestack.model.units import known_unit, length_factor, time_step
from fusestack.sources.base import SourceLevel, check_exists, input_errors, pixel_dtype
from fusestack.sources.facts import ImageFacts
from fusestack.sources.tiff import levels_of
from fusestack.sources.tiff_axes import Axes, axes_of_series
from fusestack.sources.tiff_series import open_tiff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.sources.ome_xml import OmeImage, Sizes
    from fusestack.sources.tiff_series import OpenedTiff

_READER = "fusestack.sources.tiff:TiffSource"
_RESTORE = "restore it from its source, or write the image again"
_ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")
_ORIENTATIONS = 8
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
    with input_errors(path, "its description cannot be read", _RESTORE), open_tiff(path) as opened:
        return _facts(opened, opened.choose(series), axes)


def several_facts(path: str, asked: Sequence[tuple[int | None, str | None]]) -> list[ImageFacts | InputError]:
    """What a TIFF file, which is opened once, says of several of its images; of one that cannot be used, why.

    Parameters
    ----------
    path : str
    asked : sequence of (int or None, str or None)
        Series and axes of each, as for `tiff_facts`.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    with input_errors(path, "its description cannot be read", _RESTORE), open_tiff(path) as opened:
        return [_or_error(opened, series, axes) for series, axes in asked]


def _or_error(opened: OpenedTiff, series: int | None, axes: str | None) -> ImageFacts | InputError:
    try:
        with input_errors(opened.path, "its description cannot be read", _RESTORE):
            return _facts(opened, opened.choose(series), axes)
    except InputError as error:
        return error


def _facts(opened: OpenedTiff, number: int, axes: str | None) -> ImageFacts:
    """Facts of an image by its number: of its description alone, where that fits the pages, without looking at each."""
    path, tiff = opened.path, opened.tiff
    if opened.master is not None and axes is None:
        raise InputError(
            f"{path}: is a part of an image that {opened.master} describes; name that file, if it is TIFF, or say what "
            "the planes of this one are, such as axes: zyx"
        )
    described = opened.images[number] if opened.images else None
    files = opened.files(number) if described is not None else ()
    page, levels = tiff.pages.first, tuple[SourceLevel, ...]()
    if described is not None and axes is None and described.samples == 1 and (files or _fits(described, opened)):
        found, dtype = Axes.of_lengths(described.lengths), described.dtype
        levels = () if files else (SourceLevel(_zyx(found), (1.0, 1.0, 1.0), (1, *_piece(page))),)
    else:
        with opened.series(number) as image:
            page, dtype = image.keyframe, image.dtype
            found = axes_of_series(image, path, axes)
            levels = () if image.is_multifile else levels_of(image, found, path, axes)
            if image.is_multifile and not files:  # of other programs than OME
                files = tuple(sorted({str(one.parent.filehandle.path) for one in image.pages if one is not None}))
    if described is not None:
        facts = _of_ome(described, found)
    else:
        facts = _timed(_of_imagej(tiff, found), tiff) if tiff.is_imagej else _of_tags(tiff.pages.first, found)
    options: tuple[tuple[str, Any], ...] = (("series", number),) if number else ()
    return replace(
        facts,
        path=path,
        dtype=pixel_dtype(dtype, path).name,
        chunks=(1, 1, 1, *_piece(page)) if not levels else (1, 1, *levels[0].chunks),
        levels=levels,
        options=options if axes is None else (*options, ("axes", axes)),
        found=(*facts.found, *(("axes", guess) for guess in found.guesses)),
        said=(*facts.said, *_unturned(tiff.pages.first)),
        files=files,
        described=opened.described,
    )


def _unturned(page: Any) -> tuple[str, ...]:
    """What is to be said where a file wants to be turned: registrations of all programs go by the pixels as stored."""
    tag = page.tags.get("Orientation")
    turned = 1 if tag is None else int(tag.value)
    if not 1 < turned <= _ORIENTATIONS:
        return ()
    return (f"says that it is to be turned (Orientation {turned}), which is not done to volumes; affine turns it",)


def _fits(image: OmeImage, opened: OpenedTiff) -> bool:
    """Whether the pages of a file are the planes of its only image, all alike and all there, and nothing else."""
    structure, page = opened.structure, opened.tiff.pages.first
    return (
        len(opened.images) == 1
        and structure.pages == image.planes
        and not structure.others
        and structure.end <= structure.size
        and (int(page.imagelength), int(page.imagewidth)) == (image.lengths["y"], image.lengths["x"])
        and page.samplesperpixel == 1
        and page.imagedepth == 1
        and page.dtype is not None
        and page.dtype.name == image.dtype
    )


def _zyx(axes: Axes) -> tuple[int, int, int]:
    z, y, x = axes.shape[2:]
    return (z, y, x)


def _piece(page: Any) -> tuple[int, int]:
    """What of a page is decoded together, as `TiffSource` reads it: a row where it is stored as it is."""
    if page.is_final:
        return 1, int(page.imagewidth)
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(min(page.rowsperstrip, page.imagelength)), int(page.imagewidth)


def _blank(axes: Axes) -> ImageFacts:
    return ImageFacts(_READER, "", axes.shape, (), "", names=(None,) * axes.shape[1], colors=(None,) * axes.shape[1])


def _of_ome(image: OmeImage, axes: Axes) -> ImageFacts:
    facts = _blank(axes)
    same = len(image.names) == axes.shape[1]
    names, colors = (image.names, image.colors) if same else (facts.names, facts.colors)
    count, positions, said = axes.shape[0], image.positions, image.said
    if not same and (any(image.names) or any(image.colors)):
        listed = ", ".join(filter(None, image.names)) or "colours"
        said = (*said, f"what is said of its {len(image.names)} channels ({listed}) is not used, as axes names others")
    found = [
        (any(image.sizes), "voxel size"),
        (bool(positions), "position"),
        (any(names), "channel names"),
        (any(colors), "channel colours"),
        (image.time is not None and count > 1, "time step"),
    ]
    z, y, x = (size or 1.0 for size in image.sizes)
    return replace(
        facts,
        sizes=image.sizes,
        unit=image.unit,
        positions=positions if len(positions) == count else positions[:1] * count,
        turn=Affine.scaling((-z, y, x)) if image.falling else None,
        time=image.time,
        names=names,
        colors=colors,
        found=tuple((what, "OME-XML") for there, what in found if there),
        said=said,
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


def _timed(facts: ImageFacts, tiff: Any) -> ImageFacts:
    """Facts of ImageJ with the time from frame to frame, ``finterval``; ``fps`` is how fast it plays them."""
    description: Mapping[str, Any] = tiff.imagej_metadata or {}
    if facts.shape[0] < 2:
        return facts
    given, unit = description.get("finterval"), str(description.get("tunit") or "s")
    if (found := time_step(given, unit)) is not None:
        return replace(facts, time=found, found=(*facts.found, ("time step", "ImageJ")))
    if _positive(given) is not None:
        said = f"its frame interval has the unit '{unit}', which is not known; it is not used"
    elif _positive(description.get("fps")) is not None:
        said = f"its fps of {description['fps']} is how fast ImageJ plays it, and not used as a time step"
    else:
        return facts
    return replace(facts, said=(*facts.said, said))


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
