"""`fusestack.write`: any lazy image by our writers, on the graph, continued where it was interrupted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray
import zarr

import fusestack
from fusestack.model.errors import BlockError, ConfigError, FusestackError, FusestackWarning, OutputError
from fusestack.project.xml import read_project
from tests.small import config, tree

SHAPE = (2, 1, 30, 70, 90)
SMALL = {"chunks": 16, "shards": 32, "levels": [1, 2]}


def pixels(dtype: str = "uint16") -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(1, 60000, SHAPE).astype(dtype)


def level(path: Path, number: int = 0) -> np.ndarray[Any, Any]:
    return np.asarray(zarr.open_group(str(path), mode="r")[str(number)])


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as found,
    ):
        yield found


@pytest.mark.parametrize("chunks", [(1, 1, 7, 33, 20), (2, 1, 30, 70, 90), (1, 1, 16, 16, 16)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", ">u2"])
def test_the_pixels_of_any_chunking(chunks: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    found = pixels(dtype)
    report = fusestack.write(dask.array.from_array(found, chunks=chunks), tmp_path / "a.ome.zarr", **SMALL)
    assert np.array_equal(level(tmp_path / "a.ome.zarr"), found)
    fusestack.write(found, tmp_path / "b.ome.zarr", **SMALL)
    assert tree(tmp_path / "a.ome.zarr") == tree(tmp_path / "b.ome.zarr")
    assert [stage.stage for stage in report.stages] == ["write", "pyramid/1"]
    assert not report.reused_all
    again = fusestack.write(dask.array.from_array(found, chunks=chunks), tmp_path / "a.ome.zarr", **SMALL)
    assert again.reused_all


def test_processes_and_clients(client: Any, tmp_path: Path) -> None:
    lazy = dask.array.from_array(pixels(), chunks=(1, 1, 11, 40, 40)) // 3
    fusestack.write(lazy, tmp_path / "threads.ome.zarr", **SMALL)
    processes = {"scheduler": "processes", "workers": 2}
    fusestack.write(lazy, tmp_path / "processes.ome.zarr", **SMALL, execution=processes)
    fusestack.write(lazy, tmp_path / "client.ome.zarr", **SMALL, client=client)
    fusestack.write(client.persist(lazy), tmp_path / "persisted.ome.zarr", **SMALL, client=client)
    whole = tree(tmp_path / "threads.ome.zarr")
    for name in ("processes", "client", "persisted"):
        assert tree(tmp_path / f"{name}.ome.zarr") == whole, name
    assert np.array_equal(level(tmp_path / "threads.ome.zarr"), pixels() // 3)
    kept = client.persist(lazy + 1)
    with pytest.raises(ConfigError, match="give client="):
        fusestack.write(kept, tmp_path / "nobody.ome.zarr", **SMALL, execution={"scheduler": "threads"})
    assert not (tmp_path / "nobody.ome.zarr").exists()


def test_labels_become_place_size_unit_timepoints_and_channels(tmp_path: Path) -> None:
    found = np.arange(2 * 4 * 5 * 3 * 6, dtype=np.uint16).reshape(2, 4, 5, 3, 6)
    coords = {"x": 2 + 0.3 * np.arange(5), "y": 0.5 * np.arange(6), "z": [7.0, 9.0, 11.0, 13.0], "t": [3, 8, 9]}
    image = xarray.DataArray(found, dims=("c", "z", "x", "t", "y"), coords={**coords, "c": ["DAPI", "GFP"]})
    image.attrs |= {"unit": "um", "weather": "rain"}
    with pytest.warns(FusestackWarning, match="the attributes weather of the image is not written"):
        fusestack.write(image, tmp_path / "a.ome.zarr", levels="none")
    assert np.array_equal(level(tmp_path / "a.ome.zarr"), image.transpose("t", "c", "z", "y", "x"))
    ome = dict(zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r").attrs)["ome"]
    (scale, place) = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale["scale"][2:] == [2.0, 0.5, 0.3]
    assert place["translation"][2:] == [7.0, 0.0, 2.0]
    assert [axis.get("unit") for axis in ome["multiscales"][0]["axes"]][2:] == ["micrometer"] * 3
    assert [channel["label"] for channel in ome["omero"]["channels"]] == ["DAPI", "GFP"]
    record = (tmp_path / "a.ome.zarr.run.json").read_text()
    assert "the attributes weather of the image is not written" in record
    plane = image.isel(c=1, t=0, z=2, drop=False)
    with pytest.warns(FusestackWarning, match="weather"):
        fusestack.write(plane, tmp_path / "plane.ome.zarr")
    ome = dict(zarr.open_group(str(tmp_path / "plane.ome.zarr"), mode="r").attrs)["ome"]
    assert ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][1]["translation"][2] == 11.0
    assert ome["omero"]["channels"][0]["label"] == "GFP"


@pytest.mark.parametrize("names", [("TIME", "Channel", "plane", "row", "col"), ("T", "C", "Z", "Y", "X")])
def test_long_names_and_capitals_are_axes_as_of_tiles(names: tuple[str, ...], tmp_path: Path) -> None:
    coords: dict[str, Any] = {names[4]: 2 + 0.5 * np.arange(90, dtype=np.float32), names[1]: ["DAPI"]}
    image = xarray.DataArray(pixels(), dims=names, coords=coords)
    fusestack.write(image, tmp_path / "a.ome.zarr", levels="none")
    assert np.array_equal(level(tmp_path / "a.ome.zarr"), pixels())
    ome = dict(zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r").attrs)["ome"]
    (scale, place) = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert (scale["scale"][-1], place["translation"][-1]) == (0.5, 2.0)
    assert ome["omero"]["channels"][0]["label"] == "DAPI"
    with pytest.raises(FusestackError, match="are the same axis; rename or drop one"):
        fusestack.write(image.assign_coords(depth=3.0, z=4.0), tmp_path / "b.ome.zarr")


def test_a_tree_of_levels_is_written_from_its_full_resolution(tmp_path: Path) -> None:
    fine = xarray.DataArray(pixels()[0, 0], dims=("z", "y", "x"), name="image")
    scales = {"/scale0": fine.to_dataset(), "/scale1": fine[::2, ::2, ::2].to_dataset()}
    with pytest.warns(FusestackWarning, match="levels are made anew"):
        fusestack.write(xarray.DataTree.from_dict(scales), tmp_path / "tree.ome.zarr", **SMALL)
    fusestack.write(fine, tmp_path / "fine.ome.zarr", **SMALL)
    assert tree(tmp_path / "tree.ome.zarr") == tree(tmp_path / "fine.ome.zarr")
    assert "levels are made anew" in (tmp_path / "tree.ome.zarr.run.json").read_text()


def test_hdf5_with_its_project(tmp_path: Path) -> None:
    image = dask.array.from_array(pixels()[0], chunks=20)[0]
    fusestack.write(image, tmp_path / "a.h5", voxel_size={"x": 0.5, "y": 0.5, "z": 2}, unit="micrometer")
    project = read_project(tmp_path / "a.xml")
    assert project.views[0].voxel_size == (2.0, 0.5, 0.5)
    assert project.views[0].shape == SHAPE[2:]


def test_levels_are_those_of_a_stored_fusion(tmp_path: Path) -> None:
    settings = config(tmp_path)
    fusestack.run(settings)
    stored = level(tmp_path / "fused.ome.zarr")
    fusestack.write(dask.array.from_array(stored, chunks=13), tmp_path / "w.ome.zarr", **{**SMALL, "chunks": 8})
    assert np.array_equal(level(tmp_path / "w.ome.zarr", 1), level(tmp_path / "fused.ome.zarr", 1))


@pytest.mark.parametrize("content", [False, True])
def test_what_fuse_made_is_written_by_the_stages_of_run(content: bool, tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings["fusion"] = {"content_based": {"sigma1": 4, "sigma2": 6}} if content else {}
    ran = fusestack.run(settings)
    output = {"chunks": 8, "shards": {"x": 16, "y": 16, "z": 8}, "levels": [1, 2]}
    image = fusestack.fuse(settings)
    report = fusestack.write(image, tmp_path / "apart" / "fast.ome.zarr", **output)
    assert [stage.stage for stage in report.stages] == [stage.stage for stage in ran.stages]
    assert report.stages[-2].stage == "fuse"
    assert len(report.stages) == (5 if content else 2)
    whole = tree(tmp_path / "fused.ome.zarr")
    assert tree(tmp_path / "apart" / "fast.ome.zarr") == whole
    assert fusestack.write(image, tmp_path / "apart" / "fast.ome.zarr", **output).reused_all
    if content:
        return
    moved = image.assign_coords(x=image.x + 5)
    fusestack.write(moved, tmp_path / "moved.ome.zarr", **output)
    assert np.array_equal(level(tmp_path / "moved.ome.zarr"), level(tmp_path / "fused.ome.zarr"))
    assert tree(tmp_path / "moved.ome.zarr") != whole
    slow = fusestack.write(image + np.uint16(0), tmp_path / "slow.ome.zarr", **output)
    assert [stage.stage for stage in slow.stages] == ["write", "pyramid/1"]
    assert np.array_equal(level(tmp_path / "slow.ome.zarr", 1), level(tmp_path / "fused.ome.zarr", 1))


def test_what_fuse_reads_is_not_written_over(tmp_path: Path) -> None:
    settings = config(tmp_path)
    path = tmp_path / "tile.ome.zarr"
    fusestack.write(pixels()[0, 0], path, **SMALL)
    settings["input"] = {"views": [{"path": str(path)}]}
    with pytest.raises(ConfigError, match="is an input of this run"):
        fusestack.write(fusestack.fuse(settings), path, overwrite=True)
    assert np.array_equal(level(path)[0, 0], pixels()[0, 0])


SLOW = """
import sys, time
from pathlib import Path
import dask.array, numpy as np
import fusestack

