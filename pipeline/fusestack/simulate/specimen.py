"""Clustered nuclei in tissue, seen through a point spread: expected electrons at any place of the world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box

PSF = (2.5, 1.1, 1.1)  # sigma of the point spread, world pixels, z, y, x
ELECTRONS = 400.0  # of a bright nucleus
BACKGROUND = 40.0  # of unstained tissue
SPACING = 30.0  # nuclei are this far apart on average, world pixels


@dataclass(frozen=True)
class _Nucleus:
    """An ellipsoid with a soft edge and chromatin texture."""

    centre: NDArray[np.float64]  # world pixels, z, y, x
    unit: NDArray[np.float64]  # 3 x 3: distance from the centre to coordinates in which the surface has radius 1
    radius: float  # mean
    reach: float  # longest half axis and the fringe
    waves: NDArray[np.float64]  # 2 x 3: chromatin texture
    brightness: NDArray[np.float64]  # one per channel


class Specimen:
    """Clustered nuclei in smooth tissue: expected electrons at any place of the world.

    Parameters
    ----------
    box : Box
        World pixels that hold nuclei.
    channels : int
    rng : numpy.random.Generator
    """

    def __init__(self, box: Box, channels: int, rng: np.random.Generator) -> None:
        self.channels = channels
        self._extent = np.array(box.shape, dtype=np.float64)
        self._tissue = rng.uniform(0.6, 1.4, (channels, 3)), rng.uniform(0, 2 * math.pi, (channels, 3))
        count = max(4, round(math.prod(box.shape) / SPACING**3))
        clusters = rng.uniform(box.start, box.stop, (max(1, count // 12), 3))
        self._nuclei = [self._nucleus(clusters[rng.integers(len(clusters))], rng) for _ in range(count)]

    def _nucleus(self, cluster: NDArray[np.float64], rng: np.random.Generator) -> _Nucleus:
        radii = rng.uniform(6, 10) * rng.uniform(0.75, 1.25, 3)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        waves = rng.normal(size=(2, 3))
        waves *= (2 * math.pi / rng.uniform(6, 10, 2) / np.linalg.norm(waves, axis=1))[:, None]
        shown = np.append(1.0, rng.random(self.channels - 1) < 0.4)
        return _Nucleus(
            centre=cluster + rng.normal(0, 25, 3),
            unit=turn / radii[:, None],
            radius=float(radii.mean()),
            reach=float(radii.max()) + 6,
            waves=waves,
            brightness=shown * rng.uniform(0.4, 1, self.channels),
        )

    def sample(
        self, origin: NDArray[np.float64], scale: NDArray[np.float64], shape: Sequence[int]
    ) -> NDArray[np.float32]:
        """Electrons ``float32[c, z, y, x]`` behind the point spread, at ``origin + index * scale`` (z, y, x).

        Planes between those of a coarse z step are sampled too and dropped after the blur: nothing is aliased.
        """
        fine = np.ceil(scale).astype(int)
        step = scale / fine
        kernels = [_gaussian(sigma / s) for sigma, s in zip(PSF, step, strict=True)]
        axes = [
            o + s * np.arange(-(len(k) // 2), (n - 1) * f + 1 + len(k) // 2)
            for o, s, k, n, f in zip(origin, step, kernels, shape, fine, strict=True)
        ]
        image = self._tissue_at(axes)
        for nucleus in self._nuclei:
            self._add(image, axes, nucleus)
        for axis, kernel in enumerate(kernels, start=1):
            image = _convolve(image, kernel, axis)
        return np.ascontiguousarray(image[:, :: fine[0], :: fine[1], :: fine[2]])

    def _tissue_at(self, axes: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
        """Autofluorescence: a product of slow waves along the axes."""
        image = np.ones((self.channels, *map(len, axes)), dtype=np.float32)
        for axis, (places, extent) in enumerate(zip(axes, self._extent, strict=True)):
            waves, phases = (part[:, axis, None] for part in self._tissue)
            profile = 1 + 0.35 * np.sin(2 * math.pi * waves * places / extent + phases)
            image *= profile.astype(np.float32).reshape(self.channels, *(-1 if a == axis else 1 for a in range(3)))
        image *= np.float32(BACKGROUND)
        return image

    @staticmethod
    def _add(image: NDArray[np.float32], axes: Sequence[NDArray[np.float64]], nucleus: _Nucleus) -> None:
        spans = [
            np.searchsorted(places, (c - nucleus.reach, c + nucleus.reach)).tolist()
            for places, c in zip(axes, nucleus.centre, strict=True)
        ]
        if any(start == stop for start, stop in spans):
            return
        offsets = [
            (places[start:stop] - c).astype(np.float32)
            for places, c, (start, stop) in zip(axes, nucleus.centre, spans, strict=True)
        ]
        distance = np.sqrt(sum(_ramp(offsets, row) ** 2 for row in nucleus.unit))
        # a logistic edge about one pixel wide; written with tanh, since exp overflows far outside
        body = 0.5 - 0.5 * np.tanh((distance - 1) * np.float32(nucleus.radius))
        first, second = (np.cos(_ramp(offsets, wave)) for wave in nucleus.waves)
        body *= np.float32(ELECTRONS) * (1 + np.float32(0.4) * first * second)
        region = (slice(None), *(slice(start, stop) for start, stop in spans))
        image[region] += nucleus.brightness.astype(np.float32)[:, None, None, None] * body


def _ramp(offsets: Sequence[NDArray[np.float32]], slope: NDArray[np.float64]) -> NDArray[np.float32]:
    """Linear function of z, y, x on a grid."""
    z, y, x = (o * np.float32(s) for o, s in zip(offsets, slope, strict=True))
    ramp: NDArray[np.float32] = z[:, None, None] + y[:, None] + x
    return ramp


def _gaussian(sigma: float) -> NDArray[np.float32]:
    reach = math.ceil(3.5 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return kernel


def _convolve(image: NDArray[np.float32], kernel: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Convolve along an axis with an even kernel, where it lies inside: the result is shorter by its length - 1."""
    length = image.shape[axis] - len(kernel) + 1
    before = (slice(None),) * axis
    result = np.zeros((*image.shape[:axis], length, *image.shape[axis + 1 :]), dtype=np.float32)
    for start, weight in enumerate(kernel):
        result += weight * image[(*before, slice(start, start + length))]
    return result
