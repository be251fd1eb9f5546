"""Operators on the painted picture (imfuse's ``--final*``)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from fusestack import kernels
from fusestack.operators.base import AnyPercent, Number, Operator, Percent, Sigma, Switch, operator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]
    Values = NDArray[np.float64]

_FIXED_POINT = 2.0**16


@dataclass(frozen=True)
class Picture:
    """What the painting of a stack has made.

    Parameters
    ----------
    colours : float32[c, y, x]
    alpha : float32[y, x]
        Opacity.
    mask : float32[y, x]
        Greatest mask.
    depth : float32[y, x]
        Index of the slice, 0-based.
    depth_alpha : float32[y, x]
        Where the depth is known.
    """

    colours: Planes
    alpha: Plane
    mask: Plane
    depth: Plane
    depth_alpha: Plane

    def packed(self) -> Planes:
        """All planes in one array: colours, alpha, mask, depth, its alpha."""
        others = (self.alpha, self.mask, self.depth, self.depth_alpha)
        return np.concatenate([self.colours, *(plane[None] for plane in others)])

    @staticmethod
    def unpacked(planes: Planes) -> Picture:
        """The inverse of `packed`."""
        return Picture(planes[:-4], planes[-4], planes[-3], planes[-2], planes[-1])

    def part(self, rows: slice, columns: slice) -> Picture:
        """A region of it."""
        return Picture.unpacked(self.packed()[:, rows, columns])


class FinalOperator(Operator):
    """One step after the painting."""

    measures: ClassVar[int] = 0
    """How many statistics of the whole picture it needs, one after the other."""
    unites: ClassVar[str] = "extremes"
    """How the measures of regions become one: ``sum``, or ``extremes`` of pairs."""

    def unites_of(self, number: int) -> str:
        """As `unites`, of one of the statistics."""
        return self.unites

    def numbers_of(self, number: int, colours: int) -> int:
        """How many numbers one of the statistics has, of a picture of so many colours."""
        return 2

    def measure(self, number: int, picture: Picture, inner: tuple[slice, slice], known: Sequence[Values]) -> Values:
        """Measure a region: exact sums or extremes of the pixels in `inner`; `known` are the statistics before."""
        raise NotImplementedError

    def apply(self, picture: Picture, known: Sequence[Values]) -> Picture:
        """Transform a picture, or a region of it with `halo` around it."""
        raise NotImplementedError


@operator("final", "alpha", "finalalpha")
class FinalAlpha(FinalOperator):
    """Opacity from the mask; or everything opaque."""

    low: AnyPercent = Field(default=0, description="opacity at mask 0, percent")
    high: AnyPercent = Field(default=100, description="opacity at mask 1, percent")
    off: Switch = Field(default=False, description="true: everything is opaque")
    letters: ClassVar = {"p": "low", "P": "high", "off": "off"}

    def apply(self, picture: Picture, known: Sequence[Values]) -> Picture:
        """See `FinalOperator.apply`."""
        opacity = np.float32(self.low / 100) + picture.mask * np.float32((self.high - self.low) / 100)
        alpha = np.ones_like(picture.alpha) if self.off else np.clip(opacity, 0, 1)
        return replace(picture, alpha=alpha, depth_alpha=alpha)


@operator("final", "blur", "finalblur")
class FinalBlur(FinalOperator):
    """Blurs where nothing is in focus."""

    threshold: AnyPercent = Field(default=20, description="where the mask is not above it, percent")
    sigma: Sigma = Field(default=5, description="of the blur, pixels")
    border: Sigma = Field(default=2, description="sigma of the transition, pixels")
    letters: ClassVar = {"t": "threshold", "s": "sigma", "S": "border"}

    def halo(self) -> int:
        """Half of the wider window."""
        return max(len(kernels.gaussians.blur_weights(0, sigma)) // 2 for sigma in (self.sigma, self.border))

    def apply(self, picture: Picture, known: Sequence[Values]) -> Picture:
        """See `FinalOperator.apply`."""
        blurred = kernels.smooth.blur(picture.colours, 0, self.sigma)
        low = (picture.mask <= np.float32(self.threshold / 100)).astype(np.float32)
        colours, alpha = picture.colours.copy(), picture.alpha.copy()
        kernels.paint.paint_over(colours, alpha, blurred, kernels.smooth.blur(low[None], 0, self.border)[0])
        return replace(picture, colours=colours, alpha=alpha)


@operator("final", "blur2", "finalblur2")
class FinalVariableBlur(FinalOperator):
    """Blurs the more, the lower the mask is."""

    radius: Annotated[float, Field(ge=0, le=32)] = Field(default=4, description="sigma at mask 0, pixels")
    threshold: AnyPercent = Field(default=20, description="above it nothing is blurred, percent")
    letters: ClassVar = {"r": "radius", "t": "threshold"}

    def halo(self) -> int:
        """Half of the widest window."""
        return kernels.sharpen.variable_blur_reach(self.radius)

    def apply(self, picture: Picture, known: Sequence[Values]) -> Picture:
        """See `FinalOperator.apply`."""
        amount = np.where(picture.mask > np.float32(self.threshold / 100), 0, 1 - picture.mask)
        sigma = (np.float32(self.radius) * amount).astype(np.float32)
        return replace(picture, colours=kernels.sharpen.variable_blur(picture.colours, sigma))


@operator("final", "gamma", "finalgamma")
class FinalGamma(FinalOperator):
    """Gamma of the colours; auto makes their mean one half.

    Unlike the original, auto leaves opacity out of the mean, and weighs colours with it.
    """

    gamma: Annotated[float, Field(gt=0, le=10)] | Literal["auto"] = Field(
        default="auto", description="a number or auto"
    )
    letters: ClassVar = {"g": "gamma"}
    words: ClassVar = ("gamma",)
    unites: ClassVar = "sum"

    @property
    def measures(self) -> int:  # type: ignore[override]
        """The mean, if it is needed."""
        return 1 if self.gamma == "auto" else 0

    def measure(self, number: int, picture: Picture, inner: tuple[slice, slice], known: Sequence[Values]) -> Values:
        """Sums of weighted colours and of weights in fixed point, exact in any order."""
        alpha = picture.alpha[inner].astype(np.float64)
        weighted = 0.0
        for plane in picture.colours:
            colour = np.clip(plane[inner], 0, 1) * alpha
            weighted += np.floor(colour * _FIXED_POINT + 0.5).sum()
        return np.array([weighted, np.floor(alpha * _FIXED_POINT + 0.5).sum() * len(picture.colours)])

    def apply(self, picture: Picture, known: Sequence[Values]) -> Picture:
        """See `FinalOperator.apply`."""
        gamma = 1.0
        if isinstance(self.gamma, float):
            gamma = self.gamma
        else:
            weighted, weight = known[0]
            mean = weighted / weight if weight else 0.5
            if 0 < mean < 1:
                gamma = math.log(mean) / math.log(0.5)
        colours = np.maximum(picture.colours, 0) ** np.float32(1 / gamma)
        return replace(picture, colours=colours.astype(np.float32, copy=False))


@operator("final", "sharpen", "finalsharpen")
class FinalSharpen(FinalOperator):
    """Sharpens, the more the nearer to an edge."""

    radius: Annotated[Number, Field(ge=0, le=32)] = Field(default=0, description="window; 0: as large as needed")
    sigma: Annotated[Number, Field(gt=0, le=10)] = Field(default=1, description="pixels")
    letters: ClassVar = {"r": "radius", "s": "sigma"}
    measures: ClassVar = 2

    def halo(self) -> int:
        """Edges, their blur, and the sharpening."""
        blur = len(kernels.gaussians.blur_weights(self.radius, self.sigma)) // 2
        return (
            kernels.sharpen.edge_reach(self.radius) + blur + kernels.gaussians.disk_width(self.radius, self.sigma) // 2
        )

    def measure(self, number: int, picture: Picture, inner: tuple[slice, slice], known: Sequence[Values]) -> Values:
        """Least and greatest edge; then of the blurred edges."""
        edge = kernels.sharpen.edges(picture.colours, self.radius)
        if number:
            edge = kernels.sharpen.smooth_edges(edge, _pair(known[0]), self.radius, self.sigma)
        part = edge[(slice(None), *inner)]
        return np.array([part.min(), part.max()], dtype=np.float64)

    def apply(self, picture: Picture, known: Sequence[Values]) -> Picture:
        """See `FinalOperator.apply`."""
        edge = kernels.sharpen.edges(picture.colours, self.radius)
        smooth = kernels.sharpen.smooth_edges(edge, _pair(known[0]), self.radius, self.sigma)
        sharp = kernels.sharpen.adaptive_sharpen(
            picture.colours, picture.alpha, smooth, _pair(known[1]), self.radius, self.sigma
        )
        return replace(picture, colours=sharp)


def _pair(values: Values) -> tuple[float, float]:
    low, high = (float(v) for v in values)
    return low, high


@operator("final", "threshold", "finalthreshold")
class FinalThreshold(FinalOperator):
    """Transparent where the mask is not between two thresholds."""

    low: AnyPercent = Field(default=20, description="must be above it, percent")
    high: Percent = Field(default=100, description="and not above it, percent")
    sigma: Annotated[Number, Field(ge=0, le=1000)] = Field(default=0, description="soft border, pixels")
    letters: ClassVar = {"t": "low", "T": "high", "s": "sigma"}

    def halo(self) -> int:
        """Half of the window."""
        return len(kernels.gaussians.blur_weights(0, self.sigma)) // 2

    def apply(self, picture: Picture, known: Sequence[Values]) -> Picture:
        """See `FinalOperator.apply`."""
        mask = picture.mask
        hard = ((mask > np.float32(self.low / 100)) & ~(mask > np.float32(self.high / 100))).astype(np.float32)
        soft = kernels.smooth.blur(hard[None], 0, self.sigma)[0] if self.sigma > 0 else hard
        return replace(
            picture,
            mask=np.minimum(mask, soft),
            alpha=np.minimum(picture.alpha, soft),
            depth_alpha=np.minimum(picture.depth_alpha, hard),
        )
