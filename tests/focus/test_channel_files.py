"""Stacks whose channels are files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.model.errors import InputError
from tests.focus.test_hyperstacks import STACK, imagej, ome

OTHER = STACK[:, ::-1].copy()


def planned(folder: Path, images: Any, **focus: Any) -> fusestack.planner.Plan:
    output = {"path": str(folder / "o.ome.zarr")}
    config = {"version": 1, "input": {"images": images}, "focus": {**focus, "output": output}}
    return fusestack.plan(config)


@pytest.mark.parametrize(
    "names",
    [
        ("s_C0.tif", "s_C1.tif"),
        ("C1-s.tif", "C2-s.tif"),
        ("s_ch02.tif", "s_ch10.tif"),
        ("s channel=1.tif", "s channel=2.tif"),
    ],
)
def test_files_that_are_called_channels(names: tuple[str, str], tmp_path: Path) -> None:
    for name, pixels in zip(names, (STACK, OTHER), strict=True):
        imagej(tmp_path / name, pixels, "ZYX")
    for images in (str(tmp_path / "*.tif"), [str(tmp_path / name) for name in names[::-1]]):
        plan = planned(tmp_path, images)
        spec = plan.images[0].target.image
        assert spec.shape == (1, 2, 1, 48, 60)
        assert spec.pixel_size == pytest.approx((2, 0.25, 0.25))
        assert [channel.name for channel in spec.channels] == [name.split(".")[0] for name in names]
        assert any("are taken for channels of one stack, as they are called" in one for one in plan.warnings)
    assert len(plan.samples) == 2
    with pytest.warns(fusestack.FusestackWarning, match="taken for channels"):
        both = fusestack.focus_stack([tmp_path / name for name in names], options="--blur=s1,S2")
    for channel, name in enumerate(names):
        alone = fusestack.focus_stack(tmp_path / name, options="--blur=s1,S2")
        assert (both.image.values[0, channel] == alone.image.values.reshape(48, 60)).all()


def test_pages_without_axes_are_no_channels(tmp_path: Path) -> None:
    for number, name in enumerate(("s_C0.tif", "s_C1.tif")):
        tifffile.imwrite(tmp_path / name, STACK + number, photometric="minisblack", metadata=None)
    (warning,) = planned(tmp_path, str(tmp_path / "*.tif")).warnings
    assert "file by file: 10 slices; files that are called channels are such where they name their axes" in warning


def test_what_was_taken_from_where(tmp_path: Path) -> None:
    place = {"PositionX": [7.0] * 5, "PositionXUnit": ["µm"] * 5}
    ome(tmp_path / "a.ome.tif", STACK, "ZYX", Channel={"Name": ["DAPI"]}, Plane=place)
    plan = planned(tmp_path, str(tmp_path / "a.ome.tif"))
    assert plan.found == ("voxel size: OME-XML", "channel names: OME-XML")
    assert any("a.ome.tif: its position is not used" in one for one in plan.warnings)


def test_names_of_channels_that_files_say(tmp_path: Path) -> None:
    for number, (name, pixels) in enumerate((("DAPI", STACK), ("GFP", OTHER))):
        ome(tmp_path / f"s_c{number}.ome.tif", pixels, "ZYX", Channel={"Name": [name]})
    plan = planned(tmp_path, str(tmp_path / "*.tif"), reference_channel=1)
    assert [channel.name for channel in plan.images[0].target.image.channels] == ["DAPI", "GFP"]


@pytest.mark.parametrize(
    ("pixels", "more", "said"),
    [
        (OTHER[:4], {}, "has 60 x 48 x 4 pixels (xyz) at 1 timepoints where that has 60 x 48 x 5"),
        ((OTHER // 256).astype(np.uint8), {}, "has pixels uint8 where that has pixels uint16"),
        (OTHER, {"spacing": 3.0}, "has pixels of 0.25 x 0.25 x 3 micrometer where that has pixels of 0.25 x 0.25 x 2"),
    ],
)
def test_channels_that_do_not_fit(pixels: Any, more: dict[str, Any], said: str, tmp_path: Path) -> None:
    imagej(tmp_path / "s_C0.tif", STACK, "ZYX")
    imagej(tmp_path / "s_C1.tif", pixels, "ZYX", **more)
    with pytest.raises(InputError) as caught:
        planned(tmp_path, str(tmp_path / "*.tif"))
    assert said in str(caught.value)
    assert "s_C1.tif: is called a channel beside s_C0.tif" in str(caught.value)


@pytest.mark.parametrize(
    "names", [("a.tif", "b.tif"), ("s_z0.tif", "s_z1.tif"), ("s_C0.tif", "t_C1.tif"), ("pic0.tif", "pic1.tif")]
)
def test_what_is_not_said_is_refused(names: tuple[str, str], tmp_path: Path) -> None:
    for name in names:
        imagej(tmp_path / name, STACK, "ZYX")
    with pytest.raises(InputError, match=r"one for each channel, called so \(stack_C0.tif, stack_C1.tif\)"):
        planned(tmp_path, str(tmp_path / "*.tif"))
