"""Stacks in TIFF files that name their axes: timepoints, channels, planes and their distance are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.config.load import from_mapping
from fusestack.focus.input import stack_inputs
from fusestack.model.errors import ConfigError, InputError
from fusestack.model.geometry import Box
from fusestack.planning.plan import Plan
from tests.focus.stacks import scene

STACK = np.floor(scene((48, 60), 5, colours=1)[0][..., 0] * 60000).astype(np.uint16)
CHANNELS = np.stack([STACK, STACK[:, ::-1]], axis=1)  # z, c, y, x


def planned(path: Path, **focus: Any) -> Plan:
    output = {"path": str(path.parent / "o.ome.zarr"), **focus.pop("output", {})}
    return fusestack.plan({"version": 1, "focus": {"input": str(path), **focus, "output": output}})


def imagej(path: Path, pixels: Any, axes: str, **more: Any) -> None:
    facts = {"axes": axes, "spacing": 2.0, "unit": "um", **more}
    tifffile.imwrite(path, pixels, imagej=True, resolution=(4, 4), metadata=facts)


def ome(path: Path, pixels: Any, axes: str, **more: Any) -> None:
    facts = {"axes": axes, "PhysicalSizeZ": 2000, "PhysicalSizeZUnit": "nm", **more}
    facts |= {f"PhysicalSize{axis}{unit}": said for axis in "XY" for unit, said in (("", 250), ("Unit", "nm"))}
    tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata=facts)


@pytest.mark.parametrize(
    ("write", "axes", "suffix", "more"),
    [
        (imagej, "ZCYX", ".tif", {}),
        (imagej, "TZCYX", ".tif", {}),
        (ome, "CZYX", ".ome.tif", {"Channel": {"Name": ["DAPI", "GFP"]}}),
        (ome, "ZCYX", ".ome.tif", {}),
        (ome, "TCZYX", ".ome.tif", {}),
        (ome, "ZTCYX", ".ome.tif", {}),
    ],
)
def test_axes_spacing_and_channels_are_kept(write: Any, axes: str, suffix: str, more: Any, tmp_path: Path) -> None:
    pixels = np.stack([CHANNELS, CHANNELS // 2]) if "T" in axes else CHANNELS[None]  # t, z, c, y, x
    order = ["TZCYX".index(axis) for axis in ("" if "T" in axes else "T") + axes]
    stored = pixels.transpose(order)
    write(tmp_path / f"a{suffix}", stored if "T" in axes else stored[0], axes, **more)
    plan = planned(tmp_path / f"a{suffix}", output={"height": str(tmp_path / "h.ome.zarr")})
    spec = plan.images[0].target.image
    assert spec.shape == (len(pixels), 2, 1, 48, 60)
    assert spec.unit == "micrometer"
    assert spec.pixel_size == pytest.approx((2, 0.25, 0.25))
    assert [channel.name for channel in spec.channels] == more.get("Channel", {}).get(
        "Name", ["channel 0", "channel 1"]
    )
    loaded = from_mapping({"version": 1, "focus": {"input": str(tmp_path / f"a{suffix}")}})
    assert loaded.config.focus is not None
    (one,) = stack_inputs(loaded, loaded.config.focus, [])
    found = one.slices(Box.of_shape(one.shape))
    np.testing.assert_array_equal(found, pixels.transpose(0, 2, 1, 3, 4))


def test_each_channel_is_focused_by_itself_in_micrometers(tmp_path: Path) -> None:
    stack, _, depth = scene((48, 60), 5, colours=1)
    grey = np.floor(stack[..., 0] * 60000).astype(np.uint16)
    imagej(tmp_path / "a.tif", np.stack([grey, grey[::-1]], axis=1), "ZCYX")
    found = fusestack.focus_stack(tmp_path / "a.tif")
    assert found.image.dims == ("t", "c", "y", "x")
    assert found.attrs["unit"] == "micrometer"
    for channel, right in enumerate((depth, 4 - depth)):
        assert np.nanmean(abs(found.height[0, channel] - 2 * right)) < 1
    one = fusestack.focus_stack(tmp_path / "a.tif", reference_channel=0)
    assert one.depth.shape == (1, 48, 60)
    assert one.image.shape == (1, 2, 48, 60)
    listed = fusestack.focus_stack([tmp_path / "a.tif"])
    np.testing.assert_array_equal(listed.image, found.image)


def test_axis_is_honoured_or_refused(tmp_path: Path) -> None:
    imagej(tmp_path / "a.tif", CHANNELS, "ZCYX")
    spec = planned(tmp_path / "a.tif", axis="y").images[0].target.image
    assert spec.shape == (1, 2, 1, 5, 60)
    tifffile.imwrite(tmp_path / "b.tif", STACK)
    for key, value in (("axis", "x"), ("reference_channel", 0)):
        with pytest.raises(ConfigError, match=rf"focus.{key}.*: photographs have slices and colours"):
            planned(tmp_path / "b.tif", **{key: value})


def test_pages_without_names_are_slices(tmp_path: Path) -> None:
    for big in (False, True):
        tifffile.imwrite(tmp_path / "b.tif", STACK, metadata=None, bigtiff=big)
        assert "5 pictures" in planned(tmp_path / "b.tif").source
    imagej(tmp_path / "c.tif", CHANNELS, "ZCYX")
    with tifffile.TiffWriter(tmp_path / "big.tif", bigtiff=True, ome=True) as file:
        file.write(CHANNELS, metadata={"axes": "ZCYX"}, photometric="minisblack")
    assert planned(tmp_path / "big.tif").images[0].target.image.shape[1] == 2


def test_planes_in_colour(tmp_path: Path) -> None:
    colour = np.stack([STACK // 256] * 3, axis=-1).astype(np.uint8)
    imagej(tmp_path / "rgb.tif", colour, "ZYXS")
    plan = planned(tmp_path / "rgb.tif", output={"height": str(tmp_path / "h.tif")})
    assert "5 pictures" in plan.source
    assert plan.images[1].stages[0].compute.function.step == 2.0
    both = np.stack([colour, colour])
    imagej(tmp_path / "two.tif", both, "TZYXS")
    with pytest.raises(InputError, match="holds pictures in colour of 2 timepoints and 5 planes"):
        planned(tmp_path / "two.tif")


@pytest.mark.parametrize(("axes", "what"), [("TYX", "5 timepoints"), ("CYX", "5 channels")])
def test_a_stack_along_another_axis_is_told(axes: str, what: str, tmp_path: Path) -> None:
    ome(tmp_path / "a.ome.tif", STACK, axes)
    plan = planned(tmp_path / "a.ome.tif")
    assert f"has no z axis; its {what} are taken for slices" in plan.warnings[0]
    assert "5 pictures" in plan.source


def test_what_is_no_stack_is_refused(tmp_path: Path) -> None:
    imagej(tmp_path / "tc.tif", CHANNELS.reshape(5, 2, 48, 60), "TCYX")
    with pytest.raises(InputError, match="no z axis, but of 5 timepoints and 2 channels"):
        planned(tmp_path / "tc.tif")
    for name in ("p1.tif", "p2.tif"):
        imagej(tmp_path / name, CHANNELS, "ZCYX")
    with pytest.raises(InputError, match="holds 5 planes and 2 channels, and is one of 2 files"):
        planned(tmp_path / "p*.tif")
    with tifffile.TiffWriter(tmp_path / "series.ome.tif", ome=True) as file:
        for _ in range(2):
            file.write(STACK, metadata={"axes": "ZYX"}, photometric="minisblack")
    with pytest.raises(InputError, match=r"holds 2 images \(series\).*input.views"):
        planned(tmp_path / "series.ome.tif")


def test_labels_beside_a_stack_are_told(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(CHANNELS, metadata={"axes": "ZCYX"}, photometric="minisblack")
        file.write(STACK[0, :16, :16], metadata={"axes": "YX"}, photometric="minisblack")
    plan = planned(tmp_path / "a.ome.tif")
    assert plan.images[0].target.image.shape == (1, 2, 1, 48, 60)
    assert any("1 smaller image is not used" in warning for warning in plan.warnings)


def test_several_files_of_pages_are_told(tmp_path: Path) -> None:
    for number, name in enumerate(("p1.tif", "p2.tif")):
        tifffile.imwrite(tmp_path / name, STACK[number : number + 2], metadata=None)
    plan = planned(tmp_path / "p*.tif")
    assert "4 pictures" in plan.source
    assert (
        "holds 2 pages, and is one of 2 files; every page is taken for a slice, file by file: 4 slices"
        in plan.warnings[0]
    )


def test_unknown_distances_are_told(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", CHANNELS, imagej=True, resolution=(4, 4), metadata={"axes": "ZCYX", "unit": "um"}
    )
    plan = planned(tmp_path / "a.tif")
    assert plan.images[0].target.image.unit is None
    assert "does not say how far its planes are apart" in plan.warnings[0]
