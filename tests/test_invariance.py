"""The same bytes whatever cuts, moves or interrupts the work."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import fusestack
from fusestack.model.geometry import Box
from tests.small import config, tree


def level(folder: Path, number: int = 0) -> np.ndarray[Any, Any]:
    return np.asarray(zarr.open_array(folder / "fused.ome.zarr" / str(number), mode="r")[:])


@pytest.fixture(scope="module", params=["uint16", "float32"])
def reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, np.ndarray[Any, Any]]:
    """Pixel type, and the image fused in one block."""
    folder = tmp_path_factory.mktemp(request.param)
    fusestack.run(config(folder, request.param, chunks=200, shards="none", pyramid="none"))
    pixels = level(folder)
    assert np.count_nonzero(pixels) > 0.5 * pixels.size
    return request.param, pixels


@pytest.mark.parametrize(
    ("chunks", "shards"),
    [
        ({"x": 7, "y": 9, "z": 5}, "auto"),
        (16, 32),
        ({"x": 64, "y": 3, "z": 11}, "none"),
        (13, {"x": 26, "y": 13, "z": 39}),
    ],
)
def test_chunks_and_shards(
    reference: tuple[str, np.ndarray[Any, Any]], chunks: Any, shards: Any, tmp_path: Path
) -> None:
    dtype, pixels = reference
    fusestack.run(config(tmp_path, dtype, chunks=chunks, shards=shards, pyramid="none"))
    assert level(tmp_path).tobytes() == pixels.tobytes()


def test_schedulers_and_workers(tmp_path: Path) -> None:
    trees = {}
    for scheduler, workers in (("threads", 1), ("threads", 3), ("processes", 2), ("distributed", 2)):
        folder = tmp_path / f"{scheduler}{workers}"
        settings_of_run = [f"execution.scheduler={scheduler}", f"execution.workers={workers}"]
        report = fusestack.run(config(folder), settings_of_run)
        assert [stage.action for stage in report.stages] == ["computed"] * 2
        trees[folder.name] = tree(folder / "fused.ome.zarr")
    first = trees.pop("threads1")
    assert len(first) > 20
    assert all(other == first for other in trees.values())


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_region_and_any_parts(reference: tuple[str, np.ndarray[Any, Any]], data: st.DataObject) -> None:
    dtype, pixels = reference
    # made once per example: the files are the same for the same seed
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        plan = fusestack.plan(config(Path(folder), dtype))
        compute = plan.images[0].fusion.image.compute
        start = [data.draw(st.integers(0, n - 1)) for n in pixels.shape[2:]]
        stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, pixels.shape[2:], strict=True)]
        box = Box((0, 0, *start), (1, 1, *stop))
        small = replace(compute, part_bytes=data.draw(st.sampled_from([1, 20_000, 10**9])))
        found = small(box)
        wanted = pixels[box.slices]
        if found is None:
            assert not wanted.any()
        else:
            assert found.tobytes() == wanted.tobytes()


def test_lazy_image_is_the_written_one(reference: tuple[str, np.ndarray[Any, Any]], tmp_path: Path) -> None:
    dtype, pixels = reference
    views = fusestack.plan(config(tmp_path, dtype)).inputs.views
    image = fusestack.fuse(views)
    assert image.dims == ("t", "c", "z", "y", "x")
    assert image.shape == pixels.shape
    assert image.dtype == pixels.dtype
    assert image.compute().values.tobytes() == pixels.tobytes()
    piece = image.isel(z=slice(3, 17), x=slice(11, 42))
    assert piece.compute().values.tobytes() == np.ascontiguousarray(pixels[:, :, 3:17, :, 11:42]).tobytes()
    np.testing.assert_allclose(np.diff(image.coords["x"]), 1)


def test_levels_are_rounded_means_of_the_stored_level_below(tmp_path: Path) -> None:
    fusestack.run(config(tmp_path, pyramid=[1, {"x": 2, "y": 2, "z": 1}, {"x": 6, "y": 4, "z": 2}]))
    for number, (z, y, x) in ((1, (1, 2, 2)), (2, (2, 2, 3))):
        below, above = level(tmp_path, number - 1)[0, 0], level(tmp_path, number)[0, 0]
        shape = above.shape
        whole = below[: shape[0] * z, : shape[1] * y, : shape[2] * x].astype(float)
        mean = whole.reshape(shape[0], z, shape[1], y, shape[2], x).mean(axis=(1, 3, 5))
        assert shape == tuple(n // f for n, f in zip(below.shape, (z, y, x), strict=True))
        assert (np.abs(above - np.floor(mean + 0.5)) <= (number == 2)).all()  # ties may fall either way for thirds
        assert (above == np.floor(mean + 0.5)).mean() > 0.99


def test_every_level_shows_the_specimen_at_its_place(tmp_path: Path) -> None:
    import tifffile

    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (40, 64, 96)), indexing="ij"), axis=-1)
    blob = 30000 * np.exp(-(((grid - (19.3, 33.1, 50.7)) / (4, 6, 9)) ** 2).sum(axis=-1))
    tifffile.imwrite(tmp_path / "blob.tif", blob.astype(np.uint16))
    place = {"translation": {"x": -7, "y": 12, "z": 3}, "voxel_size": {"x": 0.5, "y": 0.5, "z": 2}, "unit": "um"}
    report = fusestack.run(
        {
            "version": 1,
            "input": {"views": [{"path": str(tmp_path / "blob.tif"), **place}]},
            "output": {"path": str(tmp_path / "fused.ome.zarr"), "pyramid": [1, 2, {"x": 4, "y": 4, "z": 2}, 8]},
        }
    )
    group = zarr.open_group(report.outputs[0], mode="r")
    centres = []
    for dataset in dict(group.attrs)["ome"]["multiscales"][0]["datasets"]:  # type: ignore[index, call-overload]
        pixels = np.asarray(group[dataset["path"]][:])[0, 0].astype(float)  # type: ignore[index]
        scale, translation = (t.get("scale") or t["translation"] for t in dataset["coordinateTransformations"])
        axes = [np.arange(n) * s + o for n, s, o in zip(pixels.shape, scale[2:], translation[2:], strict=True)]
        sums = [pixels.sum(axis=tuple(b for b in range(3) if b != a)) for a in range(3)]
        centres.append([(s * a).sum() / s.sum() for s, a in zip(sums, axes, strict=True)])
    assert len(centres) == 4
    in_pixels = np.array(centres) / (2, 0.5, 0.5)
    np.testing.assert_allclose(in_pixels[0], [22.3, 45.1, 43.7], atol=0.05)
    for one, other in itertools.pairwise(in_pixels):
        np.testing.assert_allclose(one, other, atol=0.05)
