"""Blending that follows data: weights fade towards pixels without data, whatever the blocks are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusestack
from fusestack import kernels
from fusestack.fusion.blocks import FuseBlocks
from fusestack.model.errors import ConfigError, FusestackWarning
from fusestack.model.geometry import Box

SHAPE = (6, 20, 40)
z, y, x = np.indices(SHAPE)
SEEN = (x < 34 - 3 * (5 - z), x >= 3 * z)  # de-skewed: nothing was acquired beyond
TURN = [0.98, -0.17, 0, 3, 0.17, 0.98, 0, 1, 0, 0, 1, 0.4]


def job(
    arrays: list[Any], step: float = 15, no_data: float | None = 0, affine: Any = None, **fusion: Any
) -> dict[str, Any]:
    views = []
    for number, array in enumerate(arrays):
        place = [1, 0, 0, step * number, 0, 1, 0, 0, 0, 0, 1, 0] if affine is None or number == 0 else affine
        views.append({"array": array, "affine": place, "tile": number})
    source = {"views": views} if no_data is None else {"views": views, "no_data": no_data}
    return {"version": 1, "input": source, "fusion": fusion}


def pixels(seed: int, seen: Any, dtype: str = "uint16", nothing: float = 0) -> Any:
    values = np.random.default_rng(seed).integers(100, 4000, SHAPE) ** 2 // 300
    return np.where(seen, values, nothing).astype(dtype)


FADE = {"range": 6, "from": "data"}


def twin(nothing: Any, axis: int, border: float, width: float) -> Any:
    """Distances by looking at every pair of pixels."""
    n = nothing.shape[axis]
    lines = np.moveaxis(nothing, axis, -1)
    apart = np.abs(np.arange(n)[:, None] - np.arange(n))
    distance = np.where(lines[..., None, :], apart, np.inf).min(axis=-1) - 1
    steps = np.clip((distance - border) / width, 0, 1)
    return np.moveaxis((1 - np.cos(np.pi * steps)) / 2, -1, axis)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.02, 0.3]),
    st.sampled_from([0, 1, 2]),
    st.floats(0, 3),
    st.floats(0.5, 6),
)
def test_the_kernel_measures_distances_to_what_has_no_data(
    seed: int, share: float, axis: int, border: float, width: float
) -> None:
    nothing = np.random.default_rng(seed).random((7, 9, 30)) < share
    whole = kernels.data_borders.fade_along(nothing, axis, 0, nothing.shape[axis], border, width)
    kept = ~nothing
    np.testing.assert_allclose(whole[kept], twin(nothing, axis, border, width)[kept], atol=1e-6)
    # a part of it with so much around it is the same
    reach = int(np.ceil(border + width))
    first, count = nothing.shape[axis] // 3, 2
    low, high = max(0, first - reach), min(nothing.shape[axis], first + count + reach)
    cut = np.take(nothing, range(low, high), axis)
    part = kernels.data_borders.fade_along(cut, axis, first - low, count, border, width)
    wanted = np.take(whole, range(first, first + count), axis)
    seen = np.take(kept, range(first, first + count), axis)
    assert (part[seen] == wanted[seen]).all()


@settings(deadline=None, max_examples=8)
@given(
    st.integers(0, 999),
    st.tuples(st.integers(1, 6), st.integers(3, 20), st.integers(3, 40)),
    st.sampled_from([None, TURN]),
    st.sampled_from([1, 1.7]),
    st.sampled_from([0.0, 1.5]),
)
def test_bytes_do_not_depend_on_blocks(seed: int, chunks: Any, affine: Any, downsampling: float, border: float) -> None:
    arrays = [pixels(seed + i, seen) for i, seen in enumerate(SEEN)]
    asked = job(arrays, 15.3, affine=affine, blending={**FADE, "border": border}, downsampling=downsampling)
    whole = fusestack.fuse(asked).values
    assert (fusestack.fuse(asked, chunks=chunks).values == whole).all()


def test_a_block_in_parts_is_the_same_and_arrays_of_graphs_are_read_as_far() -> None:
    import dask.array

    arrays = [pixels(i, seen) for i, seen in enumerate(SEEN)]
    whole = fusestack.fuse(job(arrays, blending=FADE)).values
    lazy = [dask.array.from_array(array, chunks=(2, 5, 7)) for array in arrays]
    assert (fusestack.fuse(job(lazy, blending=FADE), chunks=(3, 6, 9)).values == whole).all()
    plan = fusestack.plan({**job(arrays, blending=FADE), "output": {"path": "never.ome.zarr"}})
    (image,) = plan.images
    compute = image.stages[0].compute
    assert isinstance(compute, FuseBlocks)
    import dataclasses

    small = dataclasses.replace(compute, part_bytes=1)
    assert (small(Box.of_shape(whole.shape)) == whole).all()


def test_where_all_pixels_have_data_nothing_changes() -> None:
    arrays = [pixels(i, True) for i in range(2)]
    plain = fusestack.fuse(job(arrays, 15.3, blending={"range": 6})).values
    assert (fusestack.fuse(job(arrays, 15.3, blending=FADE)).values == plain).all()
    with pytest.warns(FusestackWarning, match="from: data changes nothing.*input.no_data"):
        told = fusestack.fuse(job(arrays, 15.3, None, blending=FADE)).values
    assert (told == plain).all()


@pytest.mark.parametrize("dtype", ["uint16", "float32", "uint32"])
def test_there_is_no_step_where_the_data_of_a_view_ends(dtype: str) -> None:
    nothing = np.nan if dtype == "float32" else 0
    values = [np.where(seen, level, nothing).astype(dtype) for seen, level in ((x >= 0, 1000), (x >= 8, 2000))]
    found = {}
    for source in ("views", "data"):
        asked = job(
            values, 12, None if dtype == "float32" else 0, blending={"range": 6, "from": source}, dtype="float32"
        )
        image = fusestack.fuse(asked).values[0, 0]
        found[source] = np.abs(np.diff(image, axis=2))[2:4, 8:12].max()
    assert found["views"] > 450
    assert found["data"] < 250


def test_pixels_that_only_one_view_has_are_kept_whole() -> None:
    values = [np.where(seen, 1000, 0).astype("uint16") for seen in SEEN]
    plain = fusestack.fuse(job(values, blending={"range": 6})).values
    assert (fusestack.fuse(job(values, blending=FADE)).values == plain).all()
    assert (plain[..., 0, :, :10] == 1000).all()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"method": "max"}, "only for method average"),
        ({"numerics": "bigstitcher"}, "numerics: exact"),
        ({"content_based": True}, "content_based"),
    ],
)
def test_what_cannot_follow_data_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=rf"fusion\.blending\.from: .*{words}"):
        fusestack.fuse(job([pixels(0, True)], blending=FADE, **more))


def test_views_and_data_are_the_only_words() -> None:
    with pytest.raises(ConfigError, match=r"fusion\.blending\.from: .*use views or data"):
        fusestack.fuse(job([pixels(0, True)], blending={"from": "edges"}))
    with pytest.raises(ConfigError, match=r"fusion\.blending\.frm: unknown key \(did you mean 'from'\?\)"):
        fusestack.fuse(job([pixels(0, True)], blending={"frm": "data"}))


def test_functions_of_the_user_see_the_weights() -> None:
    values = [pixels(i, seen) for i, seen in enumerate(SEEN)]
    plain = fusestack.fuse(job(values, blending=FADE)).values
    assert (
        fusestack.fuse(job(values, blending=FADE, weights="tests.fusion.test_data_borders:ones")).values == plain
    ).all()


def ones(views: Any, masks: Any) -> Any:
    return np.ones_like(views)
