"""Operators on the slices before they are stacked (imfuse's program ``stackprepare``)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from fusestack import kernels
from fusestack.operators.base import Number, Operator, Percent, choice, operator
from fusestack.operators.choices import MODES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Planes = NDArray[np.float32]
    Counts = NDArray[np.float64]

BINS = 65_536
"""Of the histogram of a mean image, 0 to 1."""
_GEOMETRY = re.compile(r"[0-9]+x[0-9]+(\+[0-9]+\+[0-9]+)?")
Size = tuple[int, int]
"""Columns and rows."""
Whole = Annotated[int, Field(strict=True, ge=0)]
Some = Annotated[int, Field(strict=True, ge=1)]


class Placing(Operator):
    """An operator that takes pixels from other places."""

    def place(self, size: Size) -> tuple[Matrix, Size]:
        """From pixels (x, y, 1) of the result to those of a slice of some size, and the size of the result.

        Raises
        ------
        ValueError
            If nothing would be left.
        """
        raise NotImplementedError


class Toning(Operator):
    """An operator that changes the values of pixels."""

    @property
    def measures(self) -> bool:
        """Whether it looks at the mean image of the stack."""
        return False

    def apply(self, planes: Planes, counts: Counts | None) -> Planes:
        """Values of planes float32[c, y, x], 0..1; `counts` are those of the mean image, if it `measures`."""
        raise NotImplementedError


def _geometry(text: str) -> str:
    if _GEOMETRY.fullmatch(text) is None:
        raise ValueError("a size and a place in pixels, such as 800x600+100+50 (width, height, left, top)")
    return text


@operator("prepare", "crop", "preparecrop")
class Crop(Placing):
    """Keep a part."""

    geometry: Annotated[str, AfterValidator(_geometry)] | None = Field(
        default=None, description="width x height + left + top, pixels: 800x600+100+50"
    )
    region: Literal["T", "B", "L", "R", "M"] | None = Field(
        default=None, description="a square at the top, bottom, left, right, or in the middle"
    )
    size: Some = Field(default=800, description="of the square, pixels")

    def model_post_init(self, context: Any) -> None:
        """Refuse both and neither."""
        if (self.geometry is None) == (self.region is None):
            raise ValueError("name either geometry or region")

    def place(self, size: Size) -> tuple[Matrix, Size]:
        """See `Placing.place`."""
        columns, rows = size
        if self.geometry is not None:
            width, height, left, top = (int(number) for number in [*re.findall(r"[0-9]+", self.geometry), "0", "0"][:4])
        else:
            width, height = min(self.size, columns), min(self.size, rows)
            left = {"L": 0, "R": columns - width}.get(self.region or "", (columns - width) // 2)
            top = {"T": 0, "B": rows - height}.get(self.region or "", (rows - height) // 2)
        kept = min(columns - left, width), min(rows - top, height)
        if min(kept) < 1:
            raise ValueError(f"{self.geometry} lies outside of the slices, {columns} x {rows} pixels")
        return _moved(left, top), kept


@operator("prepare", "shave", "prepareshave")
class Shave(Placing):
    """Cut pixels off all edges."""

    x: Whole = Field(default=0, description="pixels at the left and the right")
    y: Whole = Field(default=0, description="pixels at the top and the bottom")

    def place(self, size: Size) -> tuple[Matrix, Size]:
        """See `Placing.place`."""
        kept = size[0] - 2 * self.x, size[1] - 2 * self.y
        if min(kept) < 1:
            raise ValueError(f"nothing is left of {size[0]} x {size[1]} pixels")
        return _moved(self.x, self.y), kept


@operator("prepare", "resize", "prepareresize")
class Resize(Placing):
    """Make the slices smaller or larger, keeping their shape."""

    percent: Annotated[Number, Field(gt=0, le=1000)] = Field(default=50, description="of width and height")
    longest: Some | None = Field(default=None, description="or: pixels of the longer side")

    def place(self, size: Size) -> tuple[Matrix, Size]:
        """See `Placing.place`."""
        factor = self.percent / 100 if self.longest is None else self.longest / max(size)
        made = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
        x, y = size[0] / made[0], size[1] / made[1]
        return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1]]), made


@operator("prepare", "rotate", "preparerotate")
class Rotate(Placing):
    """Turn the slices; by quarters exactly, else about their middle, in their size."""

    degrees: Annotated[Number, Field(ge=-360, le=360)] = Field(description="clockwise")

    def place(self, size: Size) -> tuple[Matrix, Size]:
        """See `Placing.place`."""
        columns, rows = size
        quarters = {
            0: ([[1, 0, 0], [0, 1, 0]], size),
            90: ([[0, 1, 0], [-1, 0, rows - 1]], (rows, columns)),
            180: ([[-1, 0, columns - 1], [0, -1, rows - 1]], size),
            270: ([[0, -1, columns - 1], [1, 0, 0]], (rows, columns)),
        }
        if self.degrees % 360 in quarters:
            found, made = quarters[int(self.degrees % 360)]
            return np.array([*found, [0, 0, 1]], float), made
        angle = math.radians(self.degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = (columns - 1) / 2, (rows - 1) / 2
        return np.array([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y], [0, 0, 1]]), size


def _moved(left: float, top: float) -> Matrix:
    return np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], float)


@operator("prepare", "gamma", "preparegamma")
class Gamma(Toning):
    """Raise values to 1 / gamma."""

    value: Annotated[float, Field(gt=0, le=10)] | Literal["auto"] = Field(
        default="auto", description="above 1 brightens; auto: so that the mean image becomes middle grey"
    )

    @property
    def measures(self) -> bool:
        """For auto."""
        return self.value == "auto"

    def apply(self, planes: Planes, counts: Counts | None) -> Planes:
        """See `Toning.apply`; auto as imfuse's stackprepare: log(mean) / log(1/2)."""
        value = 1.0 if self.value == "auto" else self.value
        if self.value == "auto":
            mean = 0.5 if counts is None else float(counts @ np.linspace(0, 1, BINS) / max(1.0, counts.sum()))
            value = min(10.0, max(0.1, math.log(min(max(mean, 1e-4), 1 - 1e-4)) / math.log(0.5)))
        return kernels.tones.gamma(planes, value)


