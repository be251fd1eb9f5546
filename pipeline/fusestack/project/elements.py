"""The parts of a project XML as values; every function raises ValueError, whose text says what is wrong."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fusestack.model.geometry import Affine, Box, flip3
from fusestack.model.view import ViewId
from fusestack.project.model import ATTRIBUTES, Setup, check_registration
from fusestack.project.pattern import LIMIT, parse_integer_pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree.ElementTree import Element

    from fusestack.model.geometry import Float3, Int3

_Value = TypeVar("_Value")

_INTEGER = re.compile(r"[+-]?\d{1,12}", re.ASCII)
_LARGEST = 2**31 - 1  # ids, sizes and corners are 32-bit integers in BigDataViewer

Names = dict[str, dict[int, str]]
"""Kind of attribute -> id -> name."""


def integer(text: str | None, what: str, low: int = 0) -> int:
    """Whole number between `low` and 2**31 - 1."""
    text = (text or "").strip()
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{what} must be a whole number, not '{text}'")
    if not low <= int(text) <= _LARGEST:
        raise ValueError(f"{what} must be between {low} and {_LARGEST}, not {text}")
    return int(text)


def integers3(text: str | None, what: str, low: int) -> tuple[int, int, int]:
    """Three whole numbers, in the order of the file."""
    words = (text or "").split()
    if len(words) != 3:
        raise ValueError(f"{what} must be 3 whole numbers (x y z), not '{' '.join(words)}'")
    first, second, third = (integer(word, what, low) for word in words)
    return (first, second, third)


def floats(text: str | None, what: str, count: int) -> list[float]:
    """Finite numbers, in the order of the file."""
    words = (text or "").split()
    if len(words) != count:
        raise ValueError(f"{what} must be {count} numbers, found {len(words)}")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"{what} must be {count} numbers, not '{' '.join(words)}'") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{what} has numbers that are NaN or infinite")
    return numbers


def view_id(element: Element) -> ViewId:
    """View that the attributes ``timepoint`` and ``setup`` of an element name."""
    timepoint = integer(element.get("timepoint"), f"timepoint of a {element.tag}")
    return ViewId(timepoint, integer(element.get("setup"), f"setup of a {element.tag}"))


def timepoints(element: Element) -> tuple[int, ...]:
    """Ids of a ``Timepoints`` element in any of its three forms, ascending (spimdata's ``XmlIoTimePoints``)."""
    kind = element.get("type")
    if kind == "pattern":
        return tuple(sorted(parse_integer_pattern(element.findtext("integerpattern") or "")))
    if kind == "range":
        first = integer(element.findtext("first"), "first timepoint")
        last = integer(element.findtext("last"), "last timepoint", low=first)
        if last - first >= LIMIT:
            raise ValueError(f"timepoints {first} to {last} are more than {LIMIT:,}")
        return tuple(range(first, last + 1))
    if kind == "list":
        ids = {integer(entry.findtext("id"), "id of a timepoint") for entry in element.findall("Timepoint")}
        if not ids:
            raise ValueError("the list has no Timepoint")
        return tuple(sorted(ids))
    raise ValueError(f"type must be pattern, range or list, not '{kind or ''}'")


def attribute_names(element: Element) -> tuple[str, dict[int, str]]:
    """Kind of an ``Attributes`` element and the name of every id; an entry without a name is called by its id."""
    kind = element.get("name", "")
    names = {}
    for entry in element:
        text = (entry.findtext("id") or "").strip()
        if _INTEGER.fullmatch(text):  # no setup can mean another id
            names[int(text)] = (entry.findtext("name") or "").strip() or text
    return kind, names


def setup(element: Element, names: Names) -> tuple[Setup, tuple[str, ...]]:
    """Setup of a ``ViewSetup`` element, and what is wrong with it: that is left out, and the setup cannot be used.

    Attributes it does not name are 0.
    """
    number = integer(element.findtext("id"), "id")
    flaws: list[str] = []
    ids = dict.fromkeys(ATTRIBUTES, 0)
    for kind in ATTRIBUTES:
        text = element.findtext(f"attributes/{kind}")
        if text is not None:
            ids[kind] = _unless_flawed(flaws, partial(integer, text, kind)) or 0
    channel = ids["channel"]
    unit = (element.findtext("voxelSize/unit") or "").strip() or None
    made = Setup(
        id=number,
        name=(element.findtext("name") or "").strip(),
        shape=_unless_flawed(flaws, partial(_shape, element)),
        voxel_size=_unless_flawed(flaws, partial(_voxel_size, element)),
        unit=unit,
        channel_name=names.get("channel", {}).get(channel, str(channel)),
        channel_color="",
        **ids,
    )
    return made, tuple(flaws)


def _unless_flawed(flaws: list[str], read: Callable[[], _Value | None]) -> _Value | None:
    try:
        return read()
    except ValueError as error:
        flaws.append(str(error))
        return None


def _shape(element: Element) -> Int3 | None:
    size = element.find("size")
    if size is None:
        return None
    x, y, z = integers3(size.text, "size", low=1)
    return (z, y, x)


def _voxel_size(element: Element) -> Float3 | None:
    size = element.find("voxelSize/size")
    if size is None:
        return None
    numbers = floats(size.text, "voxelSize", 3)
    if min(numbers) <= 0:
        raise ValueError(f"voxelSize must be above 0, not '{(size.text or '').strip()}'")
    return flip3(numbers)


def registration(element: Element) -> Affine:
    """Product of the transforms of a ``ViewRegistration`` in the order of the file; identity where there are none.

    Notes
    -----
    spimdata's ``ViewRegistration.updateModel``: a pixel meets the last transform first.
    """
    pixel_to_world = Affine.identity()
    for number, transform in enumerate(element.findall("ViewTransform"), start=1):
        what = f"transform {number} '{(transform.findtext('Name') or '').strip()}'"
        kind = transform.get("type")
        if kind != "affine":
            raise ValueError(f"{what} is of type '{kind or ''}', only affine transforms are known")
        numbers = floats(transform.findtext("affine"), f"affine of {what}", 12)
        with np.errstate(all="ignore"):
            pixel_to_world = pixel_to_world @ Affine.from_xyz(numbers)
    check_registration(pixel_to_world)
    return pixel_to_world


def bounding_box(element: Element) -> Box:
    """World pixels of a ``BoundingBoxDefinition``, z, y, x; the file includes the maximum."""
    low = integers3(element.findtext("min"), "min", low=-_LARGEST)
    high = integers3(element.findtext("max"), "max", low=-_LARGEST)
    box = Box.from_inclusive(low, high)
    if box.is_empty:
        raise ValueError(f"min {low} lies above max {high} (x, y, z)")
    return box


def intensity_model(element: Element) -> tuple[float, float]:
    """Factor and offset of a view's nested ``IntensityAdjustments``: ``I' = factor * I + offset``."""
    factor, offset = floats(element.findtext("model") or element.get("model"), "intensity model", 2)
    return factor, offset
