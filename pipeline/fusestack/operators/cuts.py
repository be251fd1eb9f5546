"""Operators on the cut of a slice: how much of it is painted (imfuse's ``--cut*``).

The slices are painted from the back to the front. An operator changes a `Step` in place; what it says beyond a cut
(a valley, a second canvas) lives in the step and is handed on to the next slice.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from fusestack import kernels
from fusestack.operators.base import (
    AnyPercent,
    Count,
    KernelRadius,
    Operator,
    Percent,
    Radius,
    Share,
    Sigma,
    choice,
    operator,
)
from fusestack.operators.canvas import TOLERANCE, Canvas, Step
from fusestack.operators.choices import KERNELS, METHOD_REACH, METHODS, WAVELET_REACH
from fusestack.operators.masks import blended


class CutOperator(Operator):
    """One step of the cut of a slice."""

    recursive: ClassVar[bool] = False
    """Whether the result at one slice decides about the next ones."""
    sees_painted: ClassVar[bool] = False
    """Whether it looks at what is painted so far."""
    second_canvas: ClassVar[bool] = False
    """Whether it paints on a canvas of its own."""

    @property
    def keeps_canvas(self) -> bool:
        """Whether that canvas is kept, as a layer of the background."""
        return False

    def apply(self, step: Step) -> None:
        """Change the step."""
        raise NotImplementedError


@operator("cut", "alpha", "cutalpha")
class CutAlpha(CutOperator):
    """Transparent where the mask is low."""

    low: AnyPercent = Field(default=0, description="opacity at mask 0, percent")
    high: AnyPercent = Field(default=100, description="opacity at mask 1, percent")
    letters: ClassVar = {"p": "low", "P": "high"}

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        opacity = np.float32(self.low / 100) + step.mask * np.float32((self.high - self.low) / 100)
        step.cut = np.clip(np.minimum(step.cut, opacity), 0, 1)


@operator("cut", "background", "cutbg")
class CutBackground(CutOperator):
    """Keeps what is painted so far as a canvas of its own."""

    use: choice(("compose", "background", "off")) = Field(  # type: ignore[valid-type]
        default="compose",
        description="compose: the result is painted over it; background: a layer of the background; off: only stored",
    )
    words: ClassVar = ("use",)
    second_canvas: ClassVar = True

    @property
    def keeps_canvas(self) -> bool:
        """As `use` says."""
        return bool(self.use == "background")

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        if self.use != "off":
            if step.canvas is None:
                step.canvas = Canvas.empty(step.colours.shape)
            step.canvas.paint(step.colours, step.cut)
        step.stored = step.cut


@operator("cut", "blur", "cutblur")
class CutBlur(CutOperator):
    """Soft borders: blur, or a blend of the blurred and the sharp cut."""

    radius: Radius = Field(default=0, description="window; 0: as large as needed")
    sigma: Sigma = Field(default=1, description="pixels")
    percent: Share = Field(default=100, description="share of the blurred cut")
    percent2: Share | None = Field(default=None, description="share of the sharp one; default: 100 - percent")
    letters: ClassVar = {"r": "radius", "s": "sigma", "p": "percent", "P": "percent2"}

    def halo(self) -> int:
        """Half of the window."""
        return len(kernels.gaussians.blur_weights(self.radius, self.sigma)) // 2

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        smooth = kernels.smooth.blur(step.cut[None], self.radius, self.sigma)
        step.cut = blended(step.cut[None], smooth, self.percent, self.percent2)[0]
        step.stored = step.cut


@operator("cut", "less", "cutless")
class CutLess(CutOperator):
    """Of several slices that are sharp at a pixel, with a valley of the mask between them, one side wins.

    Where something in front is seen through, or where a hair lies before the ground: `near`, as in imfuse, lets a slice
    in front win where its mask rises above the valley behind it, even if that behind was higher; `far` the one behind.
    """

    percent: AnyPercent = Field(default=20, description="how far it must rise above the valley")
    side: choice(("near", "far")) = Field(default="near", description="which one wins")  # type: ignore[valid-type]
    letters: ClassVar = {"p": "percent"}
    words: ClassVar = ("side",)
    recursive: ClassVar = True

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        rise = np.float32(self.percent / 100)
        if self.side == "far":
            kernels.paint.farther(step.mask, step.cut, step.greatest, step.valley, rise)
        else:
            kernels.paint.less(step.mask, step.cut, step.greatest, step.valley, rise, TOLERANCE)
        step.stored = step.cut


@operator("cut", "max", "cutmax")
class CutMax(CutOperator):
    """Only where the mask is nearly the greatest so far."""

    percent: AnyPercent = Field(default=0, description="how far it may be below")
    letters: ClassVar = {"p": "percent"}

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        near = step.mask >= step.greatest - np.float32(self.percent / 100) - TOLERANCE
        step.cut = np.minimum(step.cut, near.astype(np.float32))
        step.stored = step.cut


@operator("cut", "morphology", "cutmorph")
class CutMorphology(CutOperator):
    """A morphological method."""

    radius: KernelRadius = Field(default=1, description="radius of the kernel")
    repeats: Count = Field(default=1, description="how often")
    method: choice(METHODS) = Field(default="Erode", description="method")  # type: ignore[valid-type]
    kernel: choice(KERNELS) = Field(default="Octagon", description="shape of the kernel")  # type: ignore[valid-type]
    letters: ClassVar = {"r": "radius", "R": "repeats"}
    words: ClassVar = ("method", "kernel")

    def halo(self) -> int:
        """Radius times repeats, as often as the method walks it."""
        return METHOD_REACH[self.method] * self.radius * self.repeats

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        morphology = kernels.morphology.morphology
        step.cut = morphology(step.cut[None], self.method, self.kernel, self.radius, self.repeats)[0]


@operator("cut", "soft", "cutsoft")
class CutSoft(CutOperator):
    """Soft borders around what is cut hard."""

    sigma: Sigma = Field(default=1, description="pixels")
    letters: ClassVar = {"s": "sigma"}

    def halo(self) -> int:
        """Half of the window."""
        return len(kernels.gaussians.blur_weights(0, self.sigma)) // 2

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        step.cut = np.maximum(kernels.smooth.blur(step.cut[None], 0, self.sigma)[0], step.stored)


@operator("cut", "threshold", "cutthreshold")
class CutThreshold(CutOperator):
    """Only where the mask is above a threshold."""

    percent: Percent = Field(default=20, description="percent")
    letters: ClassVar = {"t": "percent"}

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        step.cut = np.minimum(step.cut, (step.mask > np.float32(self.percent / 100)).astype(np.float32))


@operator("cut", "wave", "cutwave")
class CutWave(CutOperator):
    """Wavelet threshold on the cut: soft borders, small pieces fade."""

    percent: Share = Field(default=25, description="threshold, percent of full scale")
    letters: ClassVar = {"p": "percent"}

    def halo(self) -> int:
        """Reach of five levels."""
        return WAVELET_REACH

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        step.cut = kernels.wavelet.denoise(step.cut[None], self.percent / 100)[0]


@operator("cut", "fill", "cuttest")
class CutFill(CutOperator):
    """Only above a threshold, or where nothing is painted yet."""

    percent: Percent = Field(default=20, description="percent")
    letters: ClassVar = {"t": "percent"}
    recursive: ClassVar = True
    sees_painted: ClassVar = True

    def apply(self, step: Step) -> None:
        """See `CutOperator.apply`."""
        high = (step.mask > np.float32(self.percent / 100)).astype(np.float32)
        step.cut = np.minimum(step.cut, np.maximum(high, 1 - step.painted))
