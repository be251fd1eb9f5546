"""What OME-XML says about images: sizes, units, places of the stage, channels; text in, facts out."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusestack.model.units import known_unit, length_factor, time_step
from fusestack.sources.ome_stage import ALONG, Stage

if TYPE_CHECKING:
    from collections.abc import Container
    from xml.etree.ElementTree import Element

    from fusestack.model.geometry import Float3
    from fusestack.model.units import TimeStep

Sizes = tuple[float | None, float | None, float | None]

_UUID = re.compile(r'\bUUID="([^"]*)"')
_HEAD = 4096
"""Characters at the beginning of an OME-XML that hold its own UUID, by which alone those of a set differ."""
_UNEVEN = 0.1
"""Of the step of time: differences that are said."""
_TYPES = {"float": "float32", "double": "float64", "bit": "bool"}


@dataclass(frozen=True)
class OmePart:
    """Planes of an image that lie in one file, one after another (``TiffData``).

    Parameters
    ----------
    first : int
        Number of the first plane, in the order of the image.
    count : int or None
        How many; None where it does not say.
    page : int
        Number of the first page in the file.
    uuid, file : str or None
        Of the file; None where they lie in the file that holds the XML.
    """

    first: int
    count: int | None
    page: int
    uuid: str | None
    file: str | None

    def holds(self, planes: Container[int] | None) -> bool:
        """Whether it holds any of some planes; None is all of them."""
        return planes is None or self.count is None or any(self.first + k in planes for k in range(self.count))


@dataclass(frozen=True)
class OmeImage:
    """One image of an OME-XML.

    Parameters
    ----------
    name : str
    lengths : dict of str to int
        Of t, c, z, y, x.
    samples : int
        Colours of a pixel; they are counted in the length of c.
    dtype : str
    sizes : (float or None, float or None, float or None)
        Of a pixel along z, y, x in `unit`; None where it does not say.
    unit : str or None
    positions : tuple of (float, float, float)
        Centre of the first pixel, z, y, x, in `unit`, at every timepoint; empty where it does not say.
    falling : bool
        Planes go downwards: each lies at a smaller z than the one before.
    names, colors : tuple of (str or None)
        Of the channels; colours ``RRGGBB``.
    time : TimeStep or None
        From one timepoint to the next.
    said : tuple of str
        What is guessed or not used, as sentences.
    order : str
        Axes of its planes, slowest first, letters of t, c, z.
    parts : tuple of OmePart
        Where its planes are; empty where it does not say.
    """

    name: str
    lengths: dict[str, int]
    samples: int
    dtype: str
    sizes: Sizes = (None, None, None)
    unit: str | None = None
    positions: tuple[Float3, ...] = ()
    falling: bool = False
    names: tuple[str | None, ...] = ()
    colors: tuple[str | None, ...] = ()
    time: TimeStep | None = None
    said: tuple[str, ...] = ()
    order: str = "tcz"
    parts: tuple[OmePart, ...] = ()

    @property
    def planes(self) -> int:
        """Planes that are stored; colours of a pixel lie in one."""
        return self.lengths["t"] * self.lengths["z"] * (self.lengths["c"] // self.samples)


def master_of(text: str) -> str | None:
    """Name of the file that holds the OME-XML of this one; None where it is here."""
    found = _root(text).find("{*}BinaryOnly")
    return None if found is None else found.get("MetadataFile") or "another file"


def ome_images(text: str) -> tuple[OmeImage, ...]:
    """Images of an OME-XML, in its order; files of a set that say the same are looked at once."""
    return tuple(image for _, _, image in _images(_common(text)[0]))


def stored_images(text: str) -> tuple[OmeImage, ...]:
    """Images of an OME-XML that say where their planes are."""
    return tuple(image for _, _, image in _stored(_common(text)[0]))


def images_in(text: str, name: str) -> tuple[int, ...]:
    """Numbers of the images, among those that say where their planes are, of which this file holds planes.

    Parameters
    ----------
    text : str
        Of the file; it knows its own UUID.
    name : str
        Of the file.
    """
    common, uuid = _common(text)
    holders = _holders(common)
    found = {*holders.get(("", ""), ()), *holders.get(("uuid", uuid or ""), ()), *holders.get(("name", name), ())}
    return tuple(sorted(found))


def excerpt(text: str, number: int, planes: Container[int] | None = None) -> str:
    """Part of an OME-XML that says where the planes of one image are, with nothing else.

    Parameters
    ----------
    text : str
    number : int
        Of the image, among those that say where their planes are.
    planes : set of int, optional
        Numbers of the planes that are looked for; files of others are left out.
    """
    from xml.etree.ElementTree import Element, SubElement, tostring

    common, uuid = _common(text)
    root, (image, pixels, described) = _root(common), _stored(common)[number]
    made = Element(root.tag, {**root.attrib, **({"UUID": uuid} if uuid else {})})
    kept = SubElement(made, image.tag, image.attrib)
    kept.extend(image.findall("{*}AnnotationRef"))
    inside = SubElement(kept, pixels.tag, pixels.attrib)
    inside.extend(pixels.findall("{*}Channel"))
    inside.extend(
        element
        for part, element in zip(described.parts, pixels.findall("{*}TiffData"), strict=True)
        if part.holds(planes)
    )
    made.extend(root.findall("{*}StructuredAnnotations"))
    return tostring(made, encoding="unicode")


def uuid_of(text: str) -> str | None:
    """UUID of the file that holds an OME-XML."""
    return _common(text)[1]


def shared_name(text: str) -> str:
    """Hash of what all files of a set say alike."""
    return hashlib.sha256(_common(text)[0].encode()).hexdigest()


def _common(text: str) -> tuple[str, str | None]:
    """What the files of a set say alike, and the UUID of this one."""
    head = text[:_HEAD]
    start = head.find("<OME")
    end = head.find(">", start)
    found = _UUID.search(head, max(start, 0), end if end >= 0 else len(head))
    return (text, None) if found is None else (text[: found.start()] + text[found.end() :], found[1])


@functools.lru_cache(maxsize=4)
def _images(text: str) -> tuple[tuple[Element, Element, OmeImage], ...]:
    found = [(image, image.find("{*}Pixels")) for image in _root(text).findall("{*}Image")]
    return tuple((image, pixels, _image(image, pixels)) for image, pixels in found if pixels is not None)


@functools.lru_cache(maxsize=4)
def _stored(text: str) -> tuple[tuple[Element, Element, OmeImage], ...]:
    return tuple(found for found in _images(text) if found[2].parts)


@functools.lru_cache(maxsize=4)
def _holders(text: str) -> dict[tuple[str, str], set[int]]:
    """Numbers of images by the UUIDs and names of the files that hold planes of them; of the file itself by nothing."""
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number, (_, _, image) in enumerate(_stored(text)):
        for part in image.parts:
            if part.uuid is None:
                found["", ""].add(number)
            else:
                found["uuid", part.uuid].add(number)
                found["name", part.file or ""].add(number)
    return found


@functools.lru_cache(maxsize=4)
def _root(text: str) -> Element:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # what could harm; all else is parsed in half the time without
        from defusedxml.ElementTree import fromstring
    else:
        from xml.etree.ElementTree import fromstring
    root: Element = fromstring(text)
    return root


def _parts(pixels: Element, lengths: dict[str, int], order: str, samples: int) -> tuple[OmePart, ...]:
    """Where planes are; what does not lie in the image is left out by whoever reads it, too."""
    shape = [lengths[axis] // (samples if axis == "c" else 1) for axis in order]
    steps = [math.prod(shape[number + 1 :]) for number in range(len(shape))]
    found = []
    for element in pixels.findall("{*}TiffData"):
        first = sum(int(element.get(f"First{axis.upper()}", 0)) * step for axis, step in zip(order, steps, strict=True))
        told = element.get("PlaneCount", element.get("NumPlanes", "1" if "IFD" in element.attrib else None))
        uuid = element.find("{*}UUID")
        name, number = (None, None) if uuid is None else (uuid.get("FileName"), uuid.text)
        count = None if told is None or not int(told) else int(told)
        found.append(OmePart(first, count, int(element.get("IFD", 0)), number, name))
    return tuple(found)


def _image(image: Element, pixels: Element) -> OmeImage:
    said: list[str] = []
    lengths = {axis.lower(): int(pixels.get(f"Size{axis}", 1)) for axis in "TCZYX"}
    channels = pixels.findall("{*}Channel")
    samples = int(channels[0].get("SamplesPerPixel", 1)) if channels else 1
    sizes, unit = _sizes(pixels, said)
    stage = Stage.of(image, pixels, unit or "micrometer", sizes, said)
    if sizes[0] is None and stage.step:
        sizes, unit = (abs(stage.step), *sizes[1:]), unit or "micrometer"
    elif sizes[0] is not None and stage.step and abs(abs(stage.step) - sizes[0]) > ALONG * sizes[0]:
        said.append(
            f"PhysicalSizeZ is {sizes[0]:.6g} and PositionZ goes on by {stage.step:.6g} {unit} a plane; "
            "PhysicalSizeZ is used, voxel_size says otherwise"
        )
    order = "".join(axis for axis in reversed(pixels.get("DimensionOrder", "XYZCT").lower()) if axis in "tcz")
    names = tuple(channel.get("Name") or channel.get("Fluor") for channel in channels)
    fits = len(channels) == lengths["c"]
    return OmeImage(
        name=image.get("Name") or "",
        lengths=lengths,
        samples=samples,
        dtype=_TYPES.get(pixels.get("Type", ""), pixels.get("Type", "")),
        sizes=sizes,
        unit=unit if any(sizes) or stage.positions else None,
        positions=stage.positions,
        falling=bool(stage.step and stage.step < 0),
        names=names if fits else (None,) * lengths["c"],
        colors=tuple(map(_color, channels)) if fits else (None,) * lengths["c"],
        time=_time(pixels, lengths["t"], said),
        said=tuple(said),
        order=order,
        parts=_parts(pixels, lengths, order, samples),
    )


def _time(pixels: Element, count: int, said: list[str]) -> TimeStep | None:
    """Step of time: TimeIncrement, or the mean of the times of the planes (DeltaT)."""
    given, unit = pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")
    if (found := time_step(_positive(given), unit)) is not None:
        return found
    if _positive(given) is not None and count > 1:
        said.append(f"its time step has the unit '{unit}', which is not known; it is not used")
    if count < 2:
        return None
    times: dict[int, float] = {}
    units = set()
    for plane in pixels.findall("{*}Plane"):
        when = plane.get("DeltaT")
        if when is not None and plane.get("TheC", "0") == plane.get("TheZ", "0") == "0":
            times[int(plane.get("TheT", 0))] = float(when)
            units.add(plane.get("DeltaTUnit", "s"))
    if len(times) < 2 or len(units) > 1:
        return None
    written = units.pop()
    first, last = min(times), max(times)
    step = (times[last] - times[first]) / (last - first)
    off = max(abs(when - times[first] - step * (t - first)) for t, when in times.items())
    if step > 0 and off > _UNEVEN * step:
        said.append(f"its times (DeltaT) are not even: off by up to {off:.6g} {written}; their mean step is used")
    return time_step(step, written)


def _sizes(pixels: Element, said: list[str]) -> tuple[Sizes, str | None]:
    """Sizes of a pixel along z, y, x, all in the unit of x, or of the last axis that has one."""
    given = {axis: _positive(pixels.get(f"PhysicalSize{axis}")) for axis in "ZYX"}
    units = {axis: pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "ZYX"}
    known = [axis for axis in "XYZ" if given[axis] is not None]
    if not known:
        return (None, None, None), None
    unit = known_unit(units[known[0]])
    sizes: list[float | None] = []
    for axis in "ZYX":
        value, factor = given[axis], length_factor(units[axis], unit)
        if value is not None and factor is None:
            said.append(
                f"PhysicalSize{axis} is in {units[axis]}, which is no {unit or 'pixel'}; it is not used, voxel_size "
                "says what holds"
            )
        sizes.append(None if value is None or factor is None else value * factor)
    if unit is None:  # a size in pixels says nothing
        return (None, None, None), None
    z, y, x = sizes
    return (z, y, x), unit


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _color(channel: Element) -> str | None:
    """Colour of a signed 32-bit number RGBA."""
    try:
        return f"{(int(channel.get('Color', '')) & 0xFFFFFFFF) >> 8:06X}"
    except ValueError:
        return None
