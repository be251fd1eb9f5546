"""The time from one timepoint to the next: from files of every kind into the OME-Zarr that is written, or said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.project.readers import READERS
from fusestack.sources.facts import FactsWanted, ImageFacts, facts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIXELS = np.arange(4 * 2 * 8 * 9, dtype=np.uint16).reshape(4, 2, 8, 9)  # t, z, y, x
ZARR = READERS[".zarr"]


def increment(folder: Path, **more: Any) -> Path:
    path = folder / "a.ome.tif"
    sizes = {f"PhysicalSize{axis}": 1.0 for axis in "XYZ"}
    metadata = {"axes": "TZYX", **sizes, **(more or {"TimeIncrement": 2.5, "TimeIncrementUnit": "min"})}
    tifffile.imwrite(path, PIXELS, ome=True, photometric="minisblack", metadata=metadata)
    return path


def deltas(folder: Path) -> Path:
    times = [150.0 * t + 1 for t in range(4) for _ in range(2)]
    return increment(folder, Plane={"DeltaT": times, "DeltaTUnit": ["s"] * 8})


def imagej(folder: Path, **more: Any) -> Path:
    path = folder / "a.tif"
    metadata = {"axes": "TZYX", **(more or {"finterval": 150.0})}
    tifffile.imwrite(path, PIXELS, imagej=True, metadata=metadata)
    return path


def ngff(folder: Path, unit: str | None = "second", first: float = 0.0) -> Path:
    group = zarr.open_group(folder / "a.ome.zarr", mode="w")
    group.create_array("0", data=PIXELS)
    time = {"name": "t", "type": "time", **({"unit": unit} if unit else {})}
    axes = [time, *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx")]
    steps = [{"type": "scale", "scale": [150, 1, 1, 1]}, {"type": "translation", "translation": [first, 0, 0, 0]}]
    found = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [found]}
    return folder / "a.ome.zarr"


def facts(path: Path) -> ImageFacts:
    return facts_of(FactsWanted(ZARR if path.is_dir() else READERS[".tif"], str(path)))


def config(folder: Path, *views: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"input": {"views": list(views), **more}, "output": {"path": str(folder / "o.ome.zarr")}}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("write", [increment, deltas, imagej, ngff])
def test_the_step_of_files_is_that_of_the_fused_image(
    tmp_path: Path, write: Callable[[Path], Path], version: str
) -> None:
    path = write(tmp_path)
    assert facts(path).time is not None
    assert facts(path).said == () or write is imagej
    wanted = config(tmp_path, {"path": str(path), "voxel_size": 1})
    wanted["output"]["ome_zarr_version"] = version
    plan = fusestack.plan(wanted)
    assert any(fact.startswith("time step: ") for fact in plan.inputs.facts)
    fusestack.run(wanted)
    attributes = dict(zarr.open_group(tmp_path / "o.ome.zarr", mode="r").attrs)
    image = attributes.get("ome", attributes)["multiscales"][0]
    factor = {"minute": 60, "second": 1}[image["axes"][0]["unit"]]
    for level in image["datasets"]:
        scale, shift = level["coordinateTransformations"]
        assert scale["scale"][0] * factor == pytest.approx(150)
        assert shift["translation"][0] == 0
    assert facts(tmp_path / "o.ome.zarr").time == plan.images[0].target.image.time  # and is read again


def test_of_chosen_timepoints_it_is_longer_and_begins_later(tmp_path: Path) -> None:
    path = str(ngff(tmp_path, first=30.0))
    time = fusestack.plan(config(tmp_path, {"path": path}, select={"timepoints": [1, 3]})).images[0].target.image.time
    assert time == (300, "second", 180)
    plan = fusestack.plan(config(tmp_path, {"path": path}, select={"timepoints": [0, 1, 3]}))
    assert plan.images[0].target.image.time is None
    assert any("150 second is not used: the timepoints 0, 1, 3 are not evenly apart" in said for said in plan.warnings)
    one = fusestack.plan(config(tmp_path, {"path": path}, select={"timepoints": [2]}))
    assert one.images[0].target.image.time is None


def test_other_steps_of_other_views_are_said(tmp_path: Path) -> None:
    paths = [increment(tmp_path), imagej(tmp_path, finterval=7.0)]
    views = [{"path": str(path), "translation": n * 5, "voxel_size": 1} for n, path in enumerate(paths)]
    plan = fusestack.plan(config(tmp_path, *views))
    assert plan.images[0].target.image.time == (2.5, "minute", 0)
    assert any("time step is 2.5 minute of a, 7 second of a; the first one is used" in said for said in plan.warnings)


def test_what_is_no_step_is_said(tmp_path: Path) -> None:
    assert "time step of 150 has no unit, and is not used" in facts(ngff(tmp_path, None)).said[0]
    assert "the unit 'frame', which is not known" in facts(ngff(tmp_path, "frame")).said[0]
    assert (
        "the unit 'pixel', which is not known"
        in facts(increment(tmp_path, TimeIncrement=2, TimeIncrementUnit="pixel")).said[0]
    )
    times = [0.0, 0.0, 10.0, 10.0, 40.0, 40.0, 60.0, 60.0]
    uneven = facts(increment(tmp_path, Plane={"DeltaT": times, "DeltaTUnit": ["s"] * 8}))
    assert "its times (DeltaT) are not even: off by up to 10 s" in uneven.said[0]
    assert uneven.time == (20, "second", 0)
    text = tifffile.tiffcomment(imagej(tmp_path, finterval=0.25))
    tifffile.tiffcomment(tmp_path / "a.tif", text.replace("finterval=0.25", "").replace("fps=4.0", "") + "fps=7.0\n")
    assert any("fps of 7.0 is how fast ImageJ plays it" in said for said in facts(tmp_path / "a.tif").said)


def test_formats_without_a_place_for_it_say_so(tmp_path: Path) -> None:
    wanted = config(tmp_path, {"path": str(increment(tmp_path))})
    wanted["output"]["path"] = str(tmp_path / "o.h5")
    assert any("time step of 2.5 minute is not written" in said for said in fusestack.plan(wanted).warnings)


@pytest.mark.parametrize("write", [increment, ngff])
def test_focused_volumes_keep_it(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    plan = fusestack.plan({"focus": {"input": str(path), "output": {"path": str(tmp_path / "f.ome.zarr")}}})
    assert plan.images[0].target.image.time == facts(path).time


@pytest.mark.parametrize("write", [increment, ngff])
def test_lazy_images_have_it_and_it_is_written(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    step = facts(path).time
    assert step is not None
    image = fusestack.fuse([path])
    assert image.attrs["time_step"] == {"value": step.value, "unit": step.unit, "first": 0.0}
    fusestack.write(image.isel(t=[1, 3]), tmp_path / "w.ome.zarr")
    found = facts(tmp_path / "w.ome.zarr").time
    assert found == (2 * step.value, step.unit, step.value)
    assert "time_step" not in fusestack.fuse([path], select={"timepoints": [2]}).attrs
    later = fusestack.fuse([path], select={"timepoints": [1, 3]}, levels=True)["scale0"]["image"]
    assert later.attrs["time_step"] == image.attrs["time_step"]


def test_lazy_focus_keeps_it(tmp_path: Path) -> None:
    path = increment(tmp_path)
    said = {"value": 2.5, "unit": "minute", "first": 0.0}
    assert fusestack.focus_stack(path).attrs["time_step"] == said
    assert fusestack.focus_stack(fusestack.fuse([path])).attrs["time_step"] == said


def test_a_lazy_image_without_a_place_for_it_is_told(tmp_path: Path) -> None:
    image = fusestack.fuse([increment(tmp_path)])
    with pytest.warns(fusestack.FusestackWarning, match=r"time step of 2\.5 minute is not written"):
        fusestack.write(image, tmp_path / "w.h5")