@operator("prepare", "level", "preparelevel")
class Level(Toning):
    """Make one value black and one white."""

    black: Percent | Literal["auto"] = Field(
        default="auto", description="percent of white; auto: the mean image's least"
    )
    white: Percent | Literal["auto"] = Field(default="auto", description="the same; auto: the mean image's greatest")

    @property
    def measures(self) -> bool:
        """For auto."""
        return "auto" in (self.black, self.white)

    def apply(self, planes: Planes, counts: Counts | None) -> Planes:
        """See `Toning.apply`."""
        least, most = (0.0, 1.0) if counts is None else _ends(counts, 0, 0)
        black = least if self.black == "auto" else self.black / 100
        white = most if self.white == "auto" else self.white / 100
        return kernels.tones.level(planes, black, white)


@operator("prepare", "contrast_stretch", "preparecontraststretch")
class ContrastStretch(Toning):
    """Make the darkest of the mean image black and the brightest white."""

    black: Percent = Field(default=2, description="so many percent of its pixels become black")
    white: Percent = Field(default=1, description="so many percent of its pixels become white")

    @property
    def measures(self) -> bool:
        """Always."""
        return True

    def apply(self, planes: Planes, counts: Counts | None) -> Planes:
        """See `Toning.apply`."""
        return planes if counts is None else kernels.tones.level(planes, *_ends(counts, self.black, self.white))


@operator("prepare", "sigmoidal", "preparesigmoidal")
class Sigmoidal(Toning):
    """More contrast in the middle, less at the ends."""

    contrast: Annotated[Number, Field(ge=0, le=100)] = Field(default=3, description="3 is usual, 20 is much")
    middle: Percent = Field(default=50, description="percent of white that stays")

    def apply(self, planes: Planes, counts: Counts | None) -> Planes:
        """See `Toning.apply`."""
        return kernels.tones.sigmoidal_contrast(planes, self.contrast, self.middle / 100)


@operator("prepare", "sharpen", "preparesharpen")
class Sharpen(Toning):
    """Add detail: what a blur takes away (unsharp mask)."""

    sigma: Annotated[Number, Field(gt=0, le=32)] = Field(default=1, description="of the blur, pixels")
    amount: Annotated[Number, Field(ge=0, le=1000)] = Field(default=50, description="percent of the detail")

    def halo(self) -> int:
        """Of the blur."""
        return len(kernels.gaussians.blur_weights(0, self.sigma)) // 2

    def apply(self, planes: Planes, counts: Counts | None) -> Planes:
        """See `Toning.apply`."""
        detail = planes - kernels.smooth.blur(planes, 0, self.sigma)
        return np.clip(planes + np.float32(self.amount / 100) * detail, 0, 1)


@operator("prepare", "compose", "preparecompose")
class Compose(Toning):
    """Compose each slice with itself."""

    mode: choice(MODES) = Field(  # type: ignore[valid-type]
        default="Overlay", description="as ImageMagick's -compose"
    )

    def apply(self, planes: Planes, counts: Counts | None) -> Planes:
        """See `Toning.apply`."""
        return kernels.compose.compose(self.mode, planes, planes)


def _ends(counts: Counts, black: float, white: float) -> tuple[float, float]:
    """Values of which so many percent are darker, and brighter."""
    sums = np.cumsum(counts)
    low = int(np.searchsorted(sums, max(black / 100 * sums[-1], 0.5), side="left"))
    high = int(np.searchsorted(sums, sums[-1] - max(white / 100 * sums[-1], 0.5), side="left"))
    return low / (BINS - 1), max(high, low + 1) / (BINS - 1)
