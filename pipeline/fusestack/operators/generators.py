"""Generators of imfuse: how sharp each pixel of a slice is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

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
    Switch,
    choice,
    operator,
)
from fusestack.operators.choices import (
    CURVES,
    INTERPOLATIONS,
    KERNELS,
    METHOD_REACH,
    METHODS,
    SHAPES,
    SPACES,
    WAVELET_REACH,
    Image,
    Statistic,
)
from fusestack.operators.resizing import resize_halo, there_and_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.kernels.fourier import Transfer

    Planes = NDArray[np.float32]


class Generator(Operator):
    """What every generator may be told.

    The mask of a slice is three quarters of the mean over its colours of what `apply` makes of them (of three:
    their sum divided by 4, as in imfuse), or the one channel that was asked for.
    """

    weight: Percent | None = Field(default=None, description="percent; default: an equal share of what is left")
    mask: Switch | None = Field(default=None, description="merged before the operators of merge (default for detail)")
    low: Percent = Field(default=0, description="mask values below this percentage become 0")
    high: Percent = Field(default=100, description="mask values above this percentage become 1")
    level: Switch | None = Field(default=None, description="stretch and equalise over the stack (default for detail)")
    equalise: Switch = Field(default=True, description="false: only stretch")
    colorspace: choice(SPACES) | None = Field(default=None, description="colour space that is looked at")  # type: ignore[valid-type]
    channel: Annotated[int, Field(ge=0, le=2)] | None = Field(default=None, description="one channel of it, 0-based")
    compare: Image | None = Field(default=None, description="look at the likeness to this image of the stack")
    difference: Switch | None = Field(default=None, description="compare the result with what it was made of")
    negate: Switch = Field(default=False, description="1 minus the result")

    letters: ClassVar = {
        "w": "weight",
        "t": "low",
        "T": "high",
        "mask": "mask",
        "level": "level",
        "clut": "equalise",
        "C": "colorspace",
        "c": "channel",
        "I": "compare",
        "E": "compare",
        "diff": "difference",
        "neg": "negate",
    }
    detail: ClassVar[bool] = True
    """Whether it measures detail; such masks are merged first, and levelled."""

    @property
    def merged_first(self) -> bool:
        """Whether its mask is merged before the operators of ``merge``, rather than after them."""
        return self.detail if self.mask is None else self.mask

    @property
    def levelled(self) -> bool:
        """Whether its masks are stretched over the stack."""
        return self.detail if self.level is None else self.level

    @property
    def compared(self) -> bool:
        """Whether the difference to its input counts."""
        return self.by_default_compared if self.difference is None else self.difference

    @property
    def by_default_compared(self) -> bool:
        """As `compared`, where nothing is said."""
        return False

    @property
    def image(self) -> str | None:
        """Name of the image of the stack that it compares with."""
        return self.compare

    def apply(self, planes: Planes, place: Place) -> Planes:
        """Answer to colours float32[c, y, x]: the same shape."""
        raise NotImplementedError


@operator("generator", "blur")
class Blur(Generator):
    """Difference of two blurs; with `sigma2` 0 the difference to the slice itself."""

    radius: Radius = Field(default=0, description="window of the blurs; 0: as large as needed")
    sigma: Sigma = Field(default=0.3, description="pixels")
    sigma2: Sigma | None = Field(default=None, description="pixels; default: 1.6 sigma")
    kernel: choice(("blur", "gaussian")) = Field(default="blur", description="blur (imfuse's own) or gaussian")  # type: ignore[valid-type]
    letters: ClassVar = {**Generator.letters, "r": "radius", "s": "sigma", "S": "sigma2"}
    words: ClassVar = ("kernel",)

    @property
    def _second(self) -> float:
        return 1.6 * self.sigma if self.sigma2 is None else self.sigma2

    @property
    def by_default_compared(self) -> bool:
        """Where there is one blur only."""
        return self._second == 0

    def halo(self) -> int:
        """Half of the wider window."""
        return max(len(self._weights(sigma)) // 2 for sigma in (self.sigma, self._second))

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        first, second = (self._weights(sigma) for sigma in (self.sigma, self._second))
        if self._second == 0:
            return kernels.smooth.separable(planes, first)
        return kernels.smooth.difference(planes, first, second)

    def _weights(self, sigma: float) -> Sequence[float]:
        weights = kernels.gaussians.gaussian_weights if self.kernel == "gaussian" else kernels.gaussians.blur_weights
        return weights(self.radius, sigma)


@operator("generator", "dog")
class DifferenceOfGaussians(Generator):
    """Size of the response to a difference of two Gaussians, its positive and its negative part scaled to 1."""

    radius: Radius = Field(default=0, description="window; 0: as large as needed")
    sigma: Sigma = Field(default=0.3, description="pixels")
    sigma2: Sigma | None = Field(default=None, description="pixels; default: 1.6 sigma")
    letters: ClassVar = {**Generator.letters, "r": "radius", "s": "sigma", "S": "sigma2"}

    @property
    def _second(self) -> float:
        return 1.6 * self.sigma if self.sigma2 is None else self.sigma2

    def halo(self) -> int:
        """Half of the window of the wider Gaussian."""
        return len(kernels.stencils.difference_of_gaussians(self.radius, self.sigma, self._second)) // 2

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return np.abs(
            kernels.smooth.convolve(
                planes, kernels.stencils.difference_of_gaussians(self.radius, self.sigma, self._second)
            )
        )


@operator("generator", "log")
class LaplacianOfGaussian(Generator):
    """Size of the response to a Laplacian of a Gaussian; with `sigma2` the difference of two."""

    radius: Radius = Field(default=0, description="window; 0: as large as needed")
    sigma: Sigma = Field(default=0.2, description="pixels")
    sigma2: Sigma | None = Field(default=None, description="pixels of a second one")
    letters: ClassVar = {**Generator.letters, "r": "radius", "s": "sigma", "S": "sigma2"}

    def halo(self) -> int:
        """Half of the window."""
        return max(
            kernels.gaussians.disk_width(self.radius, max(s, 0.1)) // 2 for s in (self.sigma, self.sigma2 or 0.1)
        )

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        response = kernels.smooth.convolve(planes, kernels.stencils.laplacian_of_gaussian(self.radius, self.sigma))
        if self.sigma2:
            response -= kernels.smooth.convolve(
                planes, kernels.stencils.laplacian_of_gaussian(self.radius, self.sigma2)
            )
        return np.abs(response)


@operator("generator", "laplacian")
class Laplacian(Generator):
    """Size of the response to a Laplacian kernel."""

    number: Literal[0, 1, 2, 3, 5, 7, 15, 19] = Field(
        default=3, description="0, 1, 2, 3 (3 x 3), 5, 15 (5 x 5), 7 (7 x 7) or 19 (9 x 9)"
    )
    letters: ClassVar = {**Generator.letters, "n": "number"}

    def halo(self) -> int:
        """Half of the kernel."""
        return len(kernels.stencils.laplacian(self.number)) // 2

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return np.abs(kernels.smooth.convolve(planes, kernels.stencils.laplacian(self.number)))


@operator("generator", "wavelet")
class Wavelet(Generator):
    """What a wavelet threshold takes away; with `percent2` the difference of two thresholds."""

    percent: Share = Field(default=5, description="threshold, percent of full scale")
    percent2: Share | None = Field(default=None, description="second threshold")
    letters: ClassVar = {**Generator.letters, "p": "percent", "P": "percent2"}

    @property
    def by_default_compared(self) -> bool:
        """Where there is one threshold only."""
        return self.percent2 is None

    def halo(self) -> int:
        """Reach of five levels."""
        return WAVELET_REACH

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        first = kernels.wavelet.denoise(planes, self.percent / 100)
        if self.percent2 is None:
            return first
        return kernels.compose.difference(first, kernels.wavelet.denoise(planes, self.percent2 / 100))


@operator("generator", "resize")
class Resize(Generator):
    """What is lost when the slice is made smaller and larger again."""

    percent: Annotated[float, Field(gt=0, le=400)] = Field(default=50, description="percent of the size")
    interpolation: choice(INTERPOLATIONS) = Field(default="Spline", description="how pixels between pixels are found")  # type: ignore[valid-type]
    letters: ClassVar = {**Generator.letters, "p": "percent"}
    words: ClassVar = ("interpolation",)

    @property
    def by_default_compared(self) -> bool:
        """It is the loss that counts."""
        return True

    def halo(self) -> int:
        """Three pixels of the smaller image, and four more."""
        return resize_halo(self.percent)

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return there_and_back(planes, place, self.percent, self.interpolation)


@operator("generator", "fft")
class Fourier(Generator):
    """What a low pass takes away; with `radius2` the difference of two low passes; or a high pass."""

    radius: Annotated[float, Field(gt=0, le=200)] = Field(default=75, description="cut-off, percent of Nyquist")
    radius2: Annotated[float, Field(gt=0, le=200)] | None = Field(default=None, description="second cut-off")
    contrast: float | None = Field(
        default=None, description="sigmoidal contrast of the curve (solid: blur of its edge)"
    )
    middle: AnyPercent = Field(default=50, description="middle of the contrast, percent")
    high_pass: Annotated[int, Field(ge=0, le=1)] = Field(default=0, description="1: a high pass")
    curve: CURVES = Field(default="gradient", description="gradient, logN, inverselogN, powN, gaussian, cosN or solid")
    shape: choice(SHAPES) = Field(default="circle", description="shape in the plane of frequencies")  # type: ignore[valid-type]
    letters: ClassVar = {
        **Generator.letters,
        "r": "radius",
        "R": "radius2",
        "s": "contrast",
        "p": "middle",
        "N": "high_pass",
    }
    words: ClassVar = ("curve", "shape")

    @property
    def by_default_compared(self) -> bool:
        """Only for a single low pass."""
        return not self.high_pass and self.radius2 is None

    @property
    def needs_whole_plane(self) -> bool:
        """Every pixel depends on all others."""
        return True

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """What happens to each frequency, once or twice."""
        return tuple(
            kernels.fourier.Transfer(
                radius, self.curve, self.shape, self.contrast or 0.0, self.middle / 100, bool(self.high_pass)
            )
            for radius in (self.radius, self.radius2)
            if radius is not None
        )

    def combine(self, parts: list[Planes]) -> Planes:
        """Answer from the filtered colours, one for each of `transfers`."""
        return parts[0] if len(parts) == 1 else kernels.compose.difference(parts[0], parts[1])

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`; for whole planes."""
        return self.combine(kernels.fourier.whole(planes, self.transfers))


