"""The kernel against BigStitcher's own numbers, where the golden data is at hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fusestack.model.geometry import Affine, flip3
from tests.conftest import SHARED
from tests.kernels.fuse_twin import fuse_images

GOLDEN = SHARED / "golden" / "bigstitcher"
CASES = [
    case
    for case in (json.loads((GOLDEN / "cases.json").read_text())["cases"] if GOLDEN.exists() else [])
    if case["fusion"] in ("AVG", "AVG_BLEND") and case["min_intensity"] in (None, 0)
]


def read_view(view, name, arrays):
    """Pixels of the level that BigStitcher opened."""
    shape = tuple(int(n) for n in flip3(view["derived"]["used_dims_xyz"]))
    return next(a for key, a in arrays.items() if key.startswith(name) and a.shape == shape)


@pytest.mark.beside("golden/bigstitcher")
@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_bigstitcher_numbers(case):
    arrays = dict(np.load(GOLDEN / case["file"]))
    fused = arrays["fused"]
    images, affines, ranges, borders = [], [], [], []
    for view in case["views"]:
        derived = view["derived"]
        to_level = Affine.from_xyz(derived["model_pixel_to_fused"]).inverse()
        images.append(read_view(view, view["array"], arrays))
        affines.append(np.column_stack([to_level.linear, to_level.offset]))
        ranges.append(flip3(derived["effective_blending_range_xyz"]) if case["fusion"] == "AVG_BLEND" else [0] * 3)
        borders.append(flip3(derived["effective_blending_border_xyz"]))
    top = case["max_intensity"]
    ours = fuse_images(
        images,
        affines,
        [int(v) for v in flip3(case["fused_bbox_min"])],
        fused.shape,
        ranges=ranges,
        borders=borders,
        dtype=fused.dtype,
        numerics="bigstitcher",
        interpolation=case["interpolation"],
        intensity_range=None if top is None else (0, top),
    )
    tolerance = 0.15 if fused.dtype == np.float32 else 1
    close = np.abs(ours.astype(float) - fused.astype(float)) <= tolerance
    assert close.mean() >= 0.998
    assert (fused > 0).any()
