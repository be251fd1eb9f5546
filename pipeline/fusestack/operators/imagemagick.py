"""Options of ImageMagick that are computed here: nothing has to be installed, and how far they look is known."""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fusestack import kernels
from fusestack.operators.base import spelled
from fusestack.operators.choices import ARITHMETIC, KERNELS, METHOD_REACH, METHODS, STATISTICS, WAVELET_REACH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]
    Numbers = NDArray[np.float64]

Filter: TypeAlias = "Callable[[Planes], Planes]"
_NUMBER = r"\d+\.?\d*|\.\d+"
_SIGMA = re.compile(rf"({_NUMBER})(?:x({_NUMBER}))?")
_SIDES = re.compile(r"(\d+)(?:x(\d+))?")
_AMOUNT = re.compile(rf"([+-]?(?:{_NUMBER}))(%?)")
_LEVELS = re.compile(rf"({_NUMBER})(%?)(?:[,x]({_NUMBER})(%?)(?:[,x]({_NUMBER}))?)?")
_SIGMOID = re.compile(rf"({_NUMBER})(?:[,x]({_NUMBER})(%?))?")
_WHITE = 65535
_SHARES = {"Sin": "Sine", "Cos": "Cosine", "Exp": "Exponential"}


@dataclass(frozen=True)
class Stretch:
    """An option that needs to know the limits of whole images.

    Parameters
    ----------
    numbers : int
        That are measured of an image.
    unites : str
        How those of regions become one: ``sum``, or ``extremes`` of pairs.
    measure : callable
        float32[c, y, x] to float64[numbers * images].
    apply : callable
        float32[c, y, x] and these numbers to float32[c, y, x].
    """

    numbers: int
    unites: str
    measure: Callable[[Planes], Numbers]
    apply: Callable[[Planes, Numbers], Planes]


@dataclass(frozen=True)
class Known:
    """A chain of options.

    Parameters
    ----------
    steps : tuple of callable or Stretch
        float32[c, y, x] to the same, one after the other.
    halo : int
        How far all of them together look.
    words : tuple of str
        Text of each step.
    """

    steps: tuple[Filter | Stretch, ...]
    halo: int
    words: tuple[str, ...]

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Those that need limits."""
        return tuple(step for step in self.steps if isinstance(step, Stretch))

    @property
    def pieces(self) -> tuple[str, ...]:
        """Text of the options before the first stretch, of the stretch, of those behind it, and so on."""
        groups = itertools.groupby(zip(self.steps, self.words, strict=True), lambda pair: isinstance(pair[0], Stretch))
        found: list[str] = []
        for is_stretch, group in groups:
            words = [word for _, word in group]
            found += words if is_stretch else [" ".join(words)]
        return tuple(found)

    def apply(self, planes: Planes, known: Sequence[Numbers] = ()) -> Planes:
        """Apply all of them; limits that are not known are those of these planes."""
        numbers = iter(known)
        for step in self.steps:
            planes = _stretched(step, planes, next(numbers, None)) if isinstance(step, Stretch) else step(planes)
        return planes

    def measure(self, number: int, planes: Planes, inner: tuple[slice, slice], known: Sequence[Numbers]) -> Numbers:
        """What a stretch must know of a region, the pixels in `inner`; `known` are the limits of those before."""
        numbers = iter(known[:number])
        for step in self.steps:
            if not isinstance(step, Stretch):
                planes = step(planes)
            elif (found := next(numbers, None)) is not None:
                planes = step.apply(planes, found)
            else:
                return step.measure(np.ascontiguousarray(planes[(slice(None), *inner)]))
        raise IndexError(number)


def _stretched(step: Stretch, planes: Planes, found: Numbers | None) -> Planes:
    return step.apply(planes, step.measure(planes) if found is None else found)


@functools.lru_cache(maxsize=256)
def known(command: str) -> Known | None:
    """Options such as ``-edge 1 -blur 0x2``; None if one of them is not computed here."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    steps: list[Filter | Stretch] = []
    halo, said = 0, []
    while words:
        before = list(words)
        name = words.pop(0).removeprefix("-").lower()
        if name in STRETCHES:
            steps.append(STRETCHES[name])
        else:
            parse = _PARSERS.get(name)
            one = parse(words) if parse else None
            if one is None:
                return None
            steps.append(one[0])
            halo += one[1]
        said.append(shlex.join(before[: len(before) - len(words)]))
    return Known(tuple(steps), halo, tuple(said)) if steps else None


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


