"""A depth becomes a surface: less noise, no specks, the same edges, whatever the block."""

from __future__ import annotations

import numpy as np
import pytest

from fusestack import kernels


def test_an_even_depth_has_less_noise_and_all_its_edges() -> None:
    rng = np.random.default_rng(0)
    slope = np.mgrid[:60, :80][1] * np.float32(0.02)
    truth = np.where(np.mgrid[:60, :80][0] < 25, slope, slope + np.float32(3)).astype(np.float32)
    noisy = truth + 0.08 * rng.standard_normal(truth.shape).astype(np.float32)
    known = rng.random(truth.shape) > 0.1
    noisy[~known] = 50
    found = kernels.surface.evened(noisy, known, 0.7)
    assert np.array_equal(found[~known], noisy[~known])
    before, after = (np.abs(one - truth)[known] for one in (noisy, found))
    assert after.mean() < 0.3 * before.mean()
    assert after.max() < 0.15, "neither an edge nor what is unknown has come in"


def test_an_even_depth_does_not_depend_on_where_a_block_begins() -> None:
    depth = np.random.default_rng(1).random((40, 50), np.float32)
    known = depth > 0.05
    reach = kernels.reaches.EVEN
    whole = kernels.surface.evened(depth, known, 0.5)
    part = (slice(8, 30), slice(11, 37))
    found = kernels.surface.evened(depth[part], known[part], 0.5)
    inner = (slice(reach, -reach), slice(reach, -reach))
    assert np.array_equal(found[inner], whole[part][inner])


def test_specks_are_filled_and_thin_things_stay() -> None:
    depth = np.full((40, 60), 2.0, np.float32)
    depth[:, 30] = 6.0  # a hair
    depth[20, :] = 5.0
    expected = depth.copy()
    for y, x in ((5, 5), (5, 6), (6, 5), (30, 12), (31, 50)):
        depth[y, x] = 9.0
    known = np.ones(depth.shape, bool)
    known[10, 10], depth[10, 10] = False, 77.0
    expected[10, 10] = 77.0
    assert np.array_equal(kernels.surface.filled(depth, known, 0.7), expected)


@pytest.mark.parametrize("begins", [(9, 11), (0, 11), (9, 0)])
def test_specks_do_not_depend_on_where_a_block_begins(begins: tuple[int, int]) -> None:
    depth = (4 * np.random.default_rng(2).random((50, 60), np.float32)) ** 2
    known = depth > 0.01
    reach = kernels.reaches.EVEN + kernels.reaches.FILL
    whole = kernels.surface.filled(depth, known, 0.7)
    assert 0.02 < np.mean(whole != depth) < 0.98
    part = tuple(slice(first, first + 30) for first in begins)
    found = kernels.surface.filled(depth[part], known[part], 0.7)
    inner = tuple(slice(reach if first else 0, -reach) for first in begins)
    assert np.array_equal(found[inner], whole[part][inner])
