"""Slices as they are looked at while they are mixed, and what is behind those that are transparent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusestack import kernels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fusestack.focus.exposures import Exposures
    from fusestack.kernels.pixels import Pixels

    Planes = NDArray[np.float32]


class SeenSlice(NamedTuple):
    """A slice: its number, what is looked at float32[c, y, x], what is mixed, and its opacity float32[1, y, x].

    None where what is mixed is the same, and where all is opaque; there it may be given as it is stored.
    """

    k: int
    looked: Planes | Pixels
    painted: Planes | None = None
    opacity: Planes | None = None


def stored(looked: Planes | Pixels) -> Pixels:
    """Numbers, or pixels, as pixels."""
    return looked if isinstance(looked, kernels.pixels.Pixels) else kernels.pixels.Pixels.of(looked)


def as_bright(one: SeenSlice, gain: float) -> tuple[Planes, Planes]:
    """What is looked at and what is mixed, as bright as in other slices; the same array where that is the same."""
    looked = kernels.pixels.shares(stored(one.looked).divided(gain))
    return looked, looked if one.painted is None else one.painted / np.float32(gain)


class Shown:
    """What slices show in the mean; it takes the place of what one of them hides, so that mattes have no outlines."""

    def __init__(self, slices: Iterable[SeenSlice], exposures: Exposures) -> None:
        total: list[Planes] = []
        weight: Planes | None = None
        most: Planes | None = None
        for one in slices:
            if one.opacity is None:
                raise ValueError("a slice has no opacity")
            parts = [planes * one.opacity for planes in as_bright(one, exposures.gains[one.k])]
            total = parts if weight is None else [a + b for a, b in zip(total, parts, strict=True)]
            weight = one.opacity.copy() if weight is None else weight + one.opacity
            most = one.opacity.copy() if most is None else np.maximum(most, one.opacity)
        if weight is None or most is None:
            raise ValueError("there is no slice to mix")
        weight[weight == 0] = 1
        self._looked: Planes = total[0] / weight
        self._painted: Planes = total[1] / weight
        self._most = np.where(most > 0, most, np.float32(1))

    def beside_others(self, opacity: Planes) -> Planes:
        """Opacity of a slice as a share of the greatest one: what is half transparent in all of them is not hidden."""
        return np.asarray(opacity / self._most)

    def fill(self, looked: Planes, painted: Planes, opacity: Planes) -> tuple[Planes, Planes]:
        """Put the mean behind a slice."""
        behind = np.float32(1) - opacity
        filled: Planes = looked * opacity + self._looked * behind
        if painted is looked:
            return filled, filled
        return filled, painted * opacity + self._painted * behind
