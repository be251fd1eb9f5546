"""Kernels of multi-scale focus stacking, beside plain twins by scipy and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from fusestack.kernels import detail, mixing, multiscale, pyramid

Planes = NDArray[np.float32]
TAPS = np.array([1, 4, 6, 4, 1]) / 16
SHAPES = [(1, 1, 1), (2, 1, 7), (1, 2, 2), (3, 9, 12), (1, 8, 5), (2, 17, 30)]


def noise(*shape: int, seed: int = 0) -> Planes:
    return np.random.default_rng(seed).random(shape, np.float32)


def filtered(plane: NDArray[Any], taps: Any, mode: str = "reflect") -> NDArray[np.float64]:
    out = plane.astype(np.float64)
    for axis in (-2, -1):
        out = ndimage.correlate1d(out, np.asarray(taps, float), axis=axis, mode=mode)
    return out


def expanded(coarse: Planes, shape: tuple[int, ...]) -> NDArray[np.float64]:
    zeros, cover = np.zeros((len(coarse), *shape)), np.zeros(shape)
    zeros[:, ::2, ::2], cover[::2, ::2] = coarse, 1
    return filtered(zeros, TAPS, "constant") / filtered(cover, TAPS, "constant")


@pytest.mark.parametrize("shape", SHAPES)
def test_reduce(shape: tuple[int, ...]) -> None:
    planes = noise(*shape)
    assert pyramid.reduce(planes) == pytest.approx(filtered(planes, TAPS)[:, ::2, ::2], abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_expand(shape: tuple[int, ...]) -> None:
    planes = noise(*shape)
    coarse = noise(shape[0], *map(pyramid.halved, shape[1:]), seed=1)
    found = planes.copy()
    pyramid.add_expanded(found, coarse, -0.5)
    assert found == pytest.approx(planes - 0.5 * expanded(coarse, shape[1:]), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (9, 12), (8, 5), (17, 30)])
def test_what_lies_between_pixels_of_a_smooth_plane(shape: tuple[int, int]) -> None:
    rows, columns = (np.arange(pyramid.halved(n)) for n in shape)
    coarse = (rows[:, None] * np.float32(0.1) + columns * np.float32(0.02)).astype(np.float32)
    coarse[:, columns >= 4] += 5
    nearest = coarse.repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]
    assert np.array_equal(pyramid.finer(coarse, shape, 0), nearest)
    smooth = expanded(coarse[None], shape)[0]
    found = pyramid.finer(coarse, shape, 0.5)
    assert found == pytest.approx(np.where(np.abs(smooth - nearest) < 0.5, smooth, nearest), abs=1e-5)
    assert np.abs(found - nearest).max() < 0.2, "nothing lies on the slope between two surfaces"


@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_what_is_taken_apart_is_put_together(height: int, width: int) -> None:
    planes = noise(2, height, width)
    coarse = pyramid.reduce(planes)
    details = planes.copy()
    pyramid.add_expanded(details, coarse, -1)
    pyramid.add_expanded(details, coarse)
    assert details == pytest.approx(planes, abs=1e-6)
    flat = np.full((1, height, width), 0.3, np.float32)
    pyramid.add_expanded(flat, pyramid.reduce(flat), -1)
    assert flat == pytest.approx(0, abs=1e-6), "constant planes have no detail, at edges either"


def taken_apart(shape: tuple[int, ...]) -> tuple[Planes, Planes, Planes]:
    """Planes, those of the next level, and what the first have beyond them."""
    planes = noise(*shape)
    coarse = pyramid.reduce(planes)
    details = planes.copy()
    pyramid.add_expanded(details, coarse, -1)
    return planes, coarse, details


@pytest.mark.parametrize("shape", [*SHAPES, (3, 40, 50)])
def test_energy(shape: tuple[int, ...]) -> None:
    planes, coarse, details = taken_apart(shape)
    squares = (details.astype(np.float64) ** 2).sum(axis=0)
    near = filtered(squares, np.array([1, 4, 1]) / 6)
    far = filtered(squares, np.array([1, 8, 28, 56, 70, 56, 28, 8, 1]) / 256)
    weight = far / (far + 4 * 0.05)
    energy, narrow, wide = found = np.empty((3, *shape[1:]), np.float32)
    detail.energy(planes, coarse, 0.05, 0.25, found)
    assert energy == pytest.approx(weight * near + (1 - weight) * far + 0.25, abs=1e-5)
    assert narrow == pytest.approx(near, abs=1e-5)
    assert wide == pytest.approx(far, abs=1e-5)
    alone = np.empty((1, *shape[1:]), np.float32)
    detail.energy(planes, coarse, 0.05, 0.25, alone)
    assert np.array_equal(alone[0], energy)
    below = noise(*map(pyramid.halved, shape[1:]), seed=2)
    shares = detail.share(narrow, below, 0.05)
    assert shares == pytest.approx(near / (near + 2 * 0.05 + expanded(below[None], shape[1:])[0] / 2), abs=1e-5)
    assert detail.smooth(narrow, 3) == pytest.approx(3 * filtered(narrow, TAPS), abs=1e-5)


@pytest.mark.parametrize("shape", [*SHAPES, (3, 40, 50), (1, 41, 4), (1, 3, 3), (1, 4, 3)])
@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("together", [1, 2, 3])
def test_levels_are_mixed_row_by_row_as_by_whole_planes(shape: tuple[int, ...], hides: bool, together: int) -> None:
    """The same bytes, of however many slices at once: what is mixed by rows here may be mixed by planes elsewhere."""
    plane, half = shape[1:], [pyramid.halved(n) for n in shape[1:]]
    factors = noise(*plane, seed=5) if hides else None
    by_rows = np.zeros(shape, np.float32), *np.zeros((2, *plane), np.float32)
    by_planes, finest = (tuple(one.copy() for one in by_rows) for _ in range(2))
    planes = np.zeros(plane, np.float32), np.zeros((3, *plane), np.float32), np.zeros(plane, np.float32)
    rows = tuple(one.copy() for one in planes)
    span = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)
    slices = [noise(*shape, seed=index) for index in range(4)]
    coarse, below = [pyramid.reduce(one) for one in slices], [noise(2, *half, seed=9 + index) for index in range(4)]
    shares = []
    for index, (slice_, coarser) in enumerate(zip(slices, coarse, strict=True)):
        found, windows = np.empty((3, *plane), np.float32), np.empty((2, *plane), np.float32)
        detail.energy(slice_, coarser, 0.01, 0.02, found)
        shares.append(pyramid.reduce(detail.share(found[1], below[index][0], 0.03)[None])[0])
        mixing.mix(slice_, coarser, (0.01, 0.02), factors, by_rows, 6, windows)
        assert np.array_equal(windows, found[1:])
        if factors is not None:
            found[0] *= factors
            found[2] *= factors
        multiscale.follow_peak(found[2], index, *planes)
        details = slice_.copy()
        pyramid.add_expanded(details, coarser, -1)
        multiscale.choose(details, found[0], *by_planes, 6)
    for first in range(0, len(slices), together):
        some = slice(first, first + together)
        count = len(slices[some])
        given_ = mixing.Finest(
            np.stack(slices[some]),
            *(np.full((count, shape[0]), value, np.float32) for value in (0, 1)),
            np.stack(coarse[some]),
            np.stack(below[some]),
            np.stack([factors if hides else slices[0][0]]),
            np.full(count, 0 if hides else -1),
        )
        seen = mixing.mix_finest(given_, (0.01, 0.02), finest, 6, first, rows, span, 0.03)
        assert np.array_equal(seen, shares[some])
    for one, other in zip((*by_rows, *finest, *rows), (*by_planes, *by_planes, *planes), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(span, [np.min(slices, axis=0), np.max(slices, axis=0)])


def test_energy_of_noise() -> None:
    planes = np.random.default_rng(0).normal(0.5, 0.02, (3, 1024, 1024)).astype(np.float32)
    for level in range(6):
        coarse = pyramid.reduce(planes)
        details = planes.copy()
        pyramid.add_expanded(details, coarse, -1)
        found = float((details**2).sum(axis=0).mean())
        assert found == pytest.approx(detail.noise_energy(level, 0.02, 3), rel=0.1), level
        planes = coarse


@pytest.mark.parametrize("power", [1, 2, 5, 32])
def test_white_discs_are_kept_out(power: int) -> None:
    colours = np.zeros((2, 12, 15), np.float32)
    assert detail.white(colours, 0.9) is None
    colours[1, 3:9, 4:8] = 1
    assert detail.white(colours, 0.9) is None, "one colour is not white"
    colours[0] = colours[1]
    white = detail.white(colours, 0.9)
    assert white is not None
    assert np.array_equal(white, colours[1:])
    left = np.maximum(1e-16 ** (1 / power), 1 - filtered(white[0], np.array([1, 4, 1]) / 6))
    found = detail.not_white(white[0], power)
    assert found == pytest.approx(left**power, rel=1e-4, abs=1e-6)
    assert (found > 0).all()


@pytest.mark.parametrize("power", [1, 3, 6])
def test_slices_one_by_one_are_a_weighted_mean(power: int) -> None:
    details, energies = noise(6, 2, 7, 9), noise(6, 7, 9, seed=1) ** 2 + np.float32(1e-6)
    total, weight, greatest = np.zeros((2, 7, 9), np.float32), *np.zeros((2, 7, 9), np.float32)
    for one, energy in zip(details, energies, strict=True):
        multiscale.choose(one, energy, total, weight, greatest, power)
    weights = (energies / energies.max(axis=0)).astype(np.float64) ** power
    assert np.array_equal(greatest, energies.max(axis=0))
    assert total / weight == pytest.approx((weights[:, None] * details).sum(axis=0) / weights.sum(axis=0), abs=1e-5)


def test_the_choice_neither_overflows_nor_vanishes() -> None:
    total, weight, greatest = np.zeros((1, 1, 2), np.float32), *np.zeros((2, 1, 2), np.float32)
    for value, energy in ((1, 1e-30), (2, 1e3), (3, 1e-30)):
        multiscale.choose(
            np.full((1, 1, 2), value, np.float32), np.full((1, 2), energy, np.float32), total, weight, greatest, 32
        )
    assert np.array_equal(total / weight, np.full((1, 1, 2), 2))


@given(st.lists(st.sampled_from([0.1, 0.2, 0.5, 1.0, 3.0]), min_size=1, max_size=7), st.booleans())
def test_peaks(values: list[float], uneven: bool) -> None:
    slices = np.cumsum([1 + uneven * (i % 2) for i in range(len(values))]).astype(np.float32)
    peak, place = np.zeros((3, 1, 1), np.float32), np.zeros((1, 1), np.float32)
    last = np.zeros((1, 1), np.float32)
    for index, value in enumerate(values):
        multiscale.follow_peak(np.full((1, 1), value, np.float32), index, last, peak, place)
        assert last[0, 0] == np.float32(value)
    i = int(np.argmax(values))
    beside = [values[j] if 0 <= j < len(values) else 0 for j in (i - 1, i, i + 1)]
    assert place[0, 0] == i
    assert peak[:, 0, 0] == pytest.approx(beside)
    found = float(multiscale.between(peak, place, slices)[0, 0])
    expected = float(slices[i])
    if 0 < i < len(values) - 1 and not values[i] == values[i - 1] == values[i + 1]:
        parabola = np.polyfit(slices[i - 1 : i + 2].astype(float), np.array(values[i - 1 : i + 2]) ** -0.5, 2)
        top = -parabola[1] / (2 * parabola[0])
        expected = np.clip(top, (slices[i - 1] + slices[i]) / 2, (slices[i] + slices[i + 1]) / 2)
    assert found == pytest.approx(expected, abs=1e-4)


def test_what_is_lost_between_slices() -> None:
    """Energies 1 / (1 + 0.9 distance squared) ** 2 have parabolas of 1 / sqrt(energy): what lacks is known exactly."""
    top = np.array([2.0, 2.25, 2.5, 1.75])
    energies = [(1 + 0.9 * (k - top) ** 2) ** -2.0 for k in range(5)]
    peak, place = np.zeros((3, 1, 4), np.float32), np.zeros((1, 4), np.float32)
    last, beside = np.zeros((2, 1, 4), np.float32)
    for index, one in enumerate(energies):
        plane = one.astype(np.float32)[None]
        multiscale.follow_peak(plane, index, last, peak, place)
        multiscale.value_beside(plane * 2, index, place, beside)
    assert beside[0] == pytest.approx(2 * np.max(energies, axis=0))
    power = 6
    whole = np.array([False, True, True, True, False])
    ones = np.ones((2, 1, 4), np.float32)
    lost = multiscale.lost_between(ones, peak, place, whole, 1e-6, power, 1.0)
    rows = np.array([[energies[int(k) + d][x] for x, k in enumerate(place[0])] for d in (-1, 0, 1)])
    mean = (rows ** (power + 0.5)).sum(axis=0) / (rows**power).sum(axis=0)
    assert lost[0, 0] == pytest.approx(np.minimum(1 / mean, 1.6 / np.sqrt(rows[1])) - 1, abs=2e-3)
    assert lost[0, 0, 2] > 0.2 > lost[0, 0, 0] >= 0
    half = multiscale.lost_between(ones, peak, place, whole, 1e-6, power, 0.5)
    assert half == pytest.approx(lost / 2, abs=1e-6)
    assert not multiscale.lost_between(ones, peak, place, np.zeros(5, bool), 1e-6, power, 1.0).any()
    assert np.abs(multiscale.lost_between(ones, peak, place, whole, 10.0, power, 1.0)).max() < 0.05, "all is noise"
    peak[0] = 1e-4  # a shaken camera: that one slice counts for no more than 2.5 times the blur of the other side
    shaken = multiscale.lost_between(ones, peak, place, whole, 1e-6, power, 1.0)
    peak[0] = peak[2] / 2.5**4
    assert shaken == pytest.approx(multiscale.lost_between(ones, peak, place, whole, 1e-6, power, 1.0), abs=0.02)
