"""What OME-XML says about images: sizes, units, places of the stage, channels; text in, facts out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.geometry import float3
from fusestack.model.units import known_unit, length_factor

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3

Sizes = tuple[float | None, float | None, float | None]

_TYPES = {"float": "float32", "double": "float64", "bit": "bool"}
_ALONG = 0.01
"""Of a step or a pixel: places that differ less are the same."""


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
    said : tuple of str
        What is guessed or not used, as sentences.
    files : tuple of str
        Names of the files that hold its planes, where they are told.
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
    said: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def master_of(text: str) -> str | None:
    """Name of the file that holds the OME-XML of this one; None where it is here."""
    found = _root(text).find("{*}BinaryOnly")
    return None if found is None else found.get("MetadataFile") or "another file"


def ome_images(text: str) -> list[OmeImage]:
    """Images of an OME-XML, in its order."""
    found = [(image, image.find("{*}Pixels")) for image in _root(text).findall("{*}Image")]
    return [_image(image, pixels) for image, pixels in found if pixels is not None]


def _root(text: str) -> Element:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # what could harm; all else is parsed in half the time without
        from defusedxml.ElementTree import fromstring
    else:
        from xml.etree.ElementTree import fromstring
    root: Element = fromstring(text)
    return root


def _image(image: Element, pixels: Element) -> OmeImage:
    said: list[str] = []
    lengths = {axis.lower(): int(pixels.get(f"Size{axis}", 1)) for axis in "TCZYX"}
    channels = pixels.findall("{*}Channel")
    samples = int(channels[0].get("SamplesPerPixel", 1)) if channels else 1
    sizes, unit = _sizes(pixels, said)
    stage = _Stage.of(image, pixels, unit or "micrometer", sizes, said)
    if sizes[0] is None and stage.step:
        sizes, unit = (abs(stage.step), *sizes[1:]), unit or "micrometer"
    elif sizes[0] is not None and stage.step and abs(abs(stage.step) - sizes[0]) > _ALONG * sizes[0]:
        said.append(
            f"PhysicalSizeZ is {sizes[0]:.6g} and PositionZ goes on by {stage.step:.6g} {unit} a plane; "
            "PhysicalSizeZ is used, voxel_size says otherwise"
        )
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
        said=tuple(said),
        files=tuple(sorted({uuid.get("FileName", "") for uuid in pixels.findall("{*}TiffData/{*}UUID")} - {""})),
    )


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


@dataclass
class _Stage:
    """Where the stage was: first pixel at every timepoint, z, y, x, and the step from plane to plane along z."""

    positions: tuple[Float3, ...] = ()
    step: float | None = None
    planes: dict[tuple[int, int], dict[int, NDArray[np.float64]]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def of(cls, image: Element, pixels: Element, unit: str, sizes: Sizes, said: list[str]) -> _Stage:
        stage = cls()
        units: set[str | None] = set()
        for plane in pixels.findall("{*}Plane"):
            t, c, z = (int(plane.get(f"The{axis}", 0)) for axis in "TCZ")
            place = _place(plane, "Position", unit, sizes, units)
            if place is not None:
                stage.planes[t, c][z] = place
        label = image.find("{*}StageLabel")
        if not stage.planes and label is not None and (place := _place(label, "", unit, sizes, units)) is not None:
            stage.planes[0, 0][0] = place
        if not stage.planes:
            return stage
        _say_units(units, unit, said)
        first = min(stage.planes)
        stage.step = _step(stage.planes[first])
        starts = {
            t: cls._first(planes, stage.step or sizes[0]) for (t, c), planes in stage.planes.items() if c == first[1]
        }
        count = int(pixels.get("SizeT", 1))
        found = [starts.get(t, starts[first[0]]) for t in range(count)]
        if sizes[2] is not None:
            stage._say_differences(first, sizes, unit, said)
        stage.positions = tuple(float3(place) for place in found)
        return stage

    @staticmethod
    def _first(planes: dict[int, NDArray[np.float64]], step: float | None) -> NDArray[np.float64]:
        z = min(planes)
        place: NDArray[np.float64] = planes[z] - np.array([z * (step or 0.0), 0, 0])
        return place

    def _say_differences(self, first: tuple[int, int], sizes: Sizes, unit: str, said: list[str]) -> None:
        """Say what one place for each timepoint leaves out."""
        pixel = np.array([size or np.inf for size in sizes])
        drift = np.ptp(np.array(list(self.planes[first].values()))[:, 1:], axis=0)
        if (drift > pixel[1:]).any():
            said.append(
                f"the stage moves along x by {drift[1]:.6g} and along y by {drift[0]:.6g} {unit} from plane to plane; "
                "the place of the first plane is used"
            )
        for (t, c), planes in self.planes.items():
            base = self.planes.get((t, first[1]), {})
            for z in planes.keys() & base.keys():
                if (np.abs(planes[z] - base[z]) > _ALONG * pixel).any():
                    z_um, y_um, x_um = planes[z] - base[z]
                    said.append(
                        f"channel {c} lies x {x_um:.6g}, y {y_um:.6g}, z {z_um:.6g} {unit} from channel {first[1]}; "
                        "the place of that one is used for all, views with channel and translation say otherwise"
                    )
                    return


def _place(
    element: Element, prefix: str, unit: str, sizes: Sizes, units: set[str | None]
) -> NDArray[np.float64] | None:
    """Place z, y, x of an element, in a unit; axes that say nothing are at 0, None if none says anything."""
    values = np.zeros(3)
    told = False
    for number, axis in enumerate("ZYX"):
        text = element.get(f"{prefix}{axis}")
        if text is None:
            continue
        written = element.get(f"{prefix}{axis}Unit")
        factor = length_factor(written, unit) if written else None
        if written == "pixel":
            factor = sizes[number]
        elif factor is None:
            units.add(written)
        value = float(text) * (1.0 if factor is None else factor)
        if np.isfinite(value):
            values[number], told = value, True
    return values if told else None


def _say_units(units: set[str | None], unit: str, said: list[str]) -> None:
    if units:
        written = " or ".join(sorted(f"'{name}'" if name else "no unit" for name in units))
        said.append(f"its position has {written}, and is taken for {unit}; translation or affine say otherwise")


def _step(planes: dict[int, NDArray[np.float64]]) -> float | None:
    """Step along z from plane to plane; None of places that are not even, or all the same."""
    if len(planes) < 2:
        return None
    numbers = sorted(planes)
    heights = np.array([planes[z][0] for z in numbers])
    step = float(heights[-1] - heights[0]) / (numbers[-1] - numbers[0])
    even = np.abs(heights - (heights[0] + step * (np.array(numbers) - numbers[0]))).max() <= _ALONG * 10 * abs(step)
    return step if step and even else None
