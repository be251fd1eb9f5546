"""Options of ImageMagick that are computed here: nothing has to be installed, and how far they look is known."""

from __future__ import annotations

import functools
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fusestack import kernels
from fusestack.operators.base import spelled
from fusestack.operators.choices import KERNELS, METHOD_REACH, METHODS, STATISTICS, WAVELET_REACH

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

Filter: TypeAlias = "Callable[[Planes], Planes]"
_NUMBER = r"\d+\.?\d*|\.\d+"
_SIGMA = re.compile(rf"({_NUMBER})(?:x({_NUMBER}))?")
_SIDES = re.compile(r"(\d+)(?:x(\d+))?")


@dataclass(frozen=True)
class Known:
    """A chain of options.

    Parameters
    ----------
    filters : tuple of callable
        float32[c, y, x] to the same, one after the other.
    halo : int
        How far all of them together look.
    """

    filters: tuple[Filter, ...]
    halo: int

    def apply(self, planes: Planes) -> Planes:
        """Apply all of them."""
        for one in self.filters:
            planes = one(planes)
        return planes


@functools.lru_cache(maxsize=256)
def known(command: str) -> Known | None:
    """Options such as ``-edge 1 -blur 0x2``; None if one of them is not computed here."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    found: list[tuple[Filter, int]] = []
    while words:
        parse = _PARSERS.get(words.pop(0).removeprefix("-").lower())
        one = parse(words) if parse else None
        if one is None:
            return None
        found.append(one)
    return Known(tuple(f for f, _ in found), sum(halo for _, halo in found)) if found else None


def _edge(words: list[str]) -> tuple[Filter, int] | None:
    found = re.fullmatch(_NUMBER, words.pop(0)) if words else None
    if found is None:
        return None
    radius = float(found[0])
    return lambda planes: kernels.sharpen.edges(planes, radius), kernels.sharpen.edge_reach(radius)


def _negate(words: list[str]) -> tuple[Filter, int] | None:
    del words  # it takes none
    return lambda planes: 1 - planes, 0


def _blur(words: list[str]) -> tuple[Filter, int] | None:
    found = _radius_and_sigma(words)
    if found is None:
        return None
    return lambda planes: kernels.smooth.blur(planes, *found), len(kernels.gaussians.blur_weights(*found)) // 2


def _gaussian_blur(words: list[str]) -> tuple[Filter, int] | None:
    found = _radius_and_sigma(words)
    if found is None:
        return None
    return lambda planes: kernels.smooth.gaussian(planes, *found), len(kernels.gaussians.gaussian_weights(*found)) // 2


def _radius_and_sigma(words: list[str]) -> tuple[float, float] | None:
    found = _SIGMA.fullmatch(words.pop(0)) if words else None
    return None if found is None else (float(found[1]), float(found[2] or 1))


def _statistic(words: list[str]) -> tuple[Filter, int] | None:
    if len(words) < 2:
        return None
    kind = spelled(STATISTICS, words.pop(0))
    found = _SIDES.fullmatch(words.pop(0))
    # the contrast of the original is divided by 65535
    if kind in (None, "Contrast") or found is None or found[1] != (found[2] or found[1]) or int(found[1]) < 1:
        return None
    window = int(found[1])
    return lambda planes: kernels.window.statistic(planes, str(kind), window), window // 2


def _morphology(words: list[str]) -> tuple[Filter, int] | None:
    if len(words) < 2:
        return None
    (method, _, repeats), (kernel, _, radius) = (words.pop(0).partition(":") for _ in range(2))
    one, shape = spelled(METHODS, method), spelled(KERNELS, kernel)
    if one is None or shape is None or not radius.isdecimal() or not (repeats or "1").isdecimal():
        return None
    r, n = int(radius), int(repeats or 1)
    return lambda planes: kernels.morphology.morphology(planes, one, shape, r, n), METHOD_REACH[one] * r * n


def _wavelet_denoise(words: list[str]) -> tuple[Filter, int] | None:
    found = re.fullmatch(rf"({_NUMBER})%", words.pop(0)) if words else None
    if found is None:
        return None
    share = float(found[1]) / 100
    return lambda planes: kernels.wavelet.denoise(planes, share), WAVELET_REACH


_PARSERS: dict[str, Callable[[list[str]], tuple[Filter, int] | None]] = {
    "negate": _negate,
    "edge": _edge,
    "blur": _blur,
    "gaussian-blur": _gaussian_blur,
    "statistic": _statistic,
    "morphology": _morphology,
    "wavelet-denoise": _wavelet_denoise,
}
"""Options: each takes its arguments from the words that follow, and gives the filter and its reach."""