def slow(pixels, folder, block_id=None):
    with Path(folder, "-".join(map(str, block_id))).open("a") as file:
        file.write("x")
    time.sleep(0.03)
    return pixels

def image(folder):
    whole = np.random.default_rng(1).integers(0, 999, (64, 64, 128), dtype=np.uint16)
    lazy = dask.array.from_array(whole, chunks=16)
    return lazy.map_blocks(slow, folder, dtype="uint16", meta=np.empty((0, 0, 0), "uint16"))

def write(folder, path):
    return fusestack.write(image(folder), path, chunks=8, shards=16, levels=[1, 2], execution={"workers": 2})

if __name__ == "__main__":
    write(*sys.argv[1:])
"""


def test_a_killed_write_continues_and_makes_only_the_chunks_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "slow_image.py").write_text(SLOW)
    made = tmp_path / "made"
    made.mkdir()
    command = [sys.executable, str(tmp_path / "slow_image.py"), str(made), str(tmp_path / "a.ome.zarr")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        for _ in range(600):
            if len(list(made.iterdir())) >= 40:
                break
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()
        process.kill()
    before = len(list(made.iterdir()))
    assert 40 <= before < 128
    more = subprocess.run(command, capture_output=True, text=True, check=False)
    assert more.returncode == 0, more.stderr
    counts = [len(path.read_text()) for path in made.iterdir()]
    assert len(counts) == 128
    assert sum(counts) - 128 <= 24  # ticks of the last moments, and what was under way or waiting
    whole = np.random.default_rng(1).integers(0, 999, (64, 64, 128), dtype=np.uint16)
    assert np.array_equal(level(tmp_path / "a.ome.zarr")[0, 0], whole)


def test_a_chunk_that_fails_leaves_the_others_written(tmp_path: Path) -> None:
    def cursed(found: Any, block_id: Any = None) -> Any:
        if block_id == (0, 0, 1, 0, 0) and not (tmp_path / "mended").exists():
            raise RuntimeError("a cable is loose")
        return found

    whole = pixels()
    image = dask.array.from_array(whole, chunks=(1, 1, 16, 32, 32)).map_blocks(cursed, dtype="uint16", meta=whole[:0])
    options: dict[str, Any] = {**SMALL, "levels": "none"}
    with pytest.raises(BlockError, match="a cable is loose"):
        fusestack.write(image, tmp_path / "a.ome.zarr", **options)
    (tmp_path / "mended").touch()
    report = fusestack.write(image, tmp_path / "a.ome.zarr", **options)
    assert (report.stages[0].action, report.stages[0].computed) == ("continued", 1)
    assert np.array_equal(level(tmp_path / "a.ome.zarr"), whole)


def test_another_image_in_the_same_place_is_refused_or_replaces_it(tmp_path: Path) -> None:
    first, second = pixels(), pixels() + 1
    path = tmp_path / "a.ome.zarr"
    fusestack.write(first, path, **SMALL)
    with pytest.raises(OutputError, match=r"the input image has changed.*overwrite=True"):
        fusestack.write(second, path, **SMALL)
    assert np.array_equal(level(path), first)
    fusestack.write(second, path, **SMALL, overwrite=True)
    assert np.array_equal(level(path), second)


GOOD = xarray.DataArray(np.zeros((4, 5, 6), np.uint16), dims=("z", "y", "x"))
BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no array": ("image", {}, "is no array"),
    "a list": ([[1, 2]], {}, "is no array, but list"),
    "bool": (np.zeros((4, 4), bool), {}, r'astype\("uint8"\)'),
    "float64": (np.zeros((4, 4)), {}, r'astype\("float32"\)'),
    "int64": (dask.array.zeros((4, 4), dtype="int64"), {}, r'astype\("uint16"\)'),
    "complex": (np.zeros((4, 4), "c8"), {}, "astype"),
    "4-D": (np.zeros((2, 2, 4, 4), np.uint8), {}, "has 4 dimensions"),
    "empty": (np.zeros((0, 4, 4), np.uint8), {}, "has no pixels"),
    "unknown dims": (GOOD.rename(z="wavelength"), {}, r"'wavelength' is unknown; rename"),
    "no y": (GOOD.isel(y=0), {}, "needs y and x"),
    "colours and channels": (GOOD.expand_dims(c=2).rename(x="colour", z="x"), {}, r"isel\(c=0\)"),
    "six colours": (GOOD.rename(x="colour", z="x"), {}, r'rename\(colour="c"\)'),
    "dataset": (GOOD.to_dataset(name="image"), {}, r"write\(found.image"),
    "empty tree": (xarray.DataTree(), {}, "holds no image"),
    "uneven": (GOOD.assign_coords(x=[0, 1, 2, 3, 4, 7]), {}, "do not rise evenly"),
    "falling": (GOOD.assign_coords(y=[4, 3, 2, 1, 0]), {}, "sortby"),
    "nan": (GOOD.assign_coords(x=[0, 1, 2, np.nan, 4, 5]), {}, "not finite"),
    "words": (GOOD.assign_coords(x=list("abcdef")), {}, "no numbers"),
    "two sizes": (GOOD.assign_coords(x=np.arange(6) * 2), {"voxel_size": 1}, "the coordinates of the image say 2"),
    "times": (GOOD.rename(z="t").assign_coords(t=[0.5, 1, 2, 3]), {}, "numbers of timepoints"),
    "voxel size": (GOOD, {"voxel_size": (1, 2)}, "voxel_size.*is not allowed"),
    "voxel size 0": (GOOD, {"voxel_size": 0}, "greater than 0"),
    "unit": (GOOD, {"unit": "parsec"}, "'parsec' is not known; use one of"),
    "levels": (GOOD, {"levels": "many"}, "output.pyramid"),
    "chunks": (GOOD, {"chunks": 0}, "output.chunks"),
    "unknown option": (GOOD, {"shard": 3}, "did you mean 'shards'"),
    "scheduler": (GOOD, {"execution": {"scheduler": "magic"}}, "execution.scheduler"),
    "memory": (
        dask.array.zeros((64, 4096, 4096), chunks=-1, dtype="u2"),
        {"execution": {"memory": "500MiB"}},
        "rechunk",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_has_a_way_out(case: str, tmp_path: Path) -> None:
    image, options, says = BAD[case]
    with pytest.raises(FusestackError, match=says):
        fusestack.write(image, tmp_path / "a.ome.zarr", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [("a.xml", "cannot be guessed"), ("a.gif", "cannot be guessed")],
)
def test_other_formats_are_refused(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        fusestack.write(GOOD, tmp_path / name)


def test_pixels_that_hdf5_does_not_hold(tmp_path: Path) -> None:
    with pytest.raises(FusestackError, match="HDF5 has no uint32"):
        fusestack.write(GOOD.astype("uint32"), tmp_path / "a.h5")
