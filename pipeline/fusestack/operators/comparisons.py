"""Generators that look at colours, and at the likeness to an image of the whole stack (imfuse's comparison masks)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from fusestack import kernels
from fusestack.operators.base import Place, Switch, choice, operator
from fusestack.operators.choices import EVALUATIONS, MODES, SPACES, Image
from fusestack.operators.generators import Generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]


class _Colour(Generator):
    """A channel of a colour space."""

    detail: ClassVar = False

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return planes


@operator("generator", "channel")
class SingleChannel(_Colour):
    """One channel of a colour space, such as ``{colorspace: Lab, channel: 0}``."""

    words: ClassVar = ("colorspace", "channel")


@operator("generator", "chroma")
class Chroma(_Colour):
    """Chroma of HCL: bright colours."""

    colorspace: choice(SPACES) | None = Field(default="HCL", description="colour space")  # type: ignore[valid-type]
    channel: Annotated[int, Field(ge=0, le=2)] | None = Field(default=1, description="channel")


@operator("generator", "darkness")
class Darkness(_Colour):
    """1 minus the lightness of HSL."""

    colorspace: choice(SPACES) | None = Field(default="HSL", description="colour space")  # type: ignore[valid-type]
    channel: Annotated[int, Field(ge=0, le=2)] | None = Field(default=2, description="channel")
    negate: Switch = Field(default=True, description="1 minus the result")


@operator("generator", "lightness")
class Lightness(_Colour):
    """Lightness of HSL."""

    colorspace: choice(SPACES) | None = Field(default="HSL", description="colour space")  # type: ignore[valid-type]
    channel: Annotated[int, Field(ge=0, le=2)] | None = Field(default=2, description="channel")


@operator("generator", "saturation")
class Saturation(_Colour):
    """Saturation of HSL."""

    colorspace: choice(SPACES) | None = Field(default="HSL", description="colour space")  # type: ignore[valid-type]
    channel: Annotated[int, Field(ge=0, le=2)] | None = Field(default=1, description="channel")


@operator("generator", "compose")
class ComposedImage(_Colour):
    """Likeness to the darkest and the brightest image, composed."""

    compare: choice(  # type: ignore[valid-type]
        (*MODES, *(f"{mode}2" for mode in MODES)), {"Maximum": "Lighten"}
    ) = Field(default="Overlay", description="mode of composition; with a 2 at its end the two are exchanged")
    words: ClassVar = ("compare",)


@operator("generator", "evaluate")
class Evaluate(_Colour):
    """Likeness to an image that is folded over the slices."""

    compare: choice(EVALUATIONS, {"RMS": "RootMeanSquare"}) = Field(  # type: ignore[valid-type]
        default="Max", description="how the slices are folded"
    )
    words: ClassVar = ("compare",)


@operator("generator", "max")
class Max(_Colour):
    """Likeness to the brightest image."""

    compare: Image | None = Field(default="Max", description="image of the stack")


@operator("generator", "min")
class Min(_Colour):
    """Likeness to the darkest image."""

    compare: Image | None = Field(default="Min", description="image of the stack")


@operator("generator", "mean")
class Mean(_Colour):
    """Likeness to the mean image."""

    compare: Image | None = Field(default="Mean", description="image of the stack")


@operator("generator", "median")
class Median(_Colour):
    """Likeness to the median image: at each pixel the colour that is the middle one of the slices."""

    compare: Image | None = Field(default="Median", description="image of the stack")


@operator("generator", "enfuse")
class Enfuse(_Colour):
    """Likeness to the blend of all slices with Laplacian pyramids."""

    compare: Image | None = Field(default="enfuse", description="image of the stack")


@operator("generator", "depthmap")
class DepthMap(_Colour):
    """Nearness to a depth map: a colour map as imfuse writes it, or the index of the slice as a number."""

    path: str = Field(min_length=1, description="file of the depth map")
    words: ClassVar = ("path",)
    compiles: ClassVar = False

    @property
    def image(self) -> str:
        """The file, as an image of the stack."""
        return f"depthmap:{self.path}"

    @property
    def compared(self) -> bool:
        """Never with the map itself."""
        return False

    def facts(self) -> list[object]:
        """As `Operator.facts`, without the path: the map is known by what is in it."""
        return [self.name, self.version, self.model_dump(mode="json", exclude={"path"})]

    def apply(self, planes: Planes, place: Place) -> Planes:
        """Nearness of a slice to a map float32[1, 3 or 4 colours, y, x]: float32[1, y, x].

        The map is the index of the slice, 0-based, NaN where unknown; or its colour, with alpha.
        """
        if planes.shape[0] == 1:
            near = 1 - np.abs(planes - np.float32(place.slice))
            return np.asarray(np.nan_to_num(np.maximum(near, 0)).astype(np.float32))
        alpha = planes[3:4] if planes.shape[0] == 4 else np.ones_like(planes[:1])
        colour = kernels.colour.rainbow(np.array([[(place.slices - 1 - place.slice) / place.slices]]))
        near = np.minimum(1 - np.abs(colour - planes[:3]), alpha).sum(axis=0, keepdims=True)
        return np.asarray((near + alpha) / np.float32(4), dtype=np.float32)