@operator("generator", "statistic")
class WindowStatistic(Generator):
    """A statistic of the window around each pixel; with `window2` the difference of two windows."""

    window: Count = Field(default=2, description="full width of the window")
    window2: Count | None = Field(default=None, description="a second window")
    statistic: Statistic = Field(default="StandardDeviation", description="statistic of the window")
    letters: ClassVar = {**Generator.letters, "r": "window", "R": "window2"}
    words: ClassVar = ("statistic",)

    @property
    def by_default_compared(self) -> bool:
        """Where it is a smoothed slice."""
        return self.window2 is None and self.statistic not in ("Contrast", "Gradient", "StandardDeviation")

    def halo(self) -> int:
        """Half of the window."""
        return max(self.window, self.window2 or 1) // 2

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        first = kernels.window.statistic(planes, self.statistic, self.window)
        if self.window2 is None:
            return first
        return kernels.compose.difference(first, kernels.window.statistic(planes, self.statistic, self.window2))


@operator("generator", "diffstat")
class StatisticDifference(Generator):
    """Difference of two statistics."""

    window: Count = Field(default=3, description="full width of the first window")
    window2: Count | None = Field(default=None, description="of the second; default: the same")
    statistic: Statistic = Field(default="Median", description="first statistic")
    statistic2: Statistic = Field(default="Mean", description="second statistic")
    letters: ClassVar = {**Generator.letters, "r": "window", "R": "window2"}
    words: ClassVar = ("statistic", "statistic2")

    def halo(self) -> int:
        """Half of the wider window."""
        return max(self.window, self.window2 or 1) // 2

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        first = kernels.window.statistic(planes, self.statistic, self.window)
        second = kernels.window.statistic(planes, self.statistic2, self.window2 or self.window)
        return kernels.compose.difference(first, second)


@operator("generator", "morphology")
class Morphology(Generator):
    """A morphological method, such as the difference of dilation and erosion."""

    radius: KernelRadius = Field(default=1, description="radius of the kernel")
    repeats: Count = Field(default=1, description="how often")
    method: choice(METHODS) = Field(default="Edge", description="method")  # type: ignore[valid-type]
    kernel: choice(KERNELS) = Field(default="Octagon", description="shape of the kernel")  # type: ignore[valid-type]
    letters: ClassVar = {**Generator.letters, "r": "radius", "R": "repeats"}
    words: ClassVar = ("method", "kernel")

    @property
    def by_default_compared(self) -> bool:
        """Where the method gives an image, not a difference."""
        return self.method not in ("Close", "Edge", "EdgeIn", "EdgeOut", "BottomHat", "TopHat")

    def halo(self) -> int:
        """Radius times repeats, as often as the method walks it."""
        return METHOD_REACH[self.method] * self.radius * self.repeats

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return kernels.morphology.morphology(planes, self.method, self.kernel, self.radius, self.repeats)