def _noop(words: list[str]) -> tuple[Filter, int]:
    del words  # it takes none
    return lambda planes: planes, 0


def _gamma(words: list[str]) -> tuple[Filter, int] | None:
    found = re.fullmatch(_NUMBER, words.pop(0)) if words else None
    if found is None or not (exponent := float(found[0])):
        return None
    return lambda planes: kernels.tones.gamma(planes, exponent), 0


def _level(words: list[str]) -> tuple[Filter, int] | None:
    found = _LEVELS.fullmatch(words.pop(0)) if words else None
    if found is None:
        return None
    unit = 100 if "%" in (found[2], found[4]) else _WHITE  # one sign is for both
    black = float(found[1]) / unit
    white = 1 - black if found[3] is None else float(found[3]) / unit
    exponent = float(found[5] or 1)
    return (lambda planes: kernels.tones.level(planes, black, white, exponent), 0) if exponent else None


def _threshold(words: list[str]) -> tuple[Filter, int] | None:
    found = _AMOUNT.fullmatch(words.pop(0)) if words else None
    if found is None:
        return None
    at = _amount(found, _WHITE) / _WHITE
    return lambda planes: kernels.tones.threshold(planes, at), 0


def _evaluate(words: list[str]) -> tuple[Filter, int] | None:
    if len(words) < 2:
        return None
    kind = words.pop(0)
    what = spelled(ARITHMETIC, _SHARES.get(kind.capitalize(), kind))
    found = _AMOUNT.fullmatch(words.pop(0))
    if what is None or found is None:
        return None
    value = _amount(found, _WHITE + 1)  # here the original counts white as one more
    return lambda planes: kernels.tones.evaluate(planes, what, value), 0


def _amount(found: re.Match[str], whole: int) -> float:
    return float(found[1]) * (whole / 100 if found[2] else 1)


def _sigmoidal_contrast(words: list[str]) -> tuple[Filter, int] | None:
    found = _SIGMOID.fullmatch(words.pop(0)) if words else None
    if found is None:
        return None
    contrast, middle = float(found[1]), 0.5
    if found[2] is not None:
        middle = float(found[2]) / (100 if found[3] else _WHITE)
    return lambda planes: kernels.tones.sigmoidal_contrast(planes, contrast, middle), 0


_PARSERS: dict[str, Callable[[list[str]], tuple[Filter, int] | None]] = {
    "noop": _noop,
    "negate": _negate,
    "gamma": _gamma,
    "level": _level,
    "threshold": _threshold,
    "evaluate": _evaluate,
    "sigmoidal-contrast": _sigmoidal_contrast,
    "edge": _edge,
    "blur": _blur,
    "gaussian-blur": _gaussian_blur,
    "statistic": _statistic,
    "morphology": _morphology,
    "wavelet-denoise": _wavelet_denoise,
}
"""Options: each takes its arguments from the words that follow, and gives the filter and its reach."""

STRETCHES = {
    "auto-level": Stretch(
        2, "extremes", lambda planes: kernels.tones.extremes(planes), lambda p, n: kernels.tones.auto_level(p, n)
    ),
    "normalize": Stretch(
        _WHITE + 1,
        "sum",
        lambda planes: kernels.tones.brightness_counts(planes),
        lambda p, n: kernels.tones.normalize(p, n),
    ),
}
"""Options that need the limits of whole images."""
