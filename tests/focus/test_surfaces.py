"""The depth as heights in physical units, and as a mesh."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import fusestack
from fusestack.focus import blocks
from fusestack.focus.surfaces import corner_step, middles
from fusestack.model.errors import ConfigError
from tests.focus.stacks import config, run, scene, write

SHAPE = (64, 90)


def volume(folder: Path, times: int = 1, channels: int = 1) -> str:
    """Slices 5 um apart from 100 um on, pixels of 0.5 um from (20, -30) on."""
    stack = np.moveaxis(scene(SHAPE, 5, 1)[0], -1, 0)[0] * 4000
    stack[:, :20, :30] = 0  # where nothing is ever sharp
    group = zarr.open_group(folder / "volume.ome.zarr", mode="w")
    shape = (times, channels, *stack.shape)
    array = group.create_array("0", shape=shape, chunks=(1, 1, 5, 64, 64), dtype="uint16")
    array[:] = np.broadcast_to(stack, shape)
    axes = [{"name": name, **({"unit": "micrometer"} if name in "zyx" else {})} for name in "tczyx"]
    places = [
        {"type": "scale", "scale": [1, 1, 5, 0.5, 0.5]},
        {"type": "translation", "translation": [0, 0, 100, 20, -30]},
    ]
    scales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": places}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    return str(folder / "volume.ome.zarr")


def made(source: str, folder: Path, **focus: Any) -> tuple[NDArray[np.float32], Any, Any]:
    """Heights, mesh and plan; masks leave open where nothing is sharp."""
    output = {"path": "sharp.ome.zarr", "height": "height.tif", "mesh": "mesh.ply"} | focus.pop("output", {})
    output = {key: str(folder / value) if isinstance(value, str) else value for key, value in output.items()}
    options = {"options": "--statistic=r4 --cutthreshold=t20 --finalthreshold=t20", **focus}
    plan = fusestack.plan({"version": 1, "focus": {"input": source, "output": output, **options}})
    fusestack.run(plan)
    return tifffile.imread(output["height"]), meshio.read(output["mesh"]), plan


def test_a_mesh_is_the_heights_in_physical_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = volume(tmp_path)
    heights, mesh, _ = made(source, tmp_path / "whole")
    known = np.isfinite(heights)
    assert 0.1 < known.mean() < 0.95
    rows, columns = np.nonzero(known)
    assert np.allclose(mesh.points, np.stack([-30 + 0.5 * columns, 20 + 0.5 * rows, heights[known]], axis=1), atol=1e-5)
    assert heights[known].min() >= 100
    assert heights[known].max() <= 120
    with tifffile.TiffFile(tmp_path / "whole" / "height.tif") as tiff:
        assert tiff.is_imagej
        assert tiff.imagej_metadata["unit"] == "micron"
        assert [tiff.imagej_metadata[f"{axis}origin"] for axis in "xy"] == [60, -40]
        assert (tiff.pages[0].dtype, tiff.pages[0].compression) == (np.float32, 1)
    monkeypatch.setattr(blocks, "BLOCK", 32)
    made(source, tmp_path / "blocks")
    one, two = ((tmp_path / name / "mesh.ply").read_bytes() for name in ("whole", "blocks"))
    assert one == two


def test_few_corners_are_medians_of_squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = volume(tmp_path)
    heights, mesh, plan = made(source, tmp_path / "few", output={"mesh_corners": 400})
    assert "surface of 22 x 16 corners at most, one every 2 x 2 micrometer (xy)" in str(plan)
    squares = heights.reshape(16, 4, -1)[:, :, : 22 * 4].reshape(16, 4, 22, 4).swapaxes(1, 2).reshape(16, 22, 16)
    expected = [
        (-30 + 0.5 * (4 * x + 1.5), 20 + 0.5 * (4 * y + 1.5), np.sort(values[np.isfinite(values)])[(n - 1) // 2])
        for (y, x), values in ((at, squares[at]) for at in np.ndindex(16, 22))
        if (n := int(np.isfinite(values).sum())) >= 8
    ]
    assert np.allclose(mesh.points, expected, atol=1e-5)
    # the first slice is in front, so the outside looks to smaller z
    a, b, c = (mesh.points[mesh.cells_dict["triangle"][:, i]] for i in range(3))
    assert (np.cross(b - a, c - a)[:, 2] < 0).all()
    _, back, _ = made(source, tmp_path / "back", output={"mesh_corners": 400}, reverse=True)
    a, b, c = (back.points[back.cells_dict["triangle"][:, i]] for i in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_a_mesh_is_a_file_beside_arrays(tmp_path: Path) -> None:
    found = fusestack.focus_stack(volume(tmp_path), output={"mesh": str(tmp_path / "mesh.stl"), "mesh_corners": 400})
    assert "height" in found
    assert "mesh" not in found
    assert len(meshio.read(tmp_path / "mesh.stl").points) > 100


def test_a_mesh_is_made_once(tmp_path: Path) -> None:
    source = volume(tmp_path)
    _, _, plan = made(source, tmp_path)
    assert fusestack.run(plan).reused_all


@pytest.mark.parametrize(
    ("times", "channels", "said"), [(1, 2, "a mesh is one surface, the stack has 2"), (2, 1, "holds one timepoint")]
)
def test_a_mesh_is_one_surface(times: int, channels: int, said: str, tmp_path: Path) -> None:
    source = volume(tmp_path, times, channels)
    with pytest.raises(ConfigError, match=said):
        made(source, tmp_path, output={"height": "height.ome.zarr"})


def test_what_cannot_be_a_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path / "in", scene(SHAPE, 3)[0])
    thin = write(tmp_path / "thin", scene((4, 90), 3)[0])
    with pytest.raises(ConfigError, match="30 x 1 corners are no surface; raise mesh_corners"):
        fusestack.plan(config(thin, tmp_path, output={"mesh": "a.ply", "mesh_corners": 50}))
    with pytest.raises(ConfigError, match=r"focus\.output\.mesh: 'a\.obj' is no mesh; use one of \.ply, \.stl"):
        fusestack.plan(config(paths, tmp_path, output={"mesh": "a.obj"}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"focus\.output\.mesh: needs trimesh; .* pip install 'fusestack\[mesh\]'"):
        fusestack.plan(config(paths, tmp_path, output={"mesh": "a.ply"}))


def test_photographs_say_no_sizes(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene(SHAPE, 3)[0])
    plan, _ = run(paths, tmp_path, output={"mesh": str(tmp_path / "a.stl"), "mesh_corners": 100})
    assert "photographs say neither the size of a pixel nor their distance" in plan.warnings[0]
    mesh = meshio.read(tmp_path / "a.stl")
    assert mesh.points[:, 2].max() <= 2
    assert mesh.points[:, 0].max() < SHAPE[1]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(4, 1000))
def test_corners_are_as_many_as_allowed(height: int, width: int, most: int) -> None:
    step = corner_step((height, width), most)
    assert (height // step) * (width // step) <= most
    assert step == 1 or (height // (step - 1)) * (width // (step - 1)) > most


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 7.0, np.nan]), min_size=9, max_size=9))
def test_the_middle_is_a_height_that_was_found(values: list[float]) -> None:
    plane = np.array(values, np.float32).reshape(3, 3)
    (found,) = middles(plane, 3).ravel()
    known = sorted(v for v in values if v == v)
    if len(known) < 5:
        assert np.isnan(found)
    else:
        assert found == known[(len(known) - 1) // 2]
