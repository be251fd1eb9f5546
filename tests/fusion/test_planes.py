"""Views of one plane at several depths are a volume, to the numbers of a stack of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusestack
from fusestack.model.errors import FusestackWarning

VOLUME = (100 + np.arange(5 * 12 * 16) * 7919 % 3001).astype(np.uint16).reshape(5, 12, 16)
METHODS = ["average", "max", "lowest_view", "highest_view", "closest_pixel"]


def fused(views: list[dict[str, Any]], **fusion: Any) -> Any:
    numbered = [{"tile": i, **view} for i, view in enumerate(views)]
    return fusestack.fuse({"version": 1, "input": {"views": numbered}, "fusion": fusion})


def plane(z: int, *, step: float = 1, x: float = 0, y: float = 0, cut: Any = np.s_[:], **more: Any) -> dict[str, Any]:
    return {"array": VOLUME[z][cut], "affine": [1, 0, 0, x, 0, 1, 0, y, 0, 0, step, z * step], **more}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("step", "x"), [(1, 0), (1, 0.3), (2, 0), (2.5, 0.3)])
def test_planes_at_several_depths_are_the_stack_of_them(step: float, x: float, method: str) -> None:
    whole = fused([{"array": VOLUME, "affine": [1, 0, 0, x, 0, 1, 0, 0, 0, 0, step, 0]}], method=method).values
    found = fused([plane(z, step=step, x=x) for z in range(5)], method=method).values
    assert found.shape == whole.shape
    if method == "average" or step == 1:
        np.testing.assert_allclose(found.astype(int), whole, atol=1)


def test_planes_of_several_timepoints_channels_and_tiles() -> None:
    views = [
        plane(z, x=x, cut=np.s_[:, x : x + 10], timepoint=t, channel=c, tile=tile)
        for z in range(5)
        for t in range(2)
        for c in range(2)
        for tile, x in enumerate((0, 6))
    ]
    found = fused(views).values
    assert found.shape == (2, 2, 5, 12, 16)
    assert (found == VOLUME).all()


def test_blending_goes_on_within_planes() -> None:
    pixels = np.ones((12, 40), np.uint16)
    views = [
        {"array": pixels * value, "affine": [1, 0, 0, x, 0, 1, 0, 0, 0, 0, 1, z]}
        for z in range(2)
        for value, x in ((100, 0), (200, 30))
    ]
    found = fused(views, blending={"range": 10}).values[0, 0]
    assert len(np.unique(found[1, 6, 30:40])) > 5
    flat = fused([{**view, "affine": [*view["affine"][:11], 0]} for view in views[:2]], blending={"range": 10})
    assert (found == flat.values[0, 0, 0]).all()


def test_a_gap_between_planes_is_black_and_said() -> None:
    with pytest.warns(FusestackWarning, match="no plane lies between z 1 and 4"):
        found = fused([plane(z) for z in (0, 1, 4)]).values[0, 0]
    assert (found[[0, 1, 4]] == VOLUME[[0, 1, 4]]).all()
    assert (found[2:4] == 0).all()


def test_planes_at_one_depth_are_one_plane() -> None:
    found = fused([plane(0), {**plane(0), "affine": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0.2]}]).values
    assert (found[0, 0] == VOLUME[:1]).all()
    with pytest.warns(FusestackWarning, match="BigStitcher fuses them as one plane"):
        assert fused([plane(z) for z in range(3)], numerics="bigstitcher").shape[2] == 1


def test_a_mosaic_whose_tiles_lie_at_several_depths_is_one_plane_and_that_is_said() -> None:
    left, right = plane(0, cut=np.s_[:, :8]), plane(0, x=6, cut=np.s_[:, 6:])
    right["affine"][11] = 3
    with pytest.warns(FusestackWarning, match="beside one another, at z 0 to 3"):
        found = fused([left, right])
    assert (found.values[0, 0] == VOLUME[:1]).all()


@pytest.mark.parametrize("kind", ["planes", "axes z of length 1"])
@pytest.mark.parametrize("step", [1, 2.5])
def test_python_takes_places_of_planes_along_z(kind: str, step: float) -> None:
    arrays = [p if kind == "planes" else p[np.newaxis] for p in VOLUME]
    image = fusestack.fuse(arrays, positions=[(step * z, 0, 0) for z in range(5)], unit="um")
    assert (image.values[0, 0] == VOLUME).all()
    np.testing.assert_allclose(image.z, step * np.arange(5))
    affines = [np.array([[step, 0, 0, step * z], [0, 1, 0, 0], [0, 0, 1, 0]]) for z in range(5)]
    assert (fusestack.fuse(arrays, affines=affines).values[0, 0] == VOLUME).all()


def test_tiles_of_several_units_are_converted() -> None:
    import xarray

    def tile(start: float, step: float, unit: str) -> Any:
        axes = {"z": [0.0], "y": step * np.arange(12), "x": start + step * np.arange(16)}
        made = xarray.DataArray(VOLUME[:1], dims=("z", "y", "x"), coords=axes)
        for axis in axes:
            made[axis].attrs["units"] = unit
        return made

    image = fusestack.fuse([tile(0, 0.5, "um"), tile(8000, 500, "nm")])
    assert image.attrs["unit"] == "micrometer"
    assert image.sizes["x"] == 32
    assert (image.values[0, 0, 0] == np.concatenate([VOLUME[0], VOLUME[0]], axis=1)).all()
