"""Motions of slices are found, and slices that do not belong are named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fusestack.focus.aligning import tracks
from fusestack.focus.aligning.alignment import Alignment, SliceMotion
from fusestack.focus.aligning.estimate import Wanted, estimate
from fusestack.model.errors import ConfigError, InputError
from tests.focus.aligning.moved import SIZE, errors, motions, scene, seen


@pytest.fixture(scope="module")
def slices() -> NDArray[np.float64]:
    return scene()


@pytest.fixture(scope="module")
def true() -> list[NDArray[np.float64]]:
    return motions(6)


@pytest.fixture(scope="module")
def moved(slices: NDArray[np.float64], true: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    return seen(slices, true)


def aligned(stack: NDArray[np.float32], workers: int = 2, **options: object) -> Alignment:
    wanted = Wanted(
        **{"model": "similarity", "reference": "middle", "exposure": False, "white_balance": False} | options
    )
    planes = stack if stack.ndim == 4 else stack[:, None]
    names = [f"/in/s{k}.tif" for k in range(len(stack))]
    white = np.ones((planes.shape[1], 1, 1), np.float32)
    size = (planes.shape[3], planes.shape[2])
    return estimate(lambda k: planes[k], white, names, size, wanted, workers=workers)


def test_motions_are_found(moved: NDArray[np.float32], true: list[NDArray[np.float64]]) -> None:
    found = aligned(moved)
    off = errors([one.matrix for one in found.slices], true, found.reference)
    assert found.reference == 3
    assert off.max() < 0.25
    assert np.median(off) < 0.1
    assert found.said == ()


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_more_may_move(model: str, moved: NDArray[np.float32], true: list[NDArray[np.float64]]) -> None:
    found = aligned(moved, model=model, reference="first")
    assert found.reference == 0
    assert errors([one.matrix for one in found.slices], true, 0).max() < 1.5


@pytest.mark.parametrize(("model", "growth", "turn"), [("translation", 0, 0), ("rigid", 0, 1)])
def test_less_may_move(model: str, growth: float, turn: float, slices: NDArray[np.float64]) -> None:
    true = motions(6, growth=growth, turn=turn)
    found = aligned(seen(slices, true), model=model)
    assert errors([one.matrix for one in found.slices], true, 3).max() < 0.2
    for one in found.slices:
        scale = np.sqrt(np.linalg.det(one.matrix[:2, :2]))
        assert scale == pytest.approx(1, abs=1e-12)
        assert model == "rigid" or np.allclose(one.matrix[:2, :2], np.eye(2), atol=1e-12)


def test_workers_do_not_matter(moved: NDArray[np.float32]) -> None:
    assert aligned(moved, workers=1).facts() == aligned(moved, workers=4).facts()


def test_brightness_is_found(moved: NDArray[np.float32]) -> None:
    bright = np.clip(moved * np.array([0.9, 1, 1, 1.1, 1, 0.8], np.float32)[:, None, None], 0, 1)
    found = aligned(bright, exposure=True)
    gains = np.array([one.gains[0] for one in found.slices])
    np.testing.assert_allclose(gains, 1 / np.array([0.9, 1, 1, 1.1, 1, 0.8]), rtol=0.02)
    assert all(one.gains[0] == 1 for one in aligned(bright).slices)


def test_colours_are_balanced(moved: NDArray[np.float32]) -> None:
    colours = np.repeat(moved[:, None], 3, axis=1)
    colours[2, 0] *= 0.85
    balanced = aligned(colours, white_balance=True).slices[2].gains
    np.testing.assert_allclose(balanced, [1 / 0.85, 1, 1], rtol=0.02)
    assert len(set(aligned(colours, exposure=True).slices[2].gains)) == 1


def test_what_all_cover_is_in_all(moved: NDArray[np.float32]) -> None:
    found = aligned(moved)
    top, bottom, left, right = found.covered()
    assert bottom - top > SIZE / 2
    for one in found.slices:
        back = np.linalg.inv(one.matrix)
        for corner in ((left, top), (right - 1, top), (left, bottom - 1), (right - 1, bottom - 1)):
            place = back @ (*corner, 1.0)
            assert (place[:2] / place[2] >= -1e-6).all()
            assert (place[:2] / place[2] <= SIZE - 1 + 1e-6).all()


def test_a_blank_slice_is_named_and_left_where_it_is(
    moved: NDArray[np.float32], true: list[NDArray[np.float64]]
) -> None:
    blank = moved.copy()
    blank[2] = 0.01 + 0.002 * np.random.default_rng(1).random(blank[2].shape)
    found = aligned(blank)
    assert found.said == ("/in/s2.tif: shows no detail, and could not be aligned",)
    off = errors([one.matrix for one in found.slices], true, found.reference)
    assert np.delete(off, 2).max() < 0.4


def other(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    strange = stack.copy()
    strange[2], strange[3] = scene(6, seed=9)[2:4]
    return strange


def turned(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    strange = stack.copy()
    strange[4] = np.rot90(strange[4])
    return strange


@pytest.mark.parametrize(
    ("spoil", "sentences"),
    [
        (other, ["s2.tif: shows nothing that s1.tif and s3.tif show, too", "s3.tif: shows nothing that s2.tif and s4"]),
        (turned, ["s4.tif: is turned by 91 degrees beside the slices next to it; turn it back"]),
    ],
)
def test_slices_that_do_not_belong_are_named(
    spoil: Callable[[NDArray[np.float32]], NDArray[np.float32]], sentences: list[str], moved: NDArray[np.float32]
) -> None:
    with pytest.raises(InputError) as caught:
        aligned(spoil(moved))
    assert len(caught.value.problems) == len(sentences)
    for problem, sentence in zip(caught.value.problems, sentences, strict=True):
        assert sentence in problem
        assert "leave it out of input.images" in problem


def test_another_order_is_named(moved: NDArray[np.float32]) -> None:
    found = aligned(moved[[0, 3, 2, 1, 4, 5]])
    assert len(found.said) == 1
    assert "s0.tif, s3.tif, s2.tif, s1.tif, s4.tif, s5.tif" in found.said[0]
    assert "list them in input.images in that order" in found.said[0]


def test_what_is_too_bright_is_no_reference(moved: NDArray[np.float32]) -> None:
    bright = moved.copy()
    bright[3] = np.clip(1.8 * bright[3], 0, 1)
    assert aligned(bright).reference == 2
    assert aligned(bright, reference=3).reference == 3


def test_the_same_slice_again_is_in_no_other_order(moved: NDArray[np.float32]) -> None:
    assert aligned(np.stack([moved[2]] * 5)).said == ()


def test_what_all_cover_of_turned_slices() -> None:
    around = np.array([[-1, 0, 99], [0, -1, 79], [0, 0, 1.0]])
    slices = tuple(SliceMotion(str(k), matrix, np.ones(1)) for k, matrix in enumerate((np.eye(3), around)))
    assert Alignment("given", 0, (100, 80), slices).covered() == (0, 80, 0, 100)


def test_nothing_to_align() -> None:
    with pytest.raises(InputError, match="fewer than two slices show any detail; use align: false"):
        aligned(np.full((3, 64, 64), 0.5, np.float32))


def test_the_reference_is_a_slice(moved: NDArray[np.float32]) -> None:
    assert aligned(moved, reference=1).reference == 1
    assert aligned(moved, reference="last").reference == 5
    with pytest.raises(ConfigError, match="there is no slice 6; they are 0 to 5"):
        aligned(moved, reference=6)


def test_where_fine_detail_does_not_agree_coarse_detail_counts(
    moved: NDArray[np.float32], true: list[NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photographs that a camera has enlarged have no finest detail."""
    inner = tracks._agreed

    def coarse_only(found: tracks.Tracks, within: float, share: float) -> tuple[NDArray | None, NDArray[np.bool_]]:
        if share == tracks._SHARE_CLOSE:
            return None, np.zeros(len(found.here), bool)
        return inner(found, within, share)

    monkeypatch.setattr(tracks, "_agreed", coarse_only)
    found = aligned(moved)
    assert errors([one.matrix for one in found.slices], true, found.reference).max() < 1.5
