"""`fusestack.write` of planes and colours: pictures that other programs read, and channels of an OME-Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import tifffile
import xarray
import zarr
from PIL import Image

import fusestack
from fusestack.model.errors import FusestackError, FusestackWarning, OutputError
from tests.small import config

RNG = np.random.default_rng(3)
COLOURS = RNG.integers(0, 256, (70, 90, 4)).astype(np.uint8)
DEEP = RNG.integers(0, 60000, (70, 90, 3)).astype(np.uint16)


def plane(pixels: Any, colour: str | None = "colour", **more: Any) -> xarray.DataArray:
    return xarray.DataArray(pixels, dims=("y", "x", *([colour] if colour else [])), **more)


def read(path: Path) -> np.ndarray[Any, Any]:
    """By a reader that is not ours."""
    if path.suffix == ".tif":
        return np.asarray(tifffile.imread(path))
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_planes_and_colours_are_pictures(suffix: str, count: int, tmp_path: Path) -> None:
    pixels = COLOURS[..., 0] if count == 0 else COLOURS[..., :count]
    path = tmp_path / f"a{suffix}"
    report = fusestack.write(plane(pixels, "rgba" if count else None), path)
    assert [stage.stage for stage in report.stages] == ["write"]
    expected = pixels[..., 0] if count == 1 else pixels
    assert np.array_equal(read(path), expected)
    fusestack.write(pixels, tmp_path / f"b{suffix}")
    assert np.array_equal(read(tmp_path / f"b{suffix}"), expected)
    lazy = plane(dask.array.from_array(pixels, chunks=33), "Color" if count else None)
    fusestack.write(lazy, tmp_path / f"c{suffix}")
    assert np.array_equal(read(tmp_path / f"c{suffix}"), expected)
    assert fusestack.write(lazy, tmp_path / f"c{suffix}").reused_all


def test_types_and_axes_in_any_order(tmp_path: Path) -> None:
    fusestack.write(plane(DEEP).transpose("colour", "x", "y"), tmp_path / "deep.tif")
    assert np.array_equal(read(tmp_path / "deep.tif"), DEEP)
    fusestack.write(DEEP[..., 0], tmp_path / "deep.png")
    assert np.array_equal(read(tmp_path / "deep.png"), DEEP[..., 0])
    floats = RNG.random((1100, 90), np.float32)
    fusestack.write(floats, tmp_path / "floats.tif")
    assert np.array_equal(read(tmp_path / "floats.tif"), floats)
    smooth = np.add.outer(np.arange(70), np.arange(90)).astype(np.uint8)
    fusestack.write(smooth, tmp_path / "smooth.jpg")
    assert np.abs(read(tmp_path / "smooth.jpg").astype(int) - smooth).max() <= 2


def test_channels_are_pages(tmp_path: Path) -> None:
    stack = RNG.integers(0, 9999, (5, 70, 90)).astype(np.uint16)
    channels = xarray.DataArray(stack, dims=("c", "y", "x"), coords={"c": list("vwxyz")})
    with pytest.warns(FusestackWarning, match="does not hold the names of channels"):
        fusestack.write(channels, tmp_path / "channels.tif")
    assert np.array_equal(read(tmp_path / "channels.tif"), stack)
    assert "does not hold the names of channels of the image" in (tmp_path / "channels.tif.run.json").read_text()
    with pytest.raises(FusestackError, match=r"a PNG holds one picture, not 5; choose the suffix .tif"):
        fusestack.write(channels, tmp_path / "channels.png")


@pytest.mark.parametrize("named", [True, False])
def test_a_volume_is_a_stack_with_its_calibration(tmp_path: Path, named: bool) -> None:
    stack = RNG.integers(0, 9999, (5, 70, 90)).astype(np.uint16)
    image: Any = dask.array.from_array(stack, chunks=(2, 40, 40))
    if named:
        image = xarray.DataArray(image, dims=("z", "y", "x"), name="mouse", coords={"z": np.arange(5) * 3.0 + 6})
    facts: dict[str, Any] = {"voxel_size": {"x": 0.5, "y": 0.25, "z": 3}, "unit": "um"}
    fusestack.write(image, tmp_path / "a.tif", **facts)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page, found = tiff.pages[0], tiff.imagej_metadata
        assert np.array_equal(tiff.asarray(), stack)
        assert (found["spacing"], found["unit"]) == (3, "micron")
        assert found["zorigin"] == (-2 if named else 0)
        sizes = [page.tags[f"{axis}Resolution"].value for axis in "XY"]  # type: ignore[union-attr]
    assert [b / a for a, b in sizes] == [0.5, 0.25]
    assert fusestack.write(image, tmp_path / "a.tif", **facts).reused_all
    fusestack.write(image, tmp_path / "a.ome.tif", levels=[1, {"x": 2, "y": 2, "z": 1}], **facts)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert [level.shape for level in tiff.series[0].levels] == [(5, 70, 90), (5, 35, 45)]
        assert 'PhysicalSizeZ="3.0"' in (tiff.ome_metadata or "")


def test_what_a_stack_does_not_hold_is_said(tmp_path: Path) -> None:
    image = xarray.DataArray(np.ones((3, 8, 9), "u1"), dims=("z", "y", "x"), coords={"c": "GFP", "x": np.arange(9) / 2})
    with pytest.warns(FusestackWarning, match=r"a.ome.tif does not hold the size of a pixel of the image"):
        fusestack.write(image, tmp_path / "a.ome.tif")
    with pytest.warns(FusestackWarning, match=r"a.tif does not hold the name of the channel of the image"):
        fusestack.write(image.expand_dims("c"), tmp_path / "a.tif")


def test_the_size_of_pixels_is_the_resolution(tmp_path: Path) -> None:
    fusestack.write(COLOURS[..., :3], tmp_path / "a.png", voxel_size=254, unit="micrometer")
    with Image.open(tmp_path / "a.png") as picture:
        found = picture.info["dpi"]
    assert found == pytest.approx((100, 100), abs=0.1)
    assert "does not hold" not in (tmp_path / "a.png.run.json").read_text()


def test_colours_are_channels_of_an_ome_zarr(tmp_path: Path) -> None:
    image = plane(COLOURS, coords={"colour": list("RGBA")})
    fusestack.write(image, tmp_path / "a.ome.zarr", levels="none")
    group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r")
    assert np.array_equal(np.asarray(group["0"])[0, :, 0], np.moveaxis(COLOURS, -1, 0))
    channels = group.attrs["ome"]["omero"]["channels"]  # type: ignore[index, call-overload]
    assert [(c["label"], c["color"]) for c in channels] == [
        ("R", "FF0000"),
        ("G", "00FF00"),
        ("B", "0000FF"),
        ("A", "000000"),
    ]
    assert "not written" not in (tmp_path / "a.ome.zarr.run.json").read_text()


def test_what_focus_stack_gives_of_photographs(tmp_path: Path) -> None:
    found = fusestack.focus_stack(dask.array.from_array(RNG.integers(0, 255, (3, 64, 80, 3)).astype(np.uint8)))
    sharp = found.image.compute().to_numpy()
    fusestack.write(found.image, tmp_path / "sharp.ome.zarr")
    assert np.array_equal(
        np.asarray(zarr.open_group(str(tmp_path / "sharp.ome.zarr"), mode="r")["0"])[0, :, 0], np.moveaxis(sharp, -1, 0)
    )
    fusestack.write(found.image, tmp_path / "sharp.png")
    assert np.array_equal(read(tmp_path / "sharp.png"), sharp)
    assert fusestack.write(found.image, tmp_path / "sharp.png").reused_all
    fusestack.write(found.mask, tmp_path / "mask.tif")
    assert np.array_equal(read(tmp_path / "mask.tif"), found.mask.compute())
    with pytest.raises(FusestackError, match=r"Dataset of several images \(image, mask, depth.*write\(found.image"):
        fusestack.write(found, tmp_path / "all.png")


@pytest.mark.filterwarnings("ignore::fusestack.model.errors.FusestackWarning")
def test_a_plane_that_fuse_made(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings["input"]["views"] = [
        {"array": tifffile.imread(view["path"])[7], "translation": {"x": 30.4 * number, "y": 0.3, "z": 0}}
        for number, view in enumerate(settings["input"]["views"])
    ]
    image = fusestack.fuse(settings)
    report = fusestack.write(image, tmp_path / "fused.tif")
    assert [stage.stage for stage in report.stages] == ["fuse"]
    assert np.array_equal(read(tmp_path / "fused.tif"), image.to_numpy()[0, 0, 0])


def test_another_picture_in_the_same_place_is_refused_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    fusestack.write(COLOURS, path)
    with pytest.raises(OutputError, match=r"the input image has changed.*overwrite=True"):
        fusestack.write(COLOURS[::-1], path)
    assert np.array_equal(read(path), COLOURS)
    fusestack.write(COLOURS[::-1], path, overwrite=True)
    assert np.array_equal(read(path), COLOURS[::-1])


BAD: dict[str, tuple[Any, str, dict[str, Any], str]] = {
    "float png": (np.zeros((4, 4), "f4"), ".png", {}, "does not hold float32; choose the suffix .tif, or a dtype of"),
    "deep jpeg": (DEEP, ".jpg", {}, "does not hold uint16; choose the suffix .tif, or a dtype of uint8"),
    "signed": (np.zeros((4, 4), "i2"), ".png", {}, "does not hold int16; choose the suffix .tif"),
    "opacity": (COLOURS, ".jpg", {}, "does not hold 4 colours .*choose the suffix .tif or .png"),
    "times": (plane(DEEP).expand_dims(t=2), ".tif", {}, "holds one timepoint"),
    "volume of channels": (xarray.DataArray(np.zeros((2, 3, 4, 5), "u1"), dims=list("czyx")), ".tif", {}, "isel"),
    "order": (plane(DEEP, coords={"colour": list("BGR")}), ".png", {}, r"colours are B, G, R.*image.sel"),
    "unnamed volume": (np.zeros((2, 70, 90), "u1"), ".png", {}, r"give an array \[y, x\]"),
    "levels of a stack": (np.zeros((2, 70, 90), "u1"), ".tif", {"levels": [1, 2]}, "ImageJ's TIFF has one level"),
    "project of a stack": (np.zeros((2, 70, 90), "u1"), ".tif", {"project": "a.xml"}, "the format bdv-tiff"),
    "levels": (DEEP, ".tif", {"levels": [1, 2]}, "a picture has one level"),
    "chunks": (DEEP, ".tif", {"chunks": 64}, "chunks: .*has no such option; leave it out"),
    "six colours": (plane(np.zeros((4, 4, 6), "u1")), ".tif", {}, r'rename\(colour="c"\)'),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_a_picture_does_not_hold_has_a_way_out(case: str, tmp_path: Path) -> None:
    image, suffix, options, says = BAD[case]
    with pytest.raises(FusestackError, match=says):
        fusestack.write(image, tmp_path / f"a{suffix}", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="pictures need a local path"):
        fusestack.write(COLOURS, "memory://pictures/a.png")
