"""The description of an OME-TIFF: OME-XML of its pages."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.model.image import ImageSpec


SYMBOLS = {
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "angstrom": "Å",
    "inch": "in",
}
"""Of units, as OME and ImageJ write them."""


def ome_xml(spec: ImageSpec, colours: int, description: str, options: Mapping[str, Any]) -> str:
    """OME-XML of a picture or of pages, whose values are those of the 2016-06 schema.

    Parameters
    ----------
    spec : ImageSpec
        (1, c, n, y, x): c is the colour, n the page.
    colours : int
        That are written; opacity that says nothing is left out.
    description : str
        What was done.
    options : mapping
        ``page_axis`` says that pages are channels (``C``) or planes (``Z``), ``page_names`` how channels are called;
        ``placed`` that the place of the planes is that of the specimen.
    """
    import tifffile

    _, _, pages, height, width = spec.shape
    axis = str(options.get("page_axis") or "Z")
    stored = (pages, 1, 1, height, width, colours)
    facts: dict[str, Any] = {"Name": spec.name} | ({"Description": description} if description else {})
    names = [str(name) for name in options.get("page_names") or ()]
    if axis == "C" and len(names) == pages:
        facts["Channel"] = {"Name": names}
    facts |= _sizes(spec, "ZYX" if axis == "Z" else "YX")
    if options.get("placed"):
        facts |= _places(spec)
    made = tifffile.OmeXml(Creator="fusestack", UUID=_uuid(spec))
    made.addimage(
        np.dtype(spec.dtype),
        (pages, height, width, *([colours] if colours > 1 else [])),
        stored,
        axes=f"{axis}YX" + ("S" if colours > 1 else ""),
        **facts,
    )
    return str(made.tostring(declaration=True))


def volume_xml(spec: ImageSpec) -> str:
    """OME-XML of a volume, (1, 1, z, y, x), with its size and the place of every plane.

    Parameters
    ----------
    spec : ImageSpec
        Without a unit, sizes and places are left out: OME would take them for micrometres.
    """
    import tifffile

    planes, height, width = spec.shape[2:]
    channels: dict[str, Any] = {"Name": [channel.name for channel in spec.channels]}
    if any(channel.color != "FFFFFF" for channel in spec.channels):  # signed, red first, opacity last
        colors = np.array([int(f"{channel.color}FF", 16) for channel in spec.channels], np.uint32)
        channels["Color"] = colors.view(np.int32).tolist()
    facts: dict[str, Any] = {"Name": spec.name, "Channel": channels}
    facts |= _sizes(spec, "ZYX")
    facts |= _places(spec)
    made = tifffile.OmeXml(Creator="fusestack", UUID=_uuid(spec))
    made.addimage(np.dtype(spec.dtype), (planes, height, width), (planes, 1, 1, height, width, 1), axes="ZYX", **facts)
    return str(made.tostring(declaration=True))


def _sizes(spec: ImageSpec, letters: str) -> dict[str, Any]:
    """Physical sizes of a pixel along some axes, in a unit that OME has; nothing without one."""
    if spec.unit not in SYMBOLS:
        return {}
    found: dict[str, Any] = {}
    for letter, size in zip("ZYX", spec.pixel_size, strict=True):
        if size > 0 and letter in letters:
            found |= {f"PhysicalSize{letter}": size, f"PhysicalSize{letter}Unit": SYMBOLS[spec.unit]}
    return found


def _places(spec: ImageSpec) -> dict[str, Any]:
    """Places of the planes, in a unit that OME has; nothing without one."""
    if spec.unit not in SYMBOLS:
        return {}
    unit, planes = SYMBOLS[spec.unit], spec.shape[2]
    (z, y, x), step = spec.origin, spec.pixel_size[0]
    places = {"X": [x] * planes, "Y": [y] * planes, "Z": [z + step * number for number in range(planes)]}
    plane = {f"Position{letter}": values for letter, values in places.items()}
    return {"Plane": plane | {f"Position{letter}Unit": [unit] * planes for letter in places}}


def _uuid(spec: ImageSpec) -> str:
    """Name of a file, the same whenever the image is written."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, repr(replace(spec, path=""))))
