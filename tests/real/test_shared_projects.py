"""Real acquisitions, through the command line: every voxel where truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from fusestack.cli.main import run
from tests.conftest import SHARED

DATA = SHARED / "data"
pytestmark = pytest.mark.beside("data")


def fuse(folder: Path, text: str, *arguments: str) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """Write a configuration, run it, and return level 0 and the OME metadata."""
    config = folder / "fuse.yaml"
    config.write_text(text)
    assert run(["run", str(config), "--quiet", *arguments]) == 0
    group = zarr.open_group(folder / "fused.ome.zarr", mode="r")
    return np.asarray(group["0"][:]), dict(group.attrs)["ome"]  # type: ignore[index]


def placement(ome: dict[str, Any], level: int = 0) -> tuple[list[float], list[float]]:
    scale, translation = ome["multiscales"][0]["datasets"][level]["coordinateTransformations"]
    return scale["scale"], translation["translation"]


TILES = f"""
version: 1
input: {{project: {DATA}/kidney-tiles/dataset.xml}}
fusion: {{preserve_anisotropy: 2.44, dtype: uint16}}
"""


def expected_tiles() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Truth [t, c, z, y, x], and where only the missing view (timepoint 1, channel 1, tile 3) covers."""
    volume = np.load(DATA / "kidney-tiles" / "truth.npz")["volume"]
    truth = np.stack([volume, volume // 2])
    missing = np.zeros(truth.shape, dtype=bool)
    # tiles are 66 x 100 pixels (x, y) at 0 or 45, 72: the others reach x 65 and y 99
    missing[1, 1, :, 100:, 66:] = True
    truth[missing] = 0
    return truth, missing


def test_whole_pixel_tiles_in_every_voxel(tmp_path: Path) -> None:
    pixels, ome = fuse(tmp_path, f"{TILES}output: {{path: fused.ome.zarr}}\n")
    truth, missing = expected_tiles()
    assert missing.sum() == 32 * 72 * 45
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, truth)
    scale, translation = placement(ome)
    np.testing.assert_allclose(scale, [1, 1, 160.1, 65.62, 65.62])
    assert translation == [0, 0, 0, 0, 0]
    axes = ome["multiscales"][0]["axes"]
    assert [(a["name"], a.get("unit")) for a in axes[2:]] == [(axis, "nanometer") for axis in "zyx"]


def test_the_same_in_bdv_hdf5(tmp_path: Path) -> None:
    (tmp_path / "fuse.yaml").write_text(f"{TILES}output: {{path: fused.h5, pyramid: [1, {{x: 2, y: 2, z: 1}}]}}\n")
    assert run(["run", str(tmp_path / "fuse.yaml"), "--quiet"]) == 0
    truth, _ = expected_tiles()
    with h5py.File(tmp_path / "fused.h5") as file:
        for t in range(2):
            for c in range(2):
                np.testing.assert_array_equal(file[f"t{t:05d}/s{c:02d}/0/cells"][:], truth[t, c])
                assert file[f"t{t:05d}/s{c:02d}/1/cells"].shape == (32, 86, 55)
    assert (tmp_path / "fused.xml").exists()


def test_rotated_views_come_close_to_the_truth(tmp_path: Path) -> None:
    text = f"""
version: 1
input: {{project: {DATA}/kidney-angles/dataset.xml}}
fusion: {{bounding_box: core, group_by: all, dtype: float32}}
output: {{path: fused.ome.zarr}}
"""
    pixels, ome = fuse(tmp_path, text)
    truth = np.load(DATA / "kidney-angles" / "truth.npz")["volume"][8:70, 20:110, 10:90].astype(float)
    assert pixels.shape == (1, 1, *truth.shape)
    error = np.mean((pixels[0, 0] - truth) ** 2)
    assert 10 * np.log10(truth.max() ** 2 / error) >= 45
    scale, translation = placement(ome)
    np.testing.assert_allclose(translation[2:], [8, 20, 10], rtol=1e-5)
    np.testing.assert_allclose(scale[2:], 1, rtol=1e-5)


def test_a_published_project(tmp_path: Path) -> None:
    text = f"""
version: 1
input: {{project: {DATA}/kidney/kidney.xml}}
fusion: {{preserve_anisotropy: true}}
output: {{path: fused.ome.zarr}}
"""
    pixels, ome = fuse(tmp_path, text)
    # x is scaled by 1.00026 in the registration, z by 2.43888 with voxels of 2.43824: no pixel more, nothing is there
    assert pixels.shape == (1, 3, 32, 172, 111)
    assert pixels[..., -1].any()
    assert pixels[:, :, -1].any()
    assert [channel["label"] for channel in ome["omero"]["channels"]] == ["0", "1", "2"]
    scale, _ = placement(ome)
    np.testing.assert_allclose(scale[2:], [159.979, 65.6039, 65.6039], rtol=1e-4)
    with h5py.File(DATA / "kidney" / "kidney.h5") as file:
        for c in range(3):
            raw = file[f"t00000/s{c:02d}/0/cells"][:].view(np.uint16).astype(float)
            # the mapping is nearly the identity at the origin
            np.testing.assert_allclose(pixels[0, c, 0, :, 0], raw[0, :, 0], atol=1)
            assert abs(pixels[0, c, :32, :, :111].mean() / raw.mean() - 1) < 0.01
    for channel in ome["omero"]["channels"]:
        window = channel["window"]
        assert 0 < window["start"] < window["end"] < 65535


def test_pixels_of_one_tile_come_out_unchanged(tmp_path: Path) -> None:
    text = f"""
version: 1
input:
  views:
    - {{path: {DATA}/mosaic/tile0.tif}}
    - {{path: {DATA}/mosaic/tile1.tif, translation: {{x: 832, y: 0, z: 0}}}}
output: {{path: fused.ome.zarr}}
"""
    pixels, ome = fuse(tmp_path, text)
    first, second = (tifffile.imread(DATA / "mosaic" / f"tile{i}.tif") for i in (0, 1))
    assert pixels.shape == (1, 1, 1, 624, 1756)
    np.testing.assert_array_equal(pixels[0, 0, 0, :, :832], first[:, :832])
    np.testing.assert_array_equal(pixels[0, 0, 0, :, 924:], second[:, 92:])
    between = pixels[0, 0, 0, :, 832:924]
    assert (between >= np.minimum(first[:, 832:], second[:, :92])).all()
    assert (between <= np.maximum(first[:, 832:], second[:, :92])).all()
    factors = [tuple(placement(ome, level)[0][2:]) for level in range(len(ome["multiscales"][0]["datasets"]))]
    assert factors == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8)]
