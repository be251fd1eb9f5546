"""Words that operators take, without loading what computes them; the tests hold them against the kernels."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from fusestack.operators.base import choice

SPACES = (
    "sRGB",
    "RGB",
    "Gray",
    "HSL",
    "HSB",
    "HSV",
    "HCL",
    "HSI",
    "HWB",
    "Lab",
    "LCH",
    "XYZ",
    "YCbCr",
    "CMY",
)
COLOURS = {"Gray": 1}
"""Channels of colour spaces that do not have three."""
STATISTICS = (
    "Mean",
    "StandardDeviation",
    "RootMeanSquare",
    "Gradient",
    "Maximum",
    "Minimum",
    "Median",
    "Mode",
    "Nonpeak",
    "Contrast",
)
ARITHMETIC = (
    "Abs",
    "Add",
    "Cosine",
    "Divide",
    "Exponential",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Multiply",
    "Pow",
    "Set",
    "Sine",
    "Subtract",
    "Threshold",
    "ThresholdBlack",
    "ThresholdWhite",
)
"""What ``-evaluate`` of `cmd` can do."""
INTERPOLATIONS = ("Spline", "Catrom", "Bilinear", "Nearest", "Average")
KERNELS = ("Octagon", "Diamond", "Square", "Disk", "Plus")
METHOD_REACH = {
    "Erode": 1,
    "Dilate": 1,
    "Open": 2,
    "Close": 2,
    "Smooth": 4,
    "EdgeIn": 1,
    "EdgeOut": 1,
    "Edge": 1,
    "TopHat": 2,
    "BottomHat": 2,
}
METHODS = tuple(METHOD_REACH)
WAVELET_REACH, DESPECKLE_REACH, ENHANCE_REACH = 31, 32, 2
"""Pixels that these look at on each side."""
SHAPES = ("circle", "square", "rhombus", "cross", "xcross")
MODES = (
    "Overlay",
    "HardLight",
    "SoftLight",
    "Interpolate",
    "ColorDodge",
    "ColorBurn",
    "Reflect",
    "Freeze",
    "SoftBurn",
    "SoftDodge",
    "LinearLight",
    "PegtopLight",
    "PinLight",
    "VividLight",
    "Screen",
    "Multiply",
    "Plus",
    "LinearDodge",
    "Exclusion",
    "LinearBurn",
    "Lighten",
    "Darken",
    "Difference",
    "MinusDst",
    "Minus",
    "MinusSrc",
    "DivideDst",
    "DivideSrc",
    "ModulusAdd",
    "ModulusSubtract",
    "Negate",
    "HardMix",
    "Stamp",
    "Blend",
)
EVALUATIONS = (
    "Max",
    "Min",
    "Mean",
    "Median",
    "Sum",
    "Add",
    "Multiply",
    "RootMeanSquare",
    "Subtract",
    "Abs",
)
"""What is folded over the slices, colour by colour; Median takes whole colours."""

Statistic = choice(
    STATISTICS,
    {
        "stdev": "StandardDeviation",
        "dev": "StandardDeviation",
        "std": "StandardDeviation",
        "min": "Minimum",
        "max": "Maximum",
        "grad": "Gradient",
        "rms": "RootMeanSquare",
    },
)

_CURVE = re.compile(r"gradient|gaussian|solid|(log|inverselog|pow|cos)(\d+(\.\d*)?)?")
_CURVE_NAMES = ("gradient", "log", "inverselog", "pow", "gaussian", "cos", "solid")
IMAGES = tuple(dict.fromkeys(("enfuse", *EVALUATIONS, *MODES, *(f"{mode}2" for mode in MODES))))
"""Images of a whole stack, by name: folded over the slices, composed of the darkest and the brightest, or blended."""


def _curve(value: Any) -> Any:
    found = _CURVE.fullmatch(value.lower()) if isinstance(value, str) else None
    if found and (found[2] is None or float(found[2]) > 0):
        return value.lower()
    close = difflib.get_close_matches(re.sub(r"[\d.]", "", str(value)).lower(), _CURVE_NAMES, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    allowed = f"gradient, gaussian, solid, or logN, inverselogN, powN, cosN with a number{hint}"
    raise PydanticCustomError("not_allowed", "not allowed", {"allowed": allowed})


CURVES = Annotated[str, BeforeValidator(_curve), WithJsonSchema({"type": "string", "pattern": f"^({_CURVE.pattern})$"})]
"""A curve of a low pass."""

Image = choice(IMAGES, {"Maximum": "Max", "Minimum": "Min", "RMS": "RootMeanSquare"})
"""Name of an image of the stack."""
