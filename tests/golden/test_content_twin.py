"""Content-based fusion of the golden views with other sigmas, levels and anisotropy, against a plain recomputation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusestack
from fusestack.kernels.nodes import half_kernel
from fusestack.model.geometry import Affine, Box, flip3
from tests.golden.test_bigstitcher import CASES, FOLDER, as_project, fusion_section
from tests.kernels.fuse_twin import coverage, places, ramp, sample

pytestmark = pytest.mark.beside("golden/bigstitcher")
NAMES = [
    "content_blend_sigma2_4_u16",
    "content_avg_sigma2_4",
    "downsample2_multires_blend6_u16",
    "anisotropy_preserved_blend8_u16",
]


def gaussian(image: Any, sigma: Any) -> Any:
    """Gauss3 along every axis, mirrored about the last pixel; float64."""
    for axis, n in enumerate(image.shape):
        half = np.array(half_kernel(float(sigma[axis])))
        reach = len(half) - 1
        turn = np.abs(np.arange(-reach, n + reach)) % (2 * n - 2)
        padded = np.take(image, np.minimum(turn, 2 * n - 2 - turn), axis=axis)
        parts = [
            half[abs(r)] * np.take(padded, range(reach + r, reach + r + n), axis=axis) for r in range(-reach, len(half))
        ]
        image = np.sum(parts, axis=0)
    return image


def recomputed(case: dict[str, Any], data: Any, sigmas: tuple[float, float], shape: tuple[int, ...]) -> Any:
    """Fused image by the formulas of BigStitcher's ``fusion.blk`` classes, float64."""
    total, weights = np.zeros(shape), np.zeros(shape)
    origin = [int(v) for v in flip3(case["fused_bbox_min"])]
    for view in case["views"]:
        derived = view["derived"]
        inverse = Affine.from_xyz(derived["model_pixel_to_fused"]).inverse()
        affine = np.column_stack([inverse.linear, inverse.offset])
        size = tuple(int(n) for n in flip3(derived["used_dims_xyz"]))
        names = [name for name in data.files if name.startswith(view["array"]) and data[name].shape == size]
        image = data[names[0]].astype(float)
        finer = np.array(flip3(derived["used_level_factors"])) * [case["anisotropy"] or 1, 1, 1]
        contrast = (image - gaussian(image, sigmas[0] / finer)) ** 2
        at = places(affine, origin, shape)
        weight = sample(gaussian(contrast, sigmas[1] / finer) / 2048, at, "linear")
        fade = flip3(derived["effective_blending_range_xyz"]) if "BLEND" in case["fusion"] else (0.0, 0.0, 0.0)
        for axis, border in enumerate(flip3(derived["effective_blending_border_xyz"])):
            inside, _ = coverage(affine[axis], at[axis], size[axis], border, "bigstitcher")
            weight = weight * inside * ramp(at[axis], size[axis], border, fade[axis], "bigstitcher")
        total += weight * sample(image, at, case["interpolation"])
        weights += weight
    return total / np.where(weights > 0, weights, 1)


@pytest.mark.parametrize("sigmas", [(20.0, 40.0), (10.0, 20.0), (5.0, 7.0)])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_the_formula(name: str, sigmas: tuple[float, float], tmp_path: Path) -> None:
    data = np.load(FOLDER / CASES[name]["file"])
    case = CASES[name] | {"content_sigma1": sigmas[0], "content_sigma2": sigmas[1], "output_dtype": "float32"}
    if "CONTENT" not in case["fusion"]:
        case["fusion"] += "_CONTENT"
    config = {
        "version": 1,
        "input": as_project(case, data, tmp_path),
        "fusion": fusion_section(case),
        "output": {"path": str(tmp_path / "fused.ome.zarr"), "chunks": 16, "shards": 32, "pyramid": "none"},
    }
    fusestack.run(config)
    (image,) = fusestack.plan(config).images
    found = image.target.open().read(0, Box.of_shape(image.target.image.shape))[0, 0]
    assert np.abs(found - recomputed(case, data, sigmas, found.shape)).max() < 0.1
    assert found.max() > 100
