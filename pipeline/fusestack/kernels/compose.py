"""Two images into one, pixel by pixel: the modes of ImageMagick's ``-compose``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]


def _divided(a: Planes, b: Planes) -> Planes:
    """A / b; 0 / 0 is 0, anything else over 0 is more than white."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = a / b
    return np.where(b == 0, np.where(a == 0, np.float32(0), np.float32(2)), ratio)


def _soft_light(s: Planes, d: Planes) -> Planes:
    dark = d - (1 - 2 * s) * d * (1 - d)
    curve = np.where(d <= 0.25, ((16 * d - 12) * d + 4) * d - d, np.sqrt(np.maximum(d, 0)) - d)
    return np.where(s <= 0.5, dark, d + (2 * s - 1) * curve)


def _pin_light(s: Planes, d: Planes) -> Planes:
    return np.where(d < 2 * s - 1, 2 * s - 1, np.where(d > 2 * s, 2 * s, d))


def _vivid_light(s: Planes, d: Planes) -> Planes:
    return np.where(s <= 0.5, 1 - _divided(1 - d, 2 * s), _divided(d, 2 * (1 - s)))


def _soft_burn(s: Planes, d: Planes) -> Planes:
    return np.where(s + d < 1, _divided(0.5 * d, 1 - s), 1 - _divided(0.5 * (1 - s), d))


def _hard_light(s: Planes, d: Planes) -> Planes:
    return np.where(s <= 0.5, 2 * s * d, 1 - 2 * (1 - s) * (1 - d))


MODES: dict[str, Callable[[Planes, Planes], Planes]] = {
    "Overlay": lambda s, d: _hard_light(d, s),
    "HardLight": _hard_light,
    "SoftLight": _soft_light,
    "Interpolate": lambda s, d: 0.5 - 0.25 * np.cos(np.pi * s) - 0.25 * np.cos(np.pi * d),
    "ColorDodge": lambda s, d: _divided(d, 1 - s),
    "ColorBurn": lambda s, d: 1 - _divided(1 - d, s),
    "Reflect": lambda s, d: _divided(s * s, 1 - d),
    "Freeze": lambda s, d: 1 - _divided((1 - s) ** 2, d),
    "SoftBurn": _soft_burn,
    "SoftDodge": lambda s, d: _soft_burn(d, s),
    "LinearLight": lambda s, d: d + 2 * s - 1,
    "PegtopLight": lambda s, d: d * d * (1 - 2 * s) + 2 * s * d,
    "PinLight": _pin_light,
    "VividLight": _vivid_light,
    "Screen": lambda s, d: s + d - s * d,
    "Multiply": lambda s, d: s * d,
    "Plus": lambda s, d: s + d,
    "LinearDodge": lambda s, d: s + d,
    "Exclusion": lambda s, d: s + d - 2 * s * d,
    "LinearBurn": lambda s, d: s + d - 1,
    "Lighten": np.maximum,
    "Darken": np.minimum,
    "Difference": lambda s, d: np.abs(s - d),
    "MinusDst": lambda s, d: s - d,
    "Minus": lambda s, d: s - d,
    "MinusSrc": lambda s, d: d - s,
    "DivideDst": _divided,
    "DivideSrc": lambda s, d: _divided(d, s),
    "ModulusAdd": lambda s, d: (s + d) % 1,
    "ModulusSubtract": lambda s, d: (s - d) % 1,
    "Negate": lambda s, d: 1 - np.abs(1 - s - d),
    "HardMix": lambda s, d: np.where(s + d < 1, np.float32(0), np.float32(1)),
    "Stamp": lambda s, d: s + d * d - 1,
    "Blend": lambda s, d: s + d,
}
"""``f(source, destination)`` by name, before clipping."""


def compose(mode: str, source: Planes, destination: Planes) -> Planes:
    """Compose two images and clip to 0..1.

    Parameters
    ----------
    mode : str
        One of `MODES`.
    source, destination : float32[...]

    Returns
    -------
    float32[...]
    """
    return np.clip(MODES[mode](source, destination), 0, 1).astype(np.float32, copy=False)


def difference(first: Planes, second: Planes) -> Planes:
    """Size of the difference of two images, in place of the first, which is given back; float32[c, y, x]."""
    np.subtract(first, second, out=first)
    return np.abs(first, out=first)
