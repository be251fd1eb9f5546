"""Views of a configuration: what a file says is used or said, what the configuration says beats it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.config.load import from_mapping
from fusestack.fusion.inputs import Inputs, read_inputs
from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

WORLD = (100 + np.arange(2 * 3 * 20 * 70) * 7919 % 30011).astype(np.uint16).reshape(2, 3, 20, 70)
HALVES = (WORLD[..., :40], WORLD[..., 30:])


def ome(
    path: Path, pixels: np.ndarray, x: float | None = None, step: float = 0.5, unit: str = "µm", **more: Any
) -> None:
    """[c, z, y, x]; x in micrometers, size of a pixel in the unit."""
    planes = pixels.shape[0] * pixels.shape[1]
    place = {} if x is None else {"Plane": {"PositionX": [x] * planes, "PositionXUnit": ["µm"] * planes}}
    sizes = {f"PhysicalSize{axis}": step for axis in "XYZ"} | {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"}
    metadata = {"axes": "CZYX", **sizes, **place, **more}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)


def tiles(folder: Path, *units: str) -> list[str]:
    """Two tiles, the second 30 pixels of half a micrometer right of the first."""
    for number, (pixels, unit) in enumerate(zip(HALVES, units or ("µm", "µm"), strict=True)):
        step = {"µm": 0.5, "nm": 500.0, "furlong": 0.5}[unit]
        ome(folder / f"t{number}.ome.tif", pixels, 1000 + 15.0 * number, step, unit, Channel={"Name": ["DAPI", "GFP"]})
    return [f"t{number}.ome.tif" for number in (0, 1)]


def read(folder: Path, *views: dict[str, Any]) -> Inputs:
    return read_inputs(from_mapping({"input": {"views": list(views)}, "output": {"path": "o.ome.zarr"}}, folder))


def shifts(inputs: Inputs) -> list[float]:
    first = inputs.views[0].pixel_to_world.offset
    return [float(view.pixel_to_world.offset[2] - first[2]) for view in inputs.views]


def test_a_path_alone_is_enough(tmp_path: Path) -> None:
    inputs = read(tmp_path, *({"path": path} for path in tiles(tmp_path)))
    assert [(view.channel, view.channel_name, view.name) for view in inputs.views] == [
        (0, "DAPI", "t0"),
        (1, "GFP", "t0"),
        (0, "DAPI", "t1"),
        (1, "GFP", "t1"),
    ]
    assert shifts(inputs) == [0, 0, 30, 30]
    assert {(view.voxel_size, view.unit) for view in inputs.views} == {((0.5, 0.5, 0.5), "micrometer")}
    assert inputs.warnings == ()
    assert "position: OME-XML of t0.ome.tif and 1 more" in inputs.facts


def test_a_path_is_placed_as_the_same_path_from_python(tmp_path: Path) -> None:
    names = tiles(tmp_path)
    lazy = fusestack.fuse([tmp_path / name for name in names])
    fusestack.run(
        {
            "input": {"views": [{"path": str(tmp_path / name)} for name in names]},
            "output": {"path": str(tmp_path / "o.zarr")},
        }
    )
    stored = zarr.open_group(tmp_path / "o.zarr")
    np.testing.assert_array_equal(np.asarray(stored["0"]), lazy.values)
    np.testing.assert_array_equal(lazy.values[0], WORLD)
    level = stored.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert level[1]["translation"][-1] == float(lazy.x[0]) == 1000


def test_units_of_files_are_converted(tmp_path: Path) -> None:
    inputs = read(tmp_path, *({"path": path} for path in tiles(tmp_path, "µm", "nm")))
    assert shifts(inputs) == [0, 0, 30, 30]
    assert {(view.voxel_size, view.unit) for view in inputs.views} == {((0.5, 0.5, 0.5), "micrometer")}


def test_units_are_converted_from_python_too(tmp_path: Path) -> None:
    image = fusestack.fuse([tmp_path / name for name in tiles(tmp_path, "µm", "nm")])
    np.testing.assert_array_equal(image.values[0], WORLD)
    assert (image.attrs["unit"], float(image.x[1] - image.x[0])) == ("micrometer", 0.5)


def test_units_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    tiles(tmp_path)
    views = [{"path": "t0.ome.tif"}, {"path": "t1.ome.tif", "voxel_size": 1.0, "unit": "furlong"}]
    with pytest.raises(
        InputError, match=r"input\.views\.1: t1\.ome\.tif has its sizes in furlong.*t0\.ome\.tif has .*"
    ):
        read(tmp_path, *views)


@pytest.mark.parametrize(
    "more", [{}, {"translation": {"x": 7, "y": 0, "z": 0}}, {"affine": [1, 0, 0, 7, 0, 1, 0, 0, 0, 0, 1, 0]}]
)
def test_a_unit_alone_converts_what_the_file_says(more: dict[str, Any], tmp_path: Path) -> None:
    name = tiles(tmp_path, "nm", "nm")[0]
    inputs = read(tmp_path, {"path": name, "unit": "micrometer", **more})
    view = inputs.views[0]
    assert (view.voxel_size, view.unit) == ((0.5, 0.5, 0.5), "micrometer")
    assert view.world_origin[2] + 0.5 * view.pixel_to_world.offset[2] == (3.5 if more else 1000)
    assert not any("unit" in warning for warning in inputs.warnings)


def test_a_unit_that_the_one_of_the_file_cannot_become_is_said(tmp_path: Path) -> None:
    tiles(tmp_path, "furlong", "furlong")
    inputs = read(tmp_path, {"path": "t0.ome.tif", "unit": "micrometer"})
    assert inputs.views[0].voxel_size == (0.5, 0.5, 0.5)
    assert "unit is micrometer in the configuration, furlong in the file" in " ".join(inputs.warnings)


def test_a_size_alone_is_in_the_unit_of_the_file(tmp_path: Path) -> None:
    inputs = read(tmp_path, {"path": tiles(tmp_path, "nm", "nm")[0], "voxel_size": 250.0})
    assert (inputs.views[0].voxel_size, inputs.views[0].unit) == ((250, 250, 250), "nanometer")
    assert "250 x 250 x 250 nanometer (xyz) in the configuration, 500 x 500 x 500 nanometer" in inputs.warnings[0]


def test_the_configuration_beats_the_file_and_both_are_said(tmp_path: Path) -> None:
    tiles(tmp_path)
    place = {"translation": {"x": 40, "y": 0, "z": 0}, "voxel_size": 1.0, "unit": "micrometer"}
    inputs = read(tmp_path, {"path": "t0.ome.tif", **place})
    assert inputs.views[0].pixel_to_world.offset.tolist() == [0, 0, 40]
    assert inputs.views[0].voxel_size == (1, 1, 1)
    size, where = sorted(inputs.warnings, reverse=True)
    assert (
        "voxel_size is 1 x 1 x 1 micrometer (xyz) in the configuration, 0.5 x 0.5 x 0.5 micrometer in the file" in size
    )
    assert "its translation is x 40, y 0, z 0 in the configuration, x 1000, y 0, z 0 in the file" in where


def test_the_same_said_twice_is_no_contradiction(tmp_path: Path) -> None:
    tiles(tmp_path)
    inputs = read(tmp_path, {"path": "t0.ome.tif", "voxel_size": 500.0, "unit": "nm"})
    assert inputs.warnings == ()
    assert inputs.views[0].unit == "nm"


def test_channel_and_timepoint_choose_or_rename(tmp_path: Path) -> None:
    pixels = np.arange(3 * 2 * 4 * 5, dtype=np.uint16).reshape(3, 1, 2, 4, 5)
    tifffile.imwrite(tmp_path / "many.tif", pixels, imagej=True, metadata={"axes": "TZCYX"})
    tifffile.imwrite(tmp_path / "one.tif", pixels[0, 0, 0], metadata={"axes": "YX"})
    every = read(tmp_path, {"path": "many.tif"})
    assert [(view.id.timepoint, view.channel) for view in every.views] == [(t, c) for t in range(3) for c in range(2)]
    chosen = read(tmp_path, {"path": "many.tif", "channel": 1, "timepoint": 2})
    assert [(view.id.timepoint, view.channel) for view in chosen.views] == [(2, 1)]
    assert [warning.partition(": ")[2].split(";")[0] for warning in chosen.warnings] == [
        "2 of its 3 timepoints are not used",
        "1 of its 2 channels is not used",
    ]
    renamed = read(tmp_path, {"path": "one.tif", "channel": 1, "timepoint": 7})
    assert [(view.id.timepoint, view.channel) for view in renamed.views] == [(7, 1)]
    assert renamed.warnings == ()
    with pytest.raises(InputError, match=r"input\.views\.0: .*has 2 channels, 0 to 1, and no channel 3"):
        read(tmp_path, {"path": "many.tif", "channel": 3})


def test_channels_of_one_name_are_one_channel(tmp_path: Path) -> None:
    ome(tmp_path / "a.ome.tif", HALVES[0], 0, Channel={"Name": ["DAPI", "GFP"]})
    ome(tmp_path / "b.ome.tif", HALVES[1], 15, Channel={"Name": ["GFP", "RFP"]})
    inputs = read(tmp_path, {"path": "a.ome.tif"}, {"path": "b.ome.tif"})
    assert [(view.channel, view.channel_name) for view in inputs.views] == [
        (0, "DAPI"),
        (1, "GFP"),
        (1, "GFP"),
        (2, "RFP"),
    ]


def test_pixels_of_two_sizes_share_the_finest_world(tmp_path: Path) -> None:
    ome(tmp_path / "a.ome.tif", HALVES[0], 0)
    ome(tmp_path / "b.ome.tif", HALVES[1], 20, step=1.0)
    inputs = read(tmp_path, {"path": "a.ome.tif"}, {"path": "b.ome.tif"})
    assert np.diag(inputs.views[2].pixel_to_world.linear).tolist() == [2, 2, 2]
    assert shifts(inputs) == [0, 0, 40, 40]


def test_a_tile_without_a_place_beside_others(tmp_path: Path) -> None:
    for name, x in (("a", 15), ("b", None), ("c", None)):
        ome(tmp_path / f"{name}.ome.tif", HALVES[0], x)
    paths = [{"path": f"{name}.ome.tif"} for name in "abc"]
    with pytest.raises(InputError, match=r"input\.views\.1: b\.ome\.tif: 2 views lie at the origin.*as others have it"):
        read(tmp_path, *paths)
    (warning,) = read(tmp_path, *paths[1:]).warnings
    assert "b.ome.tif: 2 views lie at the origin, on top of one another" in warning


def test_a_place_without_the_size_of_pixels_is_refused(tmp_path: Path) -> None:
    metadata = {"axes": "YX", "Plane": {"PositionX": [15.0], "PositionXUnit": ["µm"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", HALVES[0][0, 0], metadata=metadata)
    with pytest.raises(InputError, match="says where it is, but not how large its pixels are along x; give voxel_size"):
        read(tmp_path, {"path": "a.ome.tif"})
    inputs = read(tmp_path, {"path": "a.ome.tif", "voxel_size": 0.5, "unit": "um"})
    assert inputs.views[0].world_origin[2] + 0.5 * inputs.views[0].pixel_to_world.offset[2] == 15


def test_colours_of_files_are_those_of_channels(tmp_path: Path) -> None:
    ome(tmp_path / "a.ome.tif", HALVES[0], Channel={"Name": ["a", "b"], "Color": [-16776961, 0x0000FFFF]})
    path = str(tmp_path / "a.ome.tif")
    plan = fusestack.plan({"input": {"views": [{"path": path}]}, "output": {"path": str(tmp_path / "o.ome.zarr")}})
    assert [channel.color for channel in plan.images[0].target.image.channels] == ["FF0000", "0000FF"]
    assert fusestack.fuse(path).attrs["colors"] == ["FF0000", "0000FF"]


def test_files_of_a_set_are_one_image(tmp_path: Path) -> None:
    names = ["a.ome.tif", "b.ome.tif"]
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{n}" for n in (1, 2)]
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for z, (name, uuid) in enumerate(zip(names, uuids, strict=True))
    )
    for name, uuid, plane in zip(names, uuids, WORLD[0], strict=False):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}"><Image ID="Image:0"><Pixels '
            'DimensionOrder="XYZCT" ID="Pixels:0" Type="uint16" SizeX="70" SizeY="20" SizeZ="2" SizeC="1" SizeT="1">'
            f"<Channel/>{planes}</Pixels></Image></OME>"
        )
        tifffile.imwrite(tmp_path / name, plane, description=text, metadata=None)
    (view,) = read(tmp_path, {"path": "b.ome.tif"}).views
    assert view.shape == (2, 20, 70)
    with pytest.raises(InputError, match=r"b\.ome\.tif and a\.ome\.tif are files of one image \(an OME-TIFF set"):
        read(tmp_path, {"path": "a.ome.tif"}, {"path": "b.ome.tif"})


def test_files_of_a_set_that_hold_an_image_each_are_told_apart(tmp_path: Path) -> None:
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{n}" for n in (1, 2)]
    images = "".join(
        f'<Image ID="Image:{n}" Name="p{n}"><Pixels DimensionOrder="XYZCT" ID="Pixels:{n}" Type="uint16" SizeX="70" '
        'SizeY="20" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="1" PhysicalSizeY="1"><Channel/>'
        f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="{n}.ome.tif">{uuid}</UUID></TiffData>'
        f'<Plane TheZ="0" TheC="0" TheT="0" PositionX="{60 * n}" PositionXUnit="µm"/></Pixels></Image>'
        for n, uuid in enumerate(uuids)
    )
    for n, uuid in enumerate(uuids):
        text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">{images}</OME>'
        description = ('<?xml version="1.0" encoding="UTF-8"?>' + text).encode()
        tifffile.imwrite(tmp_path / f"{n}.ome.tif", WORLD[0, n], description=description, metadata=None)
    inputs = read(tmp_path, {"path": "0.ome.tif"}, {"path": "1.ome.tif"})
    assert shifts(inputs) == [0, 60]


def test_what_is_said_of_many_files_is_said_once(tmp_path: Path) -> None:
    for number in range(5):
        metadata = {"axes": "ZYX", "spacing": 2.0 + number}
        tifffile.imwrite(tmp_path / f"{number}.tif", WORLD[0], imagej=True, metadata=metadata)
    views = [{"path": f"{n}.tif", "translation": {"x": n, "y": 0, "z": 0}} for n in range(5)]
    said = read(tmp_path, *views).warnings
    assert [warning.partition(" along z")[0] for warning in said] == [
        f"{n}.tif: its spacing of {2 + n}" for n in range(3)
    ]
    assert said[2].endswith("(3.tif and 1 more: the same with other numbers)")


def test_channels_that_are_not_used_are_said_well_by_well(tmp_path: Path) -> None:
    """Each image of a plate has channels of its own: that another one uses them is no use of them."""
    group = zarr.open_group(tmp_path / "p.zarr", mode="w", zarr_format=2)
    group.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/1"}]}
    for well in ("A/1", "B/1"):
        group.require_group(well).attrs["well"] = {"images": [{"path": "0"}]}
        image = group.require_group(f"{well}/0")
        image.create_array("0", data=WORLD, chunks=(1, 3, 20, 70))
        axes = [{"name": "c", "type": "channel"}, *({"name": axis, "type": "space"} for axis in "zyx")]
        place = [{"type": "scale", "scale": [1, 1, 1, 1]}]
        datasets = [{"path": "0", "coordinateTransformations": place}]
        image.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    inputs = read(
        tmp_path,
        {"path": "p.zarr", "series": 0, "channel": 0, "translation": {"x": 0, "y": 0, "z": 0}},
        {"path": "p.zarr", "series": 1, "channel": 1, "translation": {"x": 90, "y": 0, "z": 0}},
    )
    assert any("1 of its 2 channels is not used" in warning for warning in inputs.warnings)


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        ome(tmp_path / folder / "t.ome.tif", WORLD, 1000.0 if folder == "a" else 1040.0)
    inputs = read(tmp_path, {"path": "a/t.ome.tif"}, {"path": "b/t.ome.tif", "channel": 0})
    assert "position: OME-XML of a/t.ome.tif and 1 more" in inputs.facts
    assert any(warning.startswith("b/t.ome.tif: 1 of its 2 channels") for warning in inputs.warnings)


def test_numbers_of_each_file_are_said(tmp_path: Path) -> None:
    """Sentences that differ in their numbers are said one by one, a few of them."""
    for number in range(6):
        ome(tmp_path / f"{number}.ome.tif", WORLD, 1000.0 + 40 * number, 0.5 + number / 10)
    size = {"x": 0.4, "y": 0.4, "z": 0.4}
    views = [{"path": f"{n}.ome.tif", "voxel_size": size, "unit": "micrometer"} for n in range(6)]
    said = [warning for warning in read(tmp_path, *views).warnings if "voxel_size is" in warning]
    assert [warning.partition(":")[0] for warning in said] == ["0.ome.tif", "1.ome.tif", "2.ome.tif"]
    assert ["0.5 x 0.5 x 0.5" in said[0], "0.6 x 0.6 x 0.6" in said[1]] == [True, True]
    assert said[2].endswith("(3.ome.tif and 2 more: the same with other numbers)")
