"""Kernels of focus stacking: worked examples of ImageMagick's, and plain twins by scipy and colorsys."""

from __future__ import annotations

import colorsys
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import fft, ndimage

from fusestack import kernels
from fusestack.kernels import fourier
from fusestack.kernels.fourier import CORE, OVERLAP, REDUCTION, Transfer
from fusestack.kernels.resample import Axis
from fusestack.operators.canvas import TOLERANCE, Step
from fusestack.operators.cuts import CutAlpha, CutLess

Plane = NDArray[np.float32]


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, np.float32)


def impulse(n: int) -> NDArray[np.float32]:
    plane = np.zeros((1, n, n), np.float32)
    plane[0, n // 2, n // 2] = 1
    return plane


# Gaussians


@pytest.mark.parametrize(("sigma", "width"), [(0.3, 3), (0.48, 5), (0.75, 7), (1, 9), (1.2, 11), (2, 17), (5, 41)])
def test_windows_of_blurs(sigma: float, width: int) -> None:
    assert kernels.gaussians.blur_width(0, sigma) == width


@pytest.mark.parametrize(("sigma", "width"), [(0.3, 3), (0.75, 7), (1, 9), (2, 15)])
def test_windows_of_gaussians(sigma: float, width: int) -> None:
    assert kernels.gaussians.disk_width(0, sigma) == width


def test_answers_to_a_point() -> None:
    row = [0.000193, 0.010708, 0.114097, 0.248577, 0.114097, 0.010708, 0.000193]
    assert np.allclose(kernels.smooth.blur(impulse(15), 0, 0.75)[0, 7, 4:11], row, atol=1e-6)
    assert np.allclose(kernels.smooth.blur(impulse(9), 0, 0.3)[0, 4, 3:6], [0.03618, 0.849115, 0.03618], atol=1e-6)
    two = kernels.smooth.gaussian(impulse(15), 0, 0.75)[0, 7, 4:8]
    assert np.allclose(two, [0.000095, 0.008082, 0.116314, 0.282925], atol=1e-6)


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_a_radius_is_the_window(radius: int) -> None:
    assert len(kernels.gaussians.blur_weights(radius, 3)) == 2 * radius + 1


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7, 6.0])
@pytest.mark.parametrize("shape", [(40, 53), (3, 5), (1, 30), (30, 1)])
def test_blur_is_a_convolution_with_repeated_edges(sigma: float, shape: tuple[int, int]) -> None:
    planes = noise(2, *shape)
    weights = np.array(kernels.gaussians.blur_weights(0, sigma))
    expected = planes.astype(np.float64)
    for axis in (1, 2):
        expected = ndimage.correlate1d(expected, weights, axis=axis, mode="nearest")
    assert np.abs(kernels.smooth.blur(planes, 0, sigma) - expected).max() < 1e-6


def test_convolution_mirrors_its_kernel() -> None:
    planes, kernel = noise(2, 20, 31), np.arange(15, dtype=np.float64).reshape(3, 5) - 6
    expected = np.stack([ndimage.convolve(plane.astype(np.float64), kernel, mode="nearest") for plane in planes])
    assert np.abs(kernels.smooth.convolve(planes, kernel) - expected).max() < 2e-5


# Statistics


