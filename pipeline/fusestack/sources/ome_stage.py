"""Where the stage was, plane by plane, as OME-XML says it: places of images and the step between planes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.geometry import float3
from fusestack.model.units import length_factor

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3
    from fusestack.sources.ome_xml import Sizes

ALONG = 0.01
"""Of a step or a pixel: places that differ less are the same."""


@dataclass
class Stage:
    """Where the stage was: first pixel at every timepoint, z, y, x, and the step from plane to plane along z."""

    positions: tuple[Float3, ...] = ()
    step: float | None = None
    planes: dict[tuple[int, int], dict[int, NDArray[np.float64]]] = field(default_factory=lambda: defaultdict(dict))

    @classmethod
    def of(cls, image: Element, pixels: Element, unit: str, sizes: Sizes, said: list[str]) -> Stage:
        """Read the planes of an image, or its stage label; adds to what is to be said."""
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
        heights = [place[0] for _, place in sorted(stage.planes[first].items())]
        if stage.step is None and np.ptp(heights) > 0:
            steps = np.diff(heights)
            used = "one step of 1" if sizes[0] is None else f"PhysicalSizeZ, {sizes[0]:.6g},"
            said.append(
                f"its planes lie {steps.min():.6g} to {steps.max():.6g} {unit} apart along z, and {used} is used for "
                "all; planes that are views of their own, with translation, say otherwise"
            )
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
                if (np.abs(planes[z] - base[z]) > ALONG * pixel).any():
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
    even = np.abs(heights - (heights[0] + step * (np.array(numbers) - numbers[0]))).max() <= ALONG * 10 * abs(step)
    return step if step and even else None
