"""A value that means "nothing was recorded": padding darkens nothing, wherever it comes into a pixel."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import fusestack
from fusestack.model.errors import ConfigError, FusestackWarning
from fusestack.planning.overview import input_facts

SHAPE = (6, 20, 40)
z, y, x = np.indices(SHAPE)
SEEN = (x < 34 - 3 * (5 - z), x >= 3 * z)  # de-skewed: nothing was acquired beyond
STEPS = [(0, 0, 20), (0.4, 0.3, 20.6)]
TYPES = ["uint8", "uint16", "int16", "uint32", "float32"]
FUSIONS: list[dict[str, Any]] = [
    {},
    {"blending": False},
    {"interpolation": "nearest"},
    {"content_based": {"sigma1": 2, "sigma2": 3}},
    {"downsampling": 1.3},
    *[{"method": method} for method in ("max", "lowest_view", "highest_view", "closest_pixel")],
]


def tile(seen: Any, dtype: str, nothing: float = 0) -> Any:
    return np.where(seen, 100, nothing).astype(dtype)


def fused(arrays: list[Any], step: Any, no_data: Any = 0, **fusion: Any) -> Any:
    positions = [{axis: s * i for axis, s in zip("zyx", step, strict=True)} for i in range(len(arrays))]
    views = [{"array": a, "translation": p, "tile": i} for i, (a, p) in enumerate(zip(arrays, positions, strict=True))]
    source = {"views": views} if no_data is None else {"views": views, "no_data": no_data}
    return fusestack.fuse({"version": 1, "input": source, "fusion": fusion})


@pytest.mark.parametrize(("dtype", "step", "fusion"), [
    *itertools.product(TYPES, STEPS, [{}]),
    *itertools.product(["uint16"], STEPS, FUSIONS[1:]),
])  # fmt: skip
def test_padding_darkens_nothing(dtype: str, step: Any, fusion: dict[str, Any]) -> None:
    image = fused([tile(seen, dtype) for seen in SEEN], step, **fusion)
    assert image.dtype == dtype
    found = image.values[0, 0]
    assert 100 in found
    assert set(np.unique(found)) <= {0, 100}
    # what a nearest pixel of a tile has seen is there
    scale = fusion.get("downsampling", 1)
    places = np.indices(found.shape) * scale
    for number, seen in enumerate(SEEN):
        at = [np.floor(p - number * s + 0.5).astype(int) for p, s in zip(places, step, strict=True)]
        inside = np.all([(a >= 0) & (a < n) for a, n in zip(at, SHAPE, strict=True)], axis=0)
        covered = inside & seen[tuple(np.clip(a, 0, n - 1) for a, n in zip(at, SHAPE, strict=True))]
        assert (found[covered] == 100).all()


def test_without_it_padding_is_black() -> None:
    assert (fused([tile(seen, "uint16") for seen in SEEN], STEPS[0], None).values == 50).any()


def test_a_view_may_have_a_value_of_its_own_and_another_value_is_data() -> None:
    views = [
        {"array": tile(SEEN[0], "uint16", 7), "no_data": 7, "tile": 0},
        {"array": tile(SEEN[1], "uint16"), "translation": {"x": 20, "y": 0, "z": 0}, "tile": 1},
    ]
    found = fusestack.fuse({"version": 1, "input": {"views": views, "no_data": 0}}).values
    assert set(np.unique(found)) == {0, 100}
    zeros = fusestack.fuse({"version": 1, "input": {"views": [{"array": np.zeros((2, 4, 4), np.uint8)}], "no_data": 1}})
    assert (zeros.values == 0).all()


def test_nan_and_the_value_are_the_same() -> None:
    step = STEPS[1]
    marked = fused([tile(seen, "float32", np.nan) for seen in SEEN], step, None, background=-1)
    told = fused([tile(seen, "float32") for seen in SEEN], step, background=-1)
    assert (marked.values == told.values).all()


def test_python_takes_the_value_for_tiles() -> None:
    arrays = [tile(seen, "uint16") for seen in SEEN]
    image = fusestack.fuse(arrays, positions=[(0, 0, 0), (0, 0, 20.5)], no_data=0)
    assert image.dtype == np.uint16
    assert set(np.unique(image.values)) == {0, 100}
    parts = fusestack.fuse(arrays, positions=[(0, 0, 0), (0, 0, 20.5)], no_data=0, chunks=(3, 7, 9))
    assert (parts.values == image.values).all()


def test_levels_that_mix_padding_and_data_are_not_read(tmp_path: Path) -> None:
    views = []
    for number, seen in enumerate(SEEN):
        pixels = tile(seen, "uint16")
        group = zarr.open_group(tmp_path / f"{number}.zarr", mode="w")
        datasets = []
        for level in range(3):
            group.create_array(str(level), data=pixels)
            steps = [{"type": "scale", "scale": [2.0**level] * 3}]
            datasets.append({"path": str(level), "coordinateTransformations": steps})
            cut = pixels[tuple(slice(0, n // 2 * 2) for n in pixels.shape)].astype(float)
            pixels = cut.reshape(*(v for n in cut.shape for v in (n // 2, 2))).mean((1, 3, 5)).astype("uint16")
        axes = [{"name": a, "type": "space"} for a in "zyx"]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
        place = {"x": 20 * number, "y": 0, "z": 0}
        views.append({"path": str(tmp_path / f"{number}.zarr"), "translation": place, "tile": number})
    job = {"version": 1, "input": {"views": views, "no_data": 0}, "fusion": {"downsampling": 2}}
    assert set(np.unique(fusestack.fuse(job).values)) == {100}


def test_images_have_no_such_value() -> None:
    with pytest.raises(ConfigError, match=r"input\.no_data: only for project and views"):
        fusestack.plan({"version": 1, "input": {"images": "*.png", "no_data": 0}, "output": {"path": "a.png"}})


@pytest.mark.parametrize("value", [0.5, 70000, -1])
def test_a_value_that_pixels_cannot_have_is_said(value: float) -> None:
    with pytest.warns(FusestackWarning, match=rf"no pixel of uint16 is {value:g}, so nothing is left out of 1 view"):
        fusestack.fuse([np.ones((3, 4, 5), "uint16")], no_data=value)
    fusestack.fuse([np.ones((3, 4, 5), "float32")], no_data=0.5)


def test_that_coarser_levels_are_not_read_is_said(tmp_path: Path) -> None:
    """They mix what was recorded with what was not."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    datasets = []
    for level in range(2):
        group.create_array(str(level), data=np.ones([n >> level for n in (8, 16, 16)], np.uint16))
        scale = [{"type": "scale", "scale": [2.0**level] * 3}]
        datasets.append({"path": str(level), "coordinateTransformations": scale})
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}

    def says(no_data: float | None, downsampling: float) -> str:
        view = {"path": str(tmp_path / "a.zarr")}
        config = {
            "input": {"views": [view], "no_data": no_data},
            "fusion": {"downsampling": downsampling},
            "output": {"path": str(tmp_path / "o.ome.zarr")},
        }
        return next(fact for _, fact in input_facts(fusestack.plan(config)) if "1 view" in fact)

    assert says(None, 2).endswith("read at resolution levels [1]")
    assert says(0, 2).endswith("full resolution, since coarser levels mix what was recorded with no_data")
    assert says(0, 1).endswith("full resolution")
