"""Operators on the merged mask of a slice (imfuse's ``--mask*``): float32[1, y, x] to the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, Strict

from fusestack import kernels
from fusestack.operators.base import (
    AnyPercent,
    Count,
    KernelRadius,
    Operator,
    Percent,
    Place,
    Radius,
    Share,
    Sigma,
    choice,
    operator,
)
from fusestack.operators.choices import (
    CURVES,
    DESPECKLE_REACH,
    ENHANCE_REACH,
    INTERPOLATIONS,
    KERNELS,
    METHOD_REACH,
    METHODS,
    MODES,
    SHAPES,
    WAVELET_REACH,
    Statistic,
)
from fusestack.operators.resizing import resize_halo, there_and_back

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.kernels.fourier import Transfer

    Planes = NDArray[np.float32]


class MaskOperator(Operator):
    """One step from the merged mask to the one that decides."""

    guided: ClassVar[bool] = False
    """Whether it looks at the slice, too."""

    def apply(self, mask: Planes, place: Place) -> Planes:
        """Transform a mask float32[1, y, x]."""
        raise NotImplementedError


@operator("mask", "blur", "maskblur")
class MaskBlur(MaskOperator):
    """Blur, or a blend of the blurred and the sharp mask."""

    radius: Radius = Field(default=0, description="window; 0: as large as needed")
    sigma: Sigma = Field(default=1, description="pixels")
    percent: Share = Field(default=100, description="share of the blurred mask")
    percent2: Share | None = Field(default=None, description="share of the sharp one; default: 100 - percent")
    letters: ClassVar = {"r": "radius", "s": "sigma", "p": "percent", "P": "percent2"}

    def halo(self) -> int:
        """Half of the window."""
        return len(kernels.gaussians.blur_weights(self.radius, self.sigma)) // 2

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        return blended(mask, kernels.smooth.blur(mask, self.radius, self.sigma), self.percent, self.percent2)


def blended(sharp: Planes, blurred: Planes, percent: float, percent2: float | None) -> Planes:
    """``(p blurred + P sharp) / min(1, p + P)``, clipped (ImageMagick's ``-compose Blend``)."""
    p, q = percent / 100, (max(0, 100 - percent) if percent2 is None else percent2) / 100
    if (p, q) == (1, 0):
        return blurred
    total = min(1.0, p + q) or 1.0
    return np.clip(np.float32(p / total) * blurred + np.float32(q / total) * sharp, 0, 1)


@operator("mask", "despeckle", "maskdespeckle")
class MaskDespeckle(MaskOperator):
    """Removes lone pixels."""

    number: Count = Field(default=1, description="how often")
    letters: ClassVar = {"n": "number"}

    def halo(self) -> int:
        """As often as it is done."""
        return DESPECKLE_REACH * self.number

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        for _ in range(self.number):
            mask = kernels.cleaning.despeckle(mask)
        return mask


@operator("mask", "enhance", "maskenhance")
class MaskEnhance(MaskOperator):
    """Means of like neighbours."""

    number: Count = Field(default=1, description="how often")
    letters: ClassVar = {"n": "number"}

    def halo(self) -> int:
        """As often as it is done."""
        return ENHANCE_REACH * self.number

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        for _ in range(self.number):
            mask = kernels.cleaning.enhance(mask)
        return mask


@operator("mask", "fft", "maskfft")
class MaskFourier(MaskOperator):
    """Low pass in the Fourier domain."""

    radius: Annotated[float, Field(gt=0, le=200)] = Field(default=25, description="cut-off, percent of Nyquist")
    contrast: float | None = Field(
        default=None, description="sigmoidal contrast of the curve (solid: blur of its edge)"
    )
    middle: AnyPercent = Field(default=50, description="middle of the contrast, percent")
    high_pass: Annotated[int, Field(ge=0, le=1)] = Field(default=0, description="1: a high pass")
    curve: CURVES = Field(default="log1000", description="gradient, logN, inverselogN, powN, gaussian, cosN or solid")
    shape: choice(SHAPES) = Field(default="circle", description="shape in the plane of frequencies")  # type: ignore[valid-type]
    letters: ClassVar = {"r": "radius", "s": "contrast", "p": "middle", "N": "high_pass"}
    words: ClassVar = ("curve", "shape")

    @property
    def needs_whole_plane(self) -> bool:
        """Every pixel depends on all others."""
        return True

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """What happens to each frequency."""
        return (
            kernels.fourier.Transfer(
                self.radius, self.curve, self.shape, self.contrast or 0.0, self.middle / 100, bool(self.high_pass)
            ),
        )

    def combine(self, parts: list[Planes]) -> Planes:
        """The filtered mask."""
        return parts[0]

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`; for whole planes."""
        return self.combine(kernels.fourier.whole(mask, self.transfers))


@operator("mask", "guided", "maskguided")
class MaskGuided(MaskOperator):
    """Smooths the mask within areas that look alike in the slice, and not beyond their edges.

    What is sharp at a few pixels decides about the area around them, and borders between slices lie where the picture
    has edges: a depth without patches. The filter of He, Sun and Tang 2013, "Guided Image Filtering", on each slice of
    the masks, as Hosni et al. 2013, "Fast Cost-Volume Filtering", on costs of disparities; windows are Gaussians.
    """

    sigma: Annotated[float, Strict(), Field(gt=0, le=100)] = Field(default=4, description="pixels")
    edge: Annotated[float, Strict(), Field(gt=0, le=100)] = Field(
        default=10, description="differences that are an edge, percent of full scale; smaller ones are smoothed over"
    )
    letters: ClassVar = {"s": "sigma", "t": "edge"}
    guided: ClassVar = True

    def halo(self) -> int:
        """Two windows, one after the other."""
        return 2 * (len(kernels.gaussians.blur_weights(0, self.sigma)) // 2)

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        guide = place.guide
        if guide is None:
            raise ValueError("a guided filter needs the slice")
        smooth = kernels.smooth.blur
        planes = np.concatenate([guide, mask, guide * mask, guide * guide])
        mean, level, both, square = smooth(planes, 0, self.sigma)
        slope = (both - mean * level) / (np.maximum(square - mean * mean, 0) + np.float32((self.edge / 100) ** 2))
        slope, offset = smooth(np.stack([slope, level - slope * mean]), 0, self.sigma)
        return np.asarray(np.clip(slope * guide + offset, 0, 1))


@operator("mask", "kuwahara", "maskkuwahara")
class MaskKuwahara(MaskOperator):
    """Smooths without blurring edges."""

    radius: Count = Field(default=4, description="squares have sides of radius + 1")
    letters: ClassVar = {"r": "radius"}

    def halo(self) -> int:
        """Radius of the blur and of the squares."""
        return 2 * self.radius + 1

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        return kernels.cleaning.kuwahara(mask, self.radius)


@operator("mask", "morphology", "maskmorph")
class MaskMorphology(MaskOperator):
    """A morphological method."""

    radius: KernelRadius = Field(default=1, description="radius of the kernel")
    repeats: Count = Field(default=1, description="how often")
    method: choice(METHODS) = Field(default="Close", description="method")  # type: ignore[valid-type]
    kernel: choice(KERNELS) = Field(default="Octagon", description="shape of the kernel")  # type: ignore[valid-type]
    letters: ClassVar = {"r": "radius", "R": "repeats"}
    words: ClassVar = ("method", "kernel")

    def halo(self) -> int:
        """Radius times repeats, as often as the method walks it."""
        return METHOD_REACH[self.method] * self.radius * self.repeats

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        return kernels.morphology.morphology(mask, self.method, self.kernel, self.radius, self.repeats)


@operator("mask", "statistic", "maskstat")
class MaskStatistic(MaskOperator):
    """A statistic of the window around each pixel; Mode and Contrast are compared with the mask."""

    window: Count = Field(default=5, description="full width of the window")
    statistic: Statistic = Field(default="Mean", description="statistic of the window")
    letters: ClassVar = {"r": "window"}
    words: ClassVar = ("statistic",)

    def halo(self) -> int:
        """Half of the window."""
        return self.window // 2

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        found = kernels.window.statistic(mask, self.statistic, self.window)
        return np.abs(found - mask) if self.statistic in ("Contrast", "Mode") else found


@operator("mask", "threshold", "maskthreshold")
class MaskThreshold(MaskOperator):
    """Below `low` 0, above `high` 1."""

    low: AnyPercent = Field(default=50, description="percent")
    high: AnyPercent = Field(default=100, description="percent")
    letters: ClassVar = {"t": "low", "T": "high"}

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        kept = np.where(mask < np.float32(self.low / 100), np.float32(0), mask)
        return np.where(kept > np.float32(self.high / 100), np.float32(1), kept)


@operator("mask", "wave", "maskwave")
class MaskWave(MaskOperator):
    """Wavelet threshold: closes gaps, removes noise; with `percent2` the difference of two."""

    percent: Share = Field(default=20, description="threshold, percent of full scale")
    percent2: Share | None = Field(default=None, description="second threshold")
    letters: ClassVar = {"p": "percent", "P": "percent2"}

    def halo(self) -> int:
        """Reach of five levels."""
        return WAVELET_REACH

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        first = kernels.wavelet.denoise(mask, self.percent / 100)
        if self.percent2 is None:
            return first
        return kernels.compose.difference(first, kernels.wavelet.denoise(mask, self.percent2 / 100))


@operator("mask", "resize", "masktest")
class MaskResize(MaskOperator):
    """Smaller and larger again."""

    percent: Annotated[float, Field(gt=0, le=400)] = Field(default=50, description="percent of the size")
    interpolation: choice(INTERPOLATIONS) = Field(default="Spline", description="how pixels between pixels are found")  # type: ignore[valid-type]
    letters: ClassVar = {"p": "percent"}
    words: ClassVar = ("interpolation",)

    def halo(self) -> int:
        """Three pixels of the smaller mask, and four more."""
        return resize_halo(self.percent)

    def apply(self, mask: Planes, place: Place) -> Planes:
        """See `MaskOperator.apply`."""
        return there_and_back(mask, place, self.percent, self.interpolation)


@operator("mask", "merge", "maskmerge")
class MaskMerge(Operator):
    """How the masks of the generators become one; wherever it stands in the list."""

    mode: choice(MODES) = Field(default="Screen", description="mode of composition, from an empty mask")  # type: ignore[valid-type]
    words: ClassVar = ("mode",)


@operator("mask", "level", "masklevel")
class MaskLevel(Operator):
    """Stretches the merged masks of all slices alike, always as the last step, wherever it stands in the list."""

    step: Percent = Field(default=5, description="limits are rounded outwards to multiples of it, percent; 0: not")
    low: AnyPercent | None = Field(default=None, description="lower limit, percent; default: the smallest value")
    high: AnyPercent | None = Field(default=None, description="upper limit, percent; default: the greatest value")
    over: choice(("all", "substack", "off")) = Field(  # type: ignore[valid-type]
        default="all", description="limits of all slices, or of each substack; off: nothing is stretched"
    )
    letters: ClassVar = {"t": "step", "p": "low", "P": "high"}
    words: ClassVar = ("over",)
