"""What a TIFF file says about its pixels: sizes, unit and names of channels; metadata only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusestack.sources.base import input_errors, opened_file
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESTORE = "restore it from its source, or write the image again"
_ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")

Sizes = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class TiffFacts:
    """Of the first image of a file.

    Parameters
    ----------
    pixel_size : (float or None, float or None, float or None)
        z, y, x in `unit`; None where the file does not say.
    unit : str or None
    channels : tuple of (str or None)
        Names; empty where the file has none.
    """

    pixel_size: Sizes = (None, None, None)
    unit: str | None = None
    channels: tuple[str | None, ...] = ()


def tiff_facts(path: str) -> TiffFacts:
    """Read the OME or ImageJ description of a TIFF file; places of stages are not looked at.

    Raises
    ------
    InputError
        If the description is damaged.
    """
    import tifffile

    with (
        input_errors(path, "its description cannot be read", _RESTORE),
        tifffile.TiffFile(opened_file(path) if is_address(path) else path) as tiff,
    ):
        if tiff.is_ome and tiff.ome_metadata:
            return _of_ome(tiff.ome_metadata)
        if tiff.is_imagej:
            return _of_imagej(tiff.imagej_metadata or {}, tiff.pages.first.tags)
    return TiffFacts()


def _of_ome(text: str) -> TiffFacts:
    from defusedxml.ElementTree import fromstring

    pixels = fromstring(text).find("{*}Image/{*}Pixels")
    if pixels is None:
        return TiffFacts()
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"]
    units = {pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis, size in zip("ZYX", sizes, strict=True) if size}
    channels = tuple(channel.get("Name") for channel in pixels.findall("{*}Channel"))
    if len(units) != 1:  # none, or several that would have to be converted
        return TiffFacts(channels=channels)
    return TiffFacts(_positive(sizes), units.pop(), channels)


def _of_imagej(description: Mapping[str, Any], tags: Any) -> TiffFacts:
    """Sizes in a unit other than the pixel: ``spacing`` along z, resolutions along y and x."""
    unit = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), str(description.get("unit") or ""))
    if unit.lower() in ("", "pixel", "pixels"):
        return TiffFacts()
    sizes = [description.get("spacing")]
    for name in ("YResolution", "XResolution"):
        count, length = tags[name].value if name in tags else (0, 1)
        sizes.append(length / count if count else None)
    return TiffFacts(_positive(sizes), unit)


def _positive(sizes: list[Any]) -> Sizes:
    z, y, x = (float(size) if size is not None and float(size) > 0 else None for size in sizes)
    return (z, y, x)