def median(values: NDArray[Any]) -> float:
    return float(np.sort(values)[values.size // 2])


def mode(values: NDArray[Any]) -> float:
    counts = Counter(values.tolist())
    return float(min(counts, key=lambda value: (-counts[value], value)))


def nonpeak(values: NDArray[Any]) -> float:
    distinct, middle = sorted(set(values.tolist())), median(values)
    place = distinct.index(middle)
    if len(distinct) > 1 and place == 0:
        return float(distinct[1])
    return float(distinct[-2]) if len(distinct) > 1 and place == len(distinct) - 1 else middle


TWINS: dict[str, Callable[[NDArray[Any]], float]] = {
    "Mean": lambda v: float(np.mean(v)),
    "StandardDeviation": lambda v: float(np.std(v)),
    "RootMeanSquare": lambda v: float(np.sqrt(np.mean(v * v))),
    "Gradient": lambda v: float(v.max() - v.min()),
    "Maximum": lambda v: float(v.max()),
    "Minimum": lambda v: float(v.min()),
    "Contrast": lambda v: float((v.max() - v.min()) / (v.max() + v.min())) if v.max() > 0 else 0.0,
    "Median": median,
    "Mode": mode,
    "Nonpeak": nonpeak,
}


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", TWINS)
def test_statistics(kind: str, window: int) -> None:
    plane = (np.round(noise(13, 17) * 9) / 9).astype(np.float32)  # equal values, for ties
    sixteen = kind in ("Median", "Mode", "Nonpeak")
    values = np.floor(plane.astype(np.float64) * 65535 + 0.5) if sixteen else plane.astype(np.float64)
    # an even window covers one pixel more to the top left, as scipy's footprints do
    expected = ndimage.generic_filter(values, TWINS[kind], size=window, mode="nearest") / (65535 if sixteen else 1)
    assert np.abs(kernels.window.statistic(plane[None], kind, window)[0] - expected).max() < 1e-6


def test_statistics_of_imagemagick() -> None:
    plane = np.array([[[0.64, 0.27, 0.04], [0.91, 0.61, 0.73], [0.82, 0, 0.86]]], np.float32)
    known = {"Mean": 0.542222, "StandardDeviation": 0.330514, "Gradient": 0.91, "Median": 0.639994}
    for kind, value in (known | {"RootMeanSquare": 0.635015}).items():
        assert kernels.window.statistic(plane, kind, 3)[0, 1, 1] == pytest.approx(value, abs=2e-6)


# Wavelets and morphology


@pytest.mark.parametrize("sigmas", [(0.3, 0.6), (2, 1), (0, 3), (1, 1)])
@pytest.mark.parametrize("shape", [(40, 61), (3, 5), (1, 30), (30, 1)])
def test_differences_of_blurs(sigmas: tuple[float, float], shape: tuple[int, int]) -> None:
    planes = noise(2, *shape)
    first, second = (kernels.gaussians.blur_weights(0, sigma) for sigma in sigmas)
    found = kernels.smooth.difference(planes, first, second)
    blurred, other = (kernels.smooth.blur(planes, 0, sigma) for sigma in sigmas)
    assert np.array_equal(found, np.abs(blurred - other))


def denoised(plane: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Step by step as ImageMagick's ``-wavelet-denoise`` does it, with numpy's mirror."""
    total, smooth = np.zeros_like(plane), plane
    for level, threshold in enumerate((0.8002, 0.2735, 0.1202, 0.0585, 0.0291)):
        step = 2**level
        low = smooth
        for axis in (1, 0):
            width = [(step, step) if a == axis else (0, 0) for a in range(2)]
            padded = np.pad(low, width, mode="reflect")
            at = [
                padded[tuple(slice(o, o + plane.shape[a]) if a == axis else slice(None) for a in range(2))]
                for o in (0, step, 2 * step)
            ]
            low = 0.25 * at[0] + 0.5 * at[1] + 0.25 * at[2]
        detail = smooth - low
        total += np.sign(detail) * np.maximum(np.abs(detail) - share * threshold, 0)
        smooth = low
    return total + smooth


@pytest.mark.parametrize("share", [0, 0.05, 0.2, 1])
@pytest.mark.parametrize("shape", [(70, 61), (33, 9), (32, 40), (17, 5), (3, 50), (2, 7), (1, 30)])
def test_wavelets(share: float, shape: tuple[int, int]) -> None:
    plane = noise(*shape)
    assert (
        np.abs(kernels.wavelet.denoise(plane[None], share)[0] - denoised(plane.astype(np.float64), share)).max() < 2e-6
    )


def test_a_white_pixel_keeps_what_exceeds_the_first_threshold() -> None:
    plane = impulse(129)
    low = ndimage.correlate(plane[0].astype(np.float64), np.outer([1, 2, 1], [1, 2, 1]) / 16)
    assert plane[0, 64, 64] - low[64, 64] - 0.2 * 0.8002 == pytest.approx(0.58996, abs=1e-6)
    assert kernels.wavelet.denoise(plane, 0.2)[0, 64, 64] == pytest.approx(
        denoised(plane[0].astype(float), 0.2)[64, 64]
    )


def footprint(name: str, radius: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    shapes = {
        "Octagon": abs(x) + abs(y) <= radius + radius // 2,
        "Diamond": abs(x) + abs(y) <= radius,
        "Square": np.ones(x.shape, bool),
        "Disk": x * x + y * y <= radius * radius,
        "Plus": (x == 0) | (y == 0),
    }
    return np.asarray(shapes[name])


def test_octagons() -> None:
    assert [int(footprint("Octagon", r).sum()) for r in range(1, 6)] == [5, 21, 37, 69, 97]


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("name", kernels.morphology.SHAPES)
def test_dilation_and_erosion(name: str, radius: int) -> None:
    plane, shape = noise(23, 31), footprint(name, radius)
    for method, twin in (("Dilate", ndimage.grey_dilation), ("Erode", ndimage.grey_erosion)):
        made = kernels.morphology.morphology(plane[None], method, name, radius, 1)[0]
        assert np.array_equal(made, twin(plane, footprint=shape, mode="nearest"))


def test_methods_of_morphology() -> None:
    plane = noise(40, 45)

    def twice(image: NDArray[Any], *steps: Callable[..., NDArray[Any]]) -> NDArray[Any]:
        for step in steps:
            for _ in range(2):
                image = step(image, footprint=footprint("Octagon", 2), mode="nearest")
        return image

    up, down = ndimage.grey_dilation, ndimage.grey_erosion
    expected = {
        "Open": twice(plane, down, up),
        "Close": twice(plane, up, down),
        "Smooth": twice(plane, down, up, up, down),
        "EdgeIn": plane - twice(plane, down),
        "EdgeOut": twice(plane, up) - plane,
        "Edge": twice(plane, up) - twice(plane, down),
        "TopHat": plane - twice(plane, down, up),
        "BottomHat": twice(plane, up, down) - plane,
    }
    for method, values in expected.items():
        assert np.array_equal(kernels.morphology.morphology(plane[None], method, "Octagon", 2, 2)[0], values), method


# Colours


@given(hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(0, 1, width=32)))
def test_hue_saturation_lightness(rgb: NDArray[np.float32]) -> None:
    spaces = {name: kernels.colour.convert(rgb, name) for name in ("HSL", "HSB", "HCL")}
    for y, x in np.ndindex(4, 5):
        r, g, b = (float(v) for v in rgb[:, y, x])
        if max(r, g, b) - min(r, g, b) < 1e-3:
            continue  # hues of grey
        hue, light, saturation = colorsys.rgb_to_hls(r, g, b)
        found = spaces["HSL"][:, y, x]
        assert abs((found[0] - hue + 0.5) % 1 - 0.5) < 1e-4
        assert np.allclose(found[1:], (saturation, light), atol=1e-4)
        assert np.allclose(spaces["HSB"][1:, y, x], colorsys.rgb_to_hsv(r, g, b)[1:], atol=1e-4)
        luma = 0.298839 * r + 0.586811 * g + 0.114350 * b
        assert np.allclose(spaces["HCL"][1:, y, x], (max(r, g, b) - min(r, g, b), luma), atol=1e-6)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0, 0)),
    ],
)
def test_lab(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    found = kernels.colour.convert(np.array(rgb, np.float32)[:, None, None], "Lab")[:, 0, 0]
    assert np.allclose(found, (lab[0] / 100, lab[1] / 255 + 0.5, lab[2] / 255 + 0.5), atol=2e-4)


@pytest.mark.parametrize("space", kernels.colour.SPACES)
@pytest.mark.parametrize("colours", [1, 3])
def test_one_channel_of_a_space(space: str, colours: int) -> None:
    rgb = noise(colours, 9, 40)
    rgb[:, 0, :3] = [[0, 1, 0.5]]  # without a hue
    planes = kernels.colour.convert(rgb, space)
    for number in range(3):
        found = kernels.colour.channel(rgb, space, number)
        assert np.array_equal(found, planes[[min(number, len(planes) - 1)]])


def test_the_rainbow() -> None:
    stops = [(75, 0, 130), (0, 0, 255), (0, 128, 0), (255, 255, 0), (255, 165, 0), (255, 0, 0), (255, 255, 255)]
    found = kernels.colour.rainbow(np.arange(7)[None] / 6)[:, 0].T * 255
    assert np.allclose(found, stops, atol=1e-4)
    assert np.allclose(kernels.colour.rainbow(np.array([[0.5 / 6]]))[:, 0, 0] * 255, (37.5, 0, 192.5), atol=1e-4)


# Composition: the formulas as sentences of Python, for one pair of numbers after the other

FORMULAS = {
    "Overlay": "2*s*d if d <= .5 else 1-2*(1-s)*(1-d)",
    "HardLight": "2*s*d if s <= .5 else 1-2*(1-s)*(1-d)",
    "Interpolate": ".5-.25*cos(pi*s)-.25*cos(pi*d)",
    "SoftLight": "d-(1-2*s)*d*(1-d) if s <= .5 else "
    "d+(2*s-1)*(((16*d-12)*d+4)*d-d) if d <= .25 else d+(2*s-1)*(sqrt(d)-d)",
    "ColorDodge": "d/(1-s)",
    "ColorBurn": "1-(1-d)/s",
    "Reflect": "s**2/(1-d)",
    "Freeze": "1-(1-s)**2/d",
    "SoftBurn": ".5*d/(1-s) if s+d < 1 else 1-.5*(1-s)/d",
    "SoftDodge": ".5*s/(1-d) if s+d < 1 else 1-.5*(1-d)/s",
    "LinearLight": "d+2*s-1",
    "PegtopLight": "d**2*(1-2*s)+2*s*d",
    "PinLight": "2*s-1 if d < 2*s-1 else 2*s if d > 2*s else d",
    "VividLight": "1-(1-d)/(2*s) if s <= .5 else d/(2*(1-s))",
    "Screen": "s+d-s*d",
    "Multiply": "s*d",
    "Plus": "s+d",
    "LinearDodge": "s+d",
    "Exclusion": "s+d-2*s*d",
    "LinearBurn": "s+d-1",
    "Lighten": "max(s, d)",
    "Darken": "min(s, d)",
    "Difference": "abs(s-d)",
    "MinusDst": "s-d",
    "Minus": "s-d",
    "MinusSrc": "d-s",
    "DivideDst": "s/d",
    "DivideSrc": "d/s",
    "ModulusAdd": "(s+d) % 1",
    "ModulusSubtract": "(s-d) % 1",
    "Negate": "1-abs(1-s-d)",
    "HardMix": "0 if s+d < 1 else 1",
    "Stamp": "s+d**2-1",
    "Blend": "s+d",
}


@pytest.mark.parametrize("name", kernels.compose.MODES)
def test_composition(name: str) -> None:
    names = {"cos": math.cos, "sqrt": math.sqrt, "pi": math.pi, "max": max, "min": min, "abs": abs}
    numbers = np.linspace(0.03, 0.97, 17, dtype=np.float32)
    s, d = (np.ascontiguousarray(a) for a in np.meshgrid(numbers, numbers + np.float32(0.01)))
    made = kernels.compose.compose(name, s[None], d[None])[0]
    for place in np.ndindex(s.shape):
        value = eval(FORMULAS[name], {"__builtins__": {}}, names | {"s": float(s[place]), "d": float(d[place])})
        assert made[place] == pytest.approx(min(max(value, 0), 1), abs=2e-6)


@pytest.mark.parametrize("name", kernels.compose.MODES)
def test_composition_of_black_and_white_is_a_number(name: str) -> None:
    s, d = (np.array(v, np.float32).reshape(1, 2, 2) for v in ((0, 0, 1, 1), (0, 1, 0, 1)))
    made = kernels.compose.compose(name, s, d)
    assert np.isfinite(made).all()
    assert made.min() >= 0
    assert made.max() <= 1


# Levels and cuts, by worked examples


def test_equalising_table_of_imfuse() -> None:
    counts = kernels.levels.histogram(np.array([[0, 0.25, 0.5, 1]], np.float32), 0, 1)
    assert list(np.nonzero(counts)[0]) == [0, 64, 128, 255]
    table = kernels.levels.equalising_table(counts)
    assert np.allclose(table[[0, 1, 64, 65, 128, 129, 255]], [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1], atol=1 / 65535)
    steps = kernels.levels.between_entries(table)
    assert np.array_equal(steps[[0, 257, -1]], table[[0, 1, -1]])
    made = kernels.levels.look_up(np.array([[0.25, 0.5, 1, 0]], np.float32), 0, 1, steps)[0]
    assert np.allclose(made, [1 / 3, 2 / 3, 1, 0], atol=2 / 65535)


def test_what_is_looked_up_is_stretched_and_rounded() -> None:
    """Also where numbers lie beyond the limits, and where they are none; pieces of rows have no edges."""
    planes = 3 * noise(3, 40, 61) - 1
    planes[0, 0, :3] = np.nan, np.inf, -np.inf
    steps = noise(2**16)
    found = kernels.levels.look_up(planes, 0.2, 1.4, steps)
    stretched = kernels.levels.stretch(np.nan_to_num(planes, nan=-1), 0.2, 1.4)
    assert np.array_equal(found, steps[(stretched * np.float32(65535) + np.float32(0.5)).astype(int)])


@pytest.mark.parametrize(
    ("low", "high", "step", "limits"),
    [(0.132, 0.614, 0.05, (0.10, 0.65)), (0.132, 0.614, 0, (0.132, 0.614)), (0.132, 0.8, 0.1, (0.1, 0.8))],
)
def test_limits_are_rounded_outwards(low: float, high: float, step: float, limits: tuple[float, float]) -> None:
    assert kernels.levels.rounded_outwards(low, high, step) == pytest.approx(limits)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 1))
def test_rounded_limits_hold_what_they_held(low: float, high: float, step: float) -> None:
    a, b = kernels.levels.rounded_outwards(min(low, high), max(low, high), step)
    assert a <= min(low, high) + 2e-5
    assert b >= max(low, high) - 2e-5


def test_screened_masks() -> None:
    merged = np.zeros((1, 1), np.float32)
    for mask, weight in ((0.8, 0.25), (0.5, 0.25), (0.0, 0.25)):
        merged = kernels.levels.screened(np.full((1, 1), mask * weight, np.float32), merged)
    assert merged[0, 0] == pytest.approx(0.3)
    merged = kernels.levels.screened(np.full((1, 1), 0.09, np.float32), merged)
    assert merged[0, 0] == pytest.approx(0.363)


def step(mask: float, greatest: Plane, valley: Plane) -> Step:
    one = np.full((1, 1), mask, np.float32)
    cut = kernels.paint.hard_cut(one, greatest, TOLERANCE)
    return Step(one, cut, greatest, np.zeros((1, 1, 1), np.float32), np.zeros((1, 1), np.float32), valley)


def test_less_takes_the_object_in_front() -> None:
    greatest, valley = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
    found = []
    for mask in (0.9, 0.4, 0.3, 0.6, 0.2):  # back to front: image 5 to image 1
        one = step(mask, greatest, valley)
        CutLess(percent=20).apply(one)
        found.append((float(greatest[0, 0]), float(valley[0, 0]), float(one.cut[0, 0])))
    assert np.allclose(found, [(0.9, 0.9, 1), (0.9, 0.4, 0), (0.9, 0.3, 0), (0.6, 0.3, 1), (0.6, 0.2, 0)])


def test_alpha_of_a_cut() -> None:
    one = step(0.4, np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
    CutAlpha(low=-25, high=150).apply(one)
    assert one.cut[0, 0] == pytest.approx(0.45)


# Resize


def test_splines() -> None:
    row = noise(1, 1, 24)[0, 0].astype(np.float64)
    made = kernels.resample.resize(
        row.astype(np.float32)[None, None], (Axis(1, 1), Axis(24, 12)), (0, 0), (slice(0, 1), slice(0, 12)), "Spline"
    )[0, 0]
    for i, value in enumerate(made):
        place = (i + 0.5) * 2 - 0.5
        first, f = math.floor(place) - 1, place - math.floor(place)
        w3, w0 = f**3 / 6, (1 - f) ** 3 / 6
        b = w3 - w0
        weights = (w0, (1 - f) - w0 + b, f - w3 - b, w3)
        expected = sum(w * row[min(max(first + j, 0), 23)] for j, w in enumerate(weights))
        assert value == pytest.approx(expected, abs=1e-6)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(kernels.resample.INTERPOLATIONS),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_part_of_a_resized_plane(source: int, target: int, interpolation: str, part: tuple[float, float]) -> None:
    axis, plane = Axis(source, target), noise(1, source, source)
    whole = kernels.resample.resize(plane, (axis, axis), (0, 0), (slice(0, target), slice(0, target)), interpolation)
    start = min(int(min(part) * target), target - 1)
    stop = max(start + 1, math.ceil(max(part) * target))
    low, high = axis.needed(start, stop)
    inner = plane[:, low:high, low:high]
    made = kernels.resample.resize(inner, (axis, axis), (low, low), (slice(start, stop),) * 2, interpolation)
    assert np.array_equal(made, whole[:, start:stop, start:stop])
    flat = np.ones_like(plane)
    even = kernels.resample.resize(flat, (axis, axis), (0, 0), (slice(0, target),) * 2, interpolation)
    assert np.allclose(even, 1, atol=1e-6)


# Low passes

CURVES = ("gradient", "log100", "inverselog10", "pow", "gaussian", "cos", "solid")


def wave(side: int, cycles: tuple[float, float]) -> NDArray[np.float32]:
    """Cosine of `cycles` per pixel along y and x, about 0.5, in the middle of a wide frame of 0.5."""
    y, x = np.mgrid[:side, :side]
    envelope = np.outer(np.hanning(side), np.hanning(side))
    return (0.5 + 0.4 * envelope * np.cos(2 * np.pi * (cycles[0] * y + cycles[1] * x)))[None].astype(np.float32)


@pytest.mark.parametrize("blur", [0, 1])
@pytest.mark.parametrize("shape", fourier.SHAPES)
def test_solid_low_passes_keep_what_is_inside(shape: str, blur: float) -> None:
    transfer = Transfer(40, "solid", shape, contrast=blur)  # a cut-off of 0.2 cycles per pixel
    inside = {
        "circle": [(0.13, 0.13), (0, 0.17)],
        "square": [(0.17, 0.17)],
        "rhombus": [(0.08, 0.08), (0, 0.17)],
        "cross": [(0.4, 0.1), (0.1, 0.4)],
        "xcross": [(0.35, 0.35), (0.3, 0.35)],
    }[shape]
    outside = {
        "circle": [(0.16, 0.16), (0, 0.23)],
        "square": [(0.1, 0.23)],
        "rhombus": [(0.13, 0.13), (0.23, 0)],
        "cross": [(0.25, 0.3)],
        "xcross": [(0, 0.4), (0.4, 0)],
    }[shape]
    for cycles, kept in [(c, 1.0) for c in inside] + [(c, 0.0) for c in outside]:
        plane = wave(200, cycles)
        (low,) = fourier.whole(plane, (transfer,))
        assert np.std(low[0, 60:140, 60:140]) == pytest.approx(kept * np.std(plane[0, 60:140, 60:140]), abs=0.01)


@pytest.mark.parametrize(("radius", "blur"), [(6, 5), (18, 5), (40, 3), (70, 1)])
@pytest.mark.parametrize("shape", fourier.SHAPES)
def test_blurred_shapes(shape: str, radius: int, blur: float) -> None:
    """The shape as a drawing, blurred as a drawing."""
    n = 100  # the middle
    v, u = np.mgrid[-n:n, -n:n].astype(float)
    fine = np.linspace(-0.5, 0.5, 9)
    drawn = np.mean(
        [
            Transfer(100, "solid", shape).at(2 * radius, np.abs(v + dy), np.abs(u + dx))
            for dy in fine[:-1] + 1 / 16
            for dx in fine[:-1] + 1 / 16
        ],
        axis=0,
    )
    expected = ndimage.gaussian_filter(drawn, blur, mode="nearest", truncate=6)
    made = Transfer(100, "solid", shape, contrast=blur).at(2 * radius, v[:, n:], u[:, n:])
    assert np.abs(made - expected[:, n:])[n - 60 : n + 60, :60].max() < 0.03


@pytest.mark.parametrize("shape", fourier.SHAPES)
@pytest.mark.parametrize("curve", CURVES)
def test_low_and_high_passes(curve: str, shape: str) -> None:
    planes = noise(1, 50, 61)
    for contrast in (0.0, 4.0):
        low, high = fourier.whole(
            planes, tuple(Transfer(60, curve, shape, contrast, high_pass=which) for which in (False, True))
        )
        assert np.abs(low + high - planes).max() < 1e-5
        assert np.std(low) < np.std(planes)


@pytest.mark.parametrize("shape", [(50, 61), (150, 131), (9, 200)])
def test_planes_are_transformed_in_pieces(shape: tuple[int, int]) -> None:
    """The same bytes as all rows and columns at once, also those of frequencies that a low pass leaves nothing of."""
    planes = noise(2, *shape)
    transfers = (*(Transfer(radius, "log1000") for radius in (25, 75)), Transfer(75, high_pass=True))
    side = fourier.padded_side(*shape)
    before = [(side - n) // 2 for n in shape]
    padded = np.pad(planes, ((0, 0), *((b, side - n - b) for b, n in zip(before, shape, strict=True))), mode="edge")
    spectrum = fft.fft(fft.rfft(padded, axis=2), axis=1)
    v, u = np.fft.fftfreq(side, 1 / side)[:, None], np.arange(side // 2 + 1)[None]
    for transfer, found in zip(transfers, fourier.whole(planes, transfers), strict=True):
        plain = fft.irfft(fft.ifft(spectrum * transfer.at(side, v, u), axis=1), n=side, axis=2)
        assert np.array_equal(found, plain[:, before[0] :, before[1] :][:, : shape[0], : shape[1]])


def test_sigmoidal_contrast_and_its_inverse() -> None:
    ramp = np.linspace(0, 1, 33)
    steep = Transfer(60, contrast=6, middle=0.4).of(ramp)
    g = [1 / (1 + math.exp(6 * (0.4 - v))) for v in (0.0, 1.0)]
    expected = (1 / (1 + np.exp(6 * (0.4 - ramp))) - g[0]) / (g[1] - g[0])
    assert np.allclose(steep, expected)
    assert np.allclose(Transfer(60, contrast=-6, middle=0.4).of(steep), ramp, atol=1e-6)


@pytest.mark.parametrize(
    ("radius", "curve", "bound"),
    [(75, "gradient", 1e-3), (10, "gradient", 1e-3), (40, "log100", 1e-3), (25, "log1000", 1e-3)],
)
def test_tiles_are_near_the_whole(radius: float, curve: str, bound: float) -> None:
    """Two scales beside the transform of the whole plane, a tile away from the border."""
    side = CORE + 2 * OVERLAP + 2 * CORE
    smooth = kernels.smooth.blur(noise(1, side, side, seed=2), 0, 1.5)
    plane = np.clip((smooth - smooth.mean()) / smooth.std() * 0.15 + 0.5, 0, 1).astype(np.float32)
    transfers = (Transfer(radius, curve),)
    (exact,) = fourier.whole(plane, transfers)
    reduced = plane.reshape(1, side // REDUCTION, REDUCTION, side // REDUCTION, REDUCTION).mean(axis=(2, 4))
    (low,) = fourier.reduced_low_pass(reduced.astype(np.float32), transfers, (side, side))
    axis = Axis(side // REDUCTION, side)
    start, stop = CORE, 2 * CORE
    first, last = axis.needed(start, stop)
    part = slice(start, stop)
    coarse = kernels.resample.resize(
        low[:, first:last, first:last], (axis, axis), (first, first), (part, part), "Catrom"
    )
    around = slice(start - OVERLAP, stop + OVERLAP)
    (fine,) = fourier.tile(plane[:, around, around], transfers, (side, side))
    error = np.abs(coarse + fine - exact[:, part, part])
    assert error.max() < bound
    assert error.mean() < bound / 5


# Cleaning, sharpening, blending (6.1 to 6.3, 8, 9)


@pytest.mark.parametrize(
    "clean", [kernels.cleaning.despeckle, kernels.cleaning.enhance, lambda p: kernels.cleaning.kuwahara(p, 3)]
)
def test_even_masks_stay(clean: Callable[[Plane], Plane]) -> None:
    flat = np.full((1, 20, 30), 0.4, np.float32)
    assert np.allclose(clean(flat), flat, atol=1e-6)


def test_despeckle_removes_lone_pixels_and_leaves_steps() -> None:
    plane = np.zeros((1, 40, 40), np.float32)
    plane[0, :, 20:] = 0.5
    plane[0, 10, 10] = 0.05
    made = plane
    for _ in range(4):
        made = kernels.cleaning.despeckle(made)
    assert made[0, 10, 10] < 0.03
    assert np.abs(made[0, 25:, 25:] - 0.5).max() < 1e-6


def test_enhance_is_a_mean_of_what_resembles() -> None:
    weights = np.array(
        [[5, 8, 10, 8, 5], [8, 20, 40, 20, 8], [10, 40, 80, 40, 10], [8, 20, 40, 20, 8], [5, 8, 10, 8, 5]]
    )
    plane = 0.5 + 0.01 * noise(12, 13)
    expected = ndimage.correlate(plane.astype(np.float64), weights / weights.sum(), mode="nearest")
    assert np.abs(kernels.cleaning.enhance(plane[None])[0] - expected).max() < 1e-6
    plane[6, 6] = 0.9  # unlike all others: left out by them, and they by it
    made = kernels.cleaning.enhance(plane[None])[0]
    assert made[6, 6] == pytest.approx(0.9)
    assert made.max(where=plane < 0.8, initial=0) < 0.52


def test_kuwahara_smooths_beside_edges_not_across() -> None:
    plane = np.zeros((1, 40, 40), np.float32)
    plane[0, :, 20:] = 1
    grainy = plane + 0.02 * (noise(1, 40, 40) - 0.5)
    made = kernels.cleaning.kuwahara(grainy, 4)
    assert made[0, :, :16].std() < 0.3 * grainy[0, :, :16].std()
    assert (made[0, 5:-5, 18] < 0.2).all()
    assert (made[0, 5:-5, 21] > 0.8).all()


def test_variable_blur() -> None:
    planes = kernels.smooth.blur(noise(2, 40, 50), 0, 1)
    assert np.array_equal(kernels.sharpen.variable_blur(planes, np.zeros((40, 50), np.float32)), planes)
    made = kernels.sharpen.variable_blur(planes, np.full((40, 50), 2.0, np.float32))
    assert np.allclose(made, kernels.smooth.gaussian(planes, 0, 2), atol=1e-6)
    for sigma in (0.3, 0.6, 0.84, 1.18, 1.68, 3.3):
        between = kernels.sharpen.variable_blur(planes, np.full((40, 50), sigma, np.float32))
        exact = ndimage.gaussian_filter(planes.astype(np.float64), (0, sigma, sigma), mode="nearest", truncate=6)
        error = np.abs(between - exact)[:, 8:-8, 8:-8]
        assert error.max() < 6e-3
        assert error.mean() < 2e-3


def test_sharpening_leaves_transparent_colours_out() -> None:
    planes = np.full((1, 30, 30), 0.5, np.float32)
    planes[0, :, 15:] = 0  # nobody sees it
    alpha = np.ones((30, 30), np.float32)
    edge = kernels.sharpen.edges(planes, 0)
    limits = (float(edge.min()), float(edge.max()))
    opaque = kernels.sharpen.adaptive_sharpen(planes, alpha, edge, limits, 0, 1)
    assert opaque[0, :, :15].max() > 0.55
    alpha[:, 15:] = 0
    made = kernels.sharpen.adaptive_sharpen(planes, alpha, edge, limits, 0, 1)
    assert np.allclose(made[0, :, :15], 0.5, atol=1e-6)


def test_blending_takes_the_sharp_halves() -> None:
    sharp = noise(3, 64, 96)
    dull = kernels.smooth.blur(sharp, 0, 3)
    slices = [
        np.concatenate([sharp[..., :48], dull[..., 48:]], axis=2),
        np.concatenate([dull[..., :48], sharp[..., 48:]], axis=2),
    ]
    assert np.allclose(kernels.blend.blend(lambda _: sharp, 1, 4), sharp, atol=1e-5)
    made = kernels.blend.blend(lambda k: slices[k], 2, 3)
    for part in (slice(0, 40), slice(56, 96)):
        assert (
            np.abs(made[..., part] - sharp[..., part]).mean() < 0.2 * np.abs(dull[..., part] - sharp[..., part]).mean()
        )


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_sorting_networks(count: int, random: Any) -> None:
    values = [random.randrange(2) for _ in range(count)]  # what sorts zeros and ones sorts everything
    wanted = random.randrange(count)
    for place in (None, wanted):
        found = list(values)
        for a, b in kernels.window.sorting_network(count, place):
            found[a], found[b] = min(found[a], found[b]), max(found[a], found[b])
        assert found == sorted(values) if place is None else found[wanted] == sorted(values)[wanted]
