"""Content-based weights against BigStitcher's formula (``ContentBased``), computed plainly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.kernels import contrast
from fusestack.kernels.nodes import NodeAxis, half_kernel, node_kernel


def gaussian(image, sigma):
    """Gauss3 along every axis of more than one pixel, mirrored about the last pixel; float64."""
    for axis, n in enumerate(image.shape):
        if n == 1:
            continue
        half = np.array(half_kernel(sigma))
        reach = len(half) - 1
        turn = np.abs(np.arange(-reach, n + reach)) % (2 * n - 2)
        padded = np.take(image, np.minimum(turn, 2 * n - 2 - turn), axis=axis)
        image = sum(
            half[abs(r)] * np.take(padded, range(reach + r, reach + r + n), axis=axis) for r in range(-reach, reach + 1)
        )
    return image


def plain(image, sigma1, sigma2):
    image = image.astype(np.float64)
    return gaussian((image - gaussian(image, sigma1)) ** 2, sigma2) / contrast.SCALE


def smoothed(nodes, axes, sigma):
    kernels = [node_kernel(sigma, axis.spacing) if axis.count > 1 else (1.0,) for axis in axes]
    at = [axis.mirrored(1 - len(k), axis.count + len(k) - 1) for axis, k in zip(axes, kernels, strict=True)]
    masses = [axis.masses()[i] for axis, i in zip(axes, at, strict=True)]
    return contrast.smooth(nodes[np.ix_(*at)], kernels, masses)


def weights(image, sigma1, sigma2, step):
    """Weights at the nodes, and interpolated at the pixels."""
    axes = [NodeAxis.of(n, step) for n in image.shape]
    counts = [axis.count for axis in axes]
    means = smoothed(contrast.local_mean(image, axes, (0, 0, 0), counts), axes, sigma1)
    found = contrast.local_contrast(image, axes, (0, 0, 0), counts, means, (0, 0, 0))
    found = smoothed(found, axes, sigma2) / contrast.SCALE
    for number, axis in enumerate(axes):
        hats = 1 - np.abs(np.arange(axis.size)[:, None] / axis.spacing - np.arange(axis.count))
        found = np.moveaxis(np.tensordot(np.clip(hats, 0, None), found, (1, number)), 0, number)
    return found


def test_half_kernels_of_imglib2():
    np.testing.assert_allclose(half_kernel(1.0), [0.39905028, 0.24203623, 0.05400558, 0.00443305], atol=1e-8)
    kernel = half_kernel(20.0)
    assert len(kernel) == 61
    np.testing.assert_allclose(kernel[:3], [0.020105393, 0.020080277, 0.020005117], rtol=1e-7)
    np.testing.assert_allclose(kernel[-3:], [5.5262e-5, 2.4561e-5, 6.1402e-6], rtol=1e-4)
    assert len(half_kernel(40.0)) == 121
    assert half_kernel(40.0)[0] == pytest.approx(0.010060577, rel=1e-7)


@pytest.mark.parametrize("shape", [(20, 33, 41), (1, 60, 50), (3, 2, 70)])
def test_nodes_at_every_pixel_are_the_formula(shape):
    image = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    np.testing.assert_allclose(weights(image, 2.0, 4.0, 1), plain(image, 2.0, 4.0), rtol=2e-5)


@pytest.mark.parametrize("shape", [(70, 101, 90), (16, 24, 38), (1, 40, 41)])
@pytest.mark.parametrize(("step", "tolerance"), [(2, 1e-4), (4, 2e-4)])
def test_sparse_nodes_come_close_to_the_formula(step, tolerance, shape):
    """Ten and five nodes in sigma, also where the image is shorter than the kernel; several sizes of structures."""
    rng = np.random.default_rng(1)
    image = 500 * gaussian(rng.random(shape), 3.0) + 200 * gaussian(rng.random(shape), 9.0)
    image = (image + rng.normal(0, 1, image.shape)).astype(np.float32)
    error = np.abs(weights(image, 20.0, 40.0, step) / plain(image, 20.0, 40.0) - 1)
    assert error.max() < tolerance


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 9), st.data())
def test_node_axes(size, step, data):
    axis = NodeAxis.of(size, step)
    assert axis.spacing <= step
    assert axis.spacing * (axis.count - 1) == pytest.approx(size - 1)
    first = data.draw(st.integers(0, axis.count - 1))
    last = data.draw(st.integers(first + 1, axis.count))
    low, high = axis.pixels(first, last)
    inside = np.arange(size) / axis.spacing
    touching = np.flatnonzero((inside > first - 1 + 1e-9) & (inside < last - 1e-9))
    assert (low, high) == (touching[0], touching[-1] + 1)
    below, above = axis.around(low, high)
    assert below <= low / axis.spacing
    assert above - 1 >= (high - 1) / axis.spacing - 1e-9 or above == axis.count
    node, shares = axis.hat_weights(first, last)
    sums = np.zeros(axis.count + 1)
    np.add.at(sums, node, shares[0])
    np.add.at(sums, node + 1, shares[1])
    np.testing.assert_allclose(sums[first:last], 1, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2, 3, 5]), st.tuples(*[st.integers(1, 40)] * 3), st.booleans(), st.data())
def test_bytes_of_a_node_do_not_depend_on_the_box(step, shape, holes, data):
    rng = np.random.default_rng(2)
    image = rng.normal(100, 1e4, shape).astype(np.float32)
    if holes:
        image[rng.random(shape) < 0.1] = np.nan
    axes = [NodeAxis.of(n, step) for n in shape]
    counts = [axis.count for axis in axes]
    means = np.nan_to_num(contrast.local_mean(image, axes, (0, 0, 0), counts))
    whole = contrast.local_contrast(image, axes, (0, 0, 0), counts, means, (0, 0, 0))
    low = [data.draw(st.integers(0, n - 1)) for n in counts]
    high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, counts, strict=True)]
    ends = [axis.pixels(a, b) for axis, a, b in zip(axes, low, high, strict=True)]
    part = image[tuple(slice(*end) for end in ends)]
    near = [axis.around(*end) for axis, end in zip(axes, ends, strict=True)]
    first = [a for a, _ in near]
    around = np.ascontiguousarray(means[tuple(slice(*n) for n in near)])
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    found = contrast.local_contrast(part, axes, low, high, around, first)
    np.testing.assert_array_equal(found, whole[box])


def test_constant_images_have_no_contrast_and_holes_do_not_spread():
    image = np.full((30, 40, 50), 7, np.float32)
    assert np.allclose(weights(image, 4.0, 8.0, 2), 0, atol=1e-9)
    image[10:15, 20:25, 5:40] = np.nan
    assert np.allclose(weights(image, 4.0, 8.0, 1), 0, atol=1e-9)
