"""Configured runs whose views are arrays: the same bytes as from files, everywhere, and reruns that do what changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import tifffile
import xarray
import zarr

import fusestack
from fusestack.config.load import load_config
from fusestack.model.errors import ConfigError, FusestackError, FusestackWarning, OutputError
from fusestack.running.inspection import inspect
from tests.small import SHAPE, config, tree


def pixels_of(settings: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    """Take the files out of a configuration."""
    return [tifffile.imread(view.pop("path")) for view in settings["input"]["views"]]


def from_arrays(folder: Path, kind: str = "dask", **output: Any) -> dict[str, Any]:
    settings = config(folder, **output)
    for view, pixels in zip(settings["input"]["views"], pixels_of(settings), strict=True):
        view["array"] = {
            "numpy": lambda p: p,
            "dask": lambda p: dask.array.from_array(p, chunks=(11, 13, 17)) + np.uint16(0),
            "zarr": lambda p: zarr.array(p, chunks=(9, 16, 16)),
            "xarray": lambda p: xarray.DataArray(p, dims=("z", "y", "x")).transpose("x", "y", "z"),
        }[kind](pixels)
    return settings


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    fusestack.run(config(folder))
    return tree(folder / "fused.ome.zarr")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as found,
    ):
        yield found


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "xarray"])
def test_arrays_of_every_kind(kind: str, whole: dict[str, bytes], tmp_path: Path) -> None:
    settings = from_arrays(tmp_path, kind)
    fusestack.run(settings)
    assert tree(tmp_path / "fused.ome.zarr") == whole
    assert fusestack.run(settings).reused_all


def test_processes_clients_and_graphs(client: Any, whole: dict[str, bytes], tmp_path: Path) -> None:
    fusestack.run(from_arrays(tmp_path / "a"), ["execution.scheduler=processes", "execution.workers=2"])
    settings = from_arrays(tmp_path / "b")
    first = settings["input"]["views"][0]
    first["array"] = client.persist(first["array"])
    fusestack.run(settings, client=client)
    graph = fusestack.graph(from_arrays(tmp_path / "c"))
    assert graph.dask.dependencies.keys() == graph.dask.layers.keys()
    assert graph.stages.keys() == {"fuse", "pyramid/1"}
    graph.compute(scheduler="threads")
    client.compute(fusestack.graph(from_arrays(tmp_path / "d"))).result()
    for name in "abcd":
        assert tree(tmp_path / name / "fused.ome.zarr") == whole, name


def test_changed_pixels_run_again_and_the_reason_names_the_view(tmp_path: Path) -> None:
    settings = from_arrays(tmp_path, "numpy")
    fusestack.run(settings)
    changed = settings["input"]["views"][1]
    changed["array"] = changed["array"].copy()
    changed["array"][3, 3, 3] += 1
    with pytest.raises(OutputError, match=r"the input input\.views\.1\.array has changed\)"):
        fusestack.run(settings)
    settings["output"]["overwrite"] = True
    states = inspect(fusestack.plan(settings))
    assert [state.action for state in states] == ["run", "run"]
    assert states[0].reason == "the input input.views.1.array has changed"
    assert not fusestack.run(settings).reused_all


def test_what_is_recorded_can_be_read(tmp_path: Path) -> None:
    fusestack.run(from_arrays(tmp_path, "numpy"))
    record = (tmp_path / "fused.ome.zarr.run.json").read_text()
    assert "array uint16 [24, 40, 50] (ndarray)" in record
    assert '"input.views.2.array": "array-' in record


def test_an_interrupted_run_makes_only_the_chunks_that_are_missing(whole: dict[str, bytes], tmp_path: Path) -> None:
    made: list[Any] = []

    def counted(pixels: Any, block_id: Any = None) -> Any:
        made.append(block_id)
        if len(made) > limit:
            raise KeyboardInterrupt
        return pixels

    settings = from_arrays(tmp_path, "numpy")
    for view in settings["input"]["views"]:
        lazy = dask.array.from_array(view["array"], chunks=(12, 20, 25))
        view["array"] = lazy.map_blocks(counted, dtype="uint16", meta=np.empty((0, 0, 0), "uint16"))
    limit = 14
    with pytest.raises(KeyboardInterrupt):
        fusestack.run(settings, ["execution.workers=1"])
    limit = 1000
    made.clear()
    report = fusestack.run(settings)
    assert report.stages[0].action == "continued"
    assert 0 < len(made) < 24
    assert tree(tmp_path / "fused.ome.zarr") == whole


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "both": ({"path": "a.tif"}, "has a path already"),
    "a path": ({"array": "a.npy"}, "only Python can give"),
    "type": ({"array": np.zeros(SHAPE, bool)}, "pixels of type bool are not read"),
    "dimensions": ({"array": np.zeros((2, *SHAPE), "u2")}, "has the shape"),
    "names": ({"array": xarray.DataArray(np.zeros((2, *SHAPE), "u2"), dims=("c", "z", "y", "x"))}, r"isel\(c=0\)"),
    "none": ({"array": None}, "path: is missing"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_arrays_have_a_way_out(case: str, tmp_path: Path) -> None:
    change, says = BAD[case]
    settings = from_arrays(tmp_path, "numpy")
    settings["input"]["views"][1] |= change
    with pytest.raises(FusestackError, match=says) as caught:
        fusestack.plan(settings)
    assert "input.views.1" in str(caught.value)


def test_a_file_has_no_arrays(tmp_path: Path) -> None:
    (tmp_path / "fuse.yaml").write_text("input:\n  views:\n    - array: tile.npy\noutput:\n  path: a.ome.zarr\n")
    with pytest.raises(ConfigError, match=r"fuse.yaml:3:14: input.views.0.array: .*only Python can give.*file: path"):
        load_config(tmp_path / "fuse.yaml")


def test_a_plane_is_a_view_too(tmp_path: Path) -> None:
    plane = {"array": np.full((40, 50), 7, np.uint16), "translation": 0.0}
    path = str(tmp_path / "flat.ome.zarr")
    fusestack.run({"input": {"views": [plane]}, "output": {"path": path}})
    assert np.asarray(zarr.open_group(path, mode="r")["0"]).shape == (1, 1, 1, 40, 50)


PLACED = xarray.DataArray(np.full((4, 40, 50), 7, np.uint16), dims=("z", "y", "x"))


@pytest.mark.parametrize(
    ("coords", "says"),
    [
        ({"x": np.arange(50) + 30.0}, "along x would"),
        ({"z": [0, 2, 4, 6], "y": np.arange(40) * 0.5}, "along z, y would"),
        ({"z": list("abcd")}, "along z would"),
    ],
)
def test_coordinates_that_would_be_lost_are_refused_or_said(coords: dict[str, Any], says: str, tmp_path: Path) -> None:
    view: dict[str, Any] = {"array": PLACED.assign_coords(coords)}
    settings = {"input": {"views": [view]}, "output": {"path": str(tmp_path / "a.ome.zarr")}}
    with pytest.raises(
        FusestackError, match=rf"^input\.views\.0\.array: its coordinates {says} not be used.*drop_vars"
    ):
        fusestack.plan(settings)
    for key, value in (("translation", 0.0), ("voxel_size", 2.0)):
        view[key] = value
        (warning,) = fusestack.plan(settings).warnings
        assert says.removesuffix(" would") + " are not used, the view has " in warning
    assert key in warning
    with pytest.warns(FusestackWarning, match="are not used"):
        fusestack.fuse(settings)
    with pytest.warns(FusestackWarning, match="are not used"):
        fusestack.run(settings)
    assert "are not used" in (tmp_path / "a.ome.zarr.run.json").read_text()


def test_coordinates_that_count_pixels_say_nothing(tmp_path: Path) -> None:
    array = PLACED.assign_coords(z=range(4), x=np.arange(50.0), c="DAPI").isel(z=slice(0, 3))
    settings = {"input": {"views": [{"array": array}]}, "output": {"path": str(tmp_path / "a.ome.zarr")}}
    assert fusestack.plan(settings).warnings == ()
