"""Pictures are computed where they are written: once for all outputs, with the bytes of stored ones."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from distributed import LocalCluster

import fusestack
from fusestack.focus import blocks
from fusestack.focus.computed import ComputedPicture
from fusestack.focus.multiscale import MixedPicture
from fusestack.model.errors import BlockError
from fusestack.model.geometry import Box
from fusestack.planning import pictures
from tests.focus.stacks import computed, config, run, scene, write

OUTPUTS = ("sharp.tif", "depth.tif", "mask.tif")
WRITTEN = ["write/image", "write/mask", "write/depth"]


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return write(tmp_path / "in", scene()[0])


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> Counter[Box]:
    """How often each region is mixed, with blocks of 48 pixels."""
    monkeypatch.setattr(blocks, "BLOCK", 48)
    monkeypatch.setattr(pictures, "_BLOCK", 48)
    monkeypatch.setattr("fusestack.planning.stored._CHUNK", 16)
    monkeypatch.setattr("fusestack.planning.stored._FILE", 48)
    found: Counter[Box] = Counter()
    inner = MixedPicture.__call__

    def counted(self: MixedPicture, box: Box) -> Any:
        found[box] += 1
        return inner(self, box)

    monkeypatch.setattr(MixedPicture, "__call__", counted)
    return found


def files(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in OUTPUTS]


def test_each_region_is_computed_once(paths: list[str], tmp_path: Path, mixed: Counter[Box]) -> None:
    _, report = run(paths, tmp_path / "one")
    assert "mixed" not in {stage.stage for stage in report.stages}
    assert computed(report)[-3:] == WRITTEN
    assert set(mixed.values()) == {1}
    assert len(mixed) == 6


@pytest.mark.parametrize("options", ["", "--blur --maskblur=s2", "--blur --cutwave --finalsharpen --bg=red"])
def test_stored_pictures_have_the_same_bytes(options: str, paths: list[str], tmp_path: Path) -> None:
    chosen = {"options": options} if options else {}
    _, report = run(paths, tmp_path / "computed", **chosen)
    # what is not a file of planes needs a stored picture
    (tmp_path / "stored").mkdir()
    _, other = run(paths, tmp_path / "stored", output={"depth_colour": str(tmp_path / "c.ome.zarr")}, **chosen)
    more = {stage.stage for stage in other.stages} - {stage.stage for stage in report.stages}
    assert len(more - {"write/depth_colour"}) == 1
    assert files(tmp_path / "computed") == files(tmp_path / "stored")


def test_whether_a_picture_is_stored_changes_no_output(paths: list[str], tmp_path: Path) -> None:
    run(paths, tmp_path)
    _, report = run(paths, tmp_path, output={"depth_colour": str(tmp_path / "c.ome.zarr")})
    assert {"mixed", "write/depth_colour"} <= set(computed(report))
    assert not set(WRITTEN) & set(computed(report))


def test_one_output_alone(paths: list[str], tmp_path: Path, mixed: Counter[Box]) -> None:
    """What is there is not made again, and what is not is made by itself."""
    run(paths, tmp_path)
    before = files(tmp_path)
    (tmp_path / "depth.tif").unlink()
    mixed.clear()
    _, report = run(paths, tmp_path)
    assert "write/depth" in computed(report)
    assert "write/image" not in computed(report)
    assert set(mixed.values()) == {1}
    assert files(tmp_path) == before


@pytest.mark.parametrize("kind", ["image", "depth"])
def test_an_output_that_fails_is_made_by_another_run(
    kind: str, paths: list[str], tmp_path: Path, mixed: Counter[Box], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusestack.focus.written import Shown

    inner = Shown.__call__

    def fail(self: Shown, *arguments: Any) -> Any:
        if self.what == kind:
            raise RuntimeError("no more memory")
        return inner(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Shown, "__call__", fail)
        with pytest.raises(BlockError, match=rf"stage write/{kind}, block 0 .*no more memory"):
            run(paths, tmp_path)
    _, report = run(paths, tmp_path)
    assert f"write/{kind}" in computed(report)
    run(paths, tmp_path / "fresh")
    assert files(tmp_path) == files(tmp_path / "fresh")


@pytest.mark.parametrize("how", ["run", "graph"])
def test_an_output_that_fails_leaves_the_others_whole(
    how: str, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusestack.focus.written import Shown

    inner = Shown.__call__

    def fail(self: Shown, *arguments: Any) -> Any:
        if self.what == "depth":
            raise RuntimeError("no more memory")
        return inner(self, *arguments)

    data = config(paths, tmp_path) | {"execution": {"workers": 2, "retries": 0}}
    with monkeypatch.context() as patch:
        patch.setattr(Shown, "__call__", fail)
        with pytest.raises(BlockError, match=r"^1 block failed after all retries"):
            _ = fusestack.run(data) if how == "run" else fusestack.graph(data).compute()
    assert [(tmp_path / name).exists() for name in OUTPUTS] == [True, False, True]
    fusestack.run(data)
    run(paths, tmp_path / "fresh")
    assert files(tmp_path) == files(tmp_path / "fresh")


def test_pages_of_one_picture_are_made_of_a_stored_one(tmp_path: Path, mixed: Counter[Box]) -> None:
    """Blocks of a page come one after the other: all of them would compute the picture again for each page."""
    stack = np.moveaxis(scene(colours=3)[0], -1, 1)
    tifffile.imwrite(tmp_path / "v.tif", (4000 * stack).astype("u2"), imagej=True, metadata={"axes": "ZCYX"})
    output = {"path": str(tmp_path / "o.tif"), "depth": str(tmp_path / "d.tif")}
    focus = {"input": str(tmp_path / "v.tif"), "reference_channel": 0, "output": output}
    report = fusestack.run({"version": 1, "focus": focus})
    assert "mixed" in computed(report)
    assert set(mixed.values()) == {1}


def test_blocks_of_far_caches_are_computed_once(paths: list[str], tmp_path: Path, mixed: Counter[Box]) -> None:
    fusestack.run(config(paths, tmp_path) | {"cache": {"path": "memory://computed"}})
    assert set(mixed.values()) == {1}
    assert len(mixed) == 6


def test_a_volume_in_files(tmp_path: Path, mixed: Counter[Box]) -> None:
    """Each channel has a picture of its own, and a page."""
    stack = np.moveaxis(scene(colours=2)[0], -1, 0)
    group = zarr.open_group(tmp_path / "v.ome.zarr", mode="w")
    array = group.create_array("0", shape=stack.shape, chunks=(1, 1, 16, 16), dtype="uint16")
    array[:] = (4000 * stack).astype(np.uint16)
    axes = [{"name": name} for name in "czyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    data: dict[str, Any] = {"version": 1, "focus": {"input": str(tmp_path / "v.ome.zarr")}}
    places = {"path": str(tmp_path / "o.tif"), "depth": str(tmp_path / "d.tif")}
    data["focus"]["output"] = places
    fusestack.run(data)
    assert set(mixed.values()) == {1}
    assert len(mixed) == 2 * 6
    data["focus"]["output"] = {key: path.replace(".tif", ".ome.zarr") for key, path in places.items()}
    fusestack.run(data)
    for name in "od":
        stored = np.asarray(zarr.open_group(tmp_path / f"{name}.ome.zarr", mode="r")["0"])
        assert np.array_equal(tifffile.imread(tmp_path / f"{name}.tif"), stored[0, :, 0], equal_nan=name == "d")


def test_a_worker_with_little_memory_stores_the_picture(tmp_path: Path) -> None:
    paths = write(tmp_path / "in", scene((1100, 1100), 2)[0], raw=True)
    data = config(paths, tmp_path / "out")
    plan = fusestack.plan(data | {"execution": {"workers": 1, "memory": "2 GiB"}})
    most = max(stage.peak_bytes for stage in plan.stages if stage.name.startswith("write/"))
    needed = plan.resources.memory - plan.resources.block_bytes + most
    for more, stored in ((-(2**20), True), (2**20, False)):
        plan = fusestack.plan(data | {"execution": {"workers": 1, "memory": needed + more}})
        assert ("mixed" in {stage.name for stage in plan.stages}) is stored


def test_a_layered_picture_is_stored(paths: list[str], tmp_path: Path) -> None:
    plan = fusestack.plan(config(paths, tmp_path, options="--blur --substacks=n2,r1", layered=True))
    assert not any(
        isinstance(one, ComputedPicture) for stage in plan.stages for one in getattr(stage.compute, "pictures", ())
    )


def test_pixels_are_forgotten_with_the_task(tmp_path: Path) -> None:
    """A thread of a cluster goes on, and what it reads may be exchanged without being noticed, and started over."""
    paths = write(tmp_path / "raw", scene()[0], raw=True)
    times = {path: Path(path).stat().st_mtime_ns for path in paths}
    data = config(paths, tmp_path)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=None
    ) as cluster:
        address = {"execution": {"scheduler": cluster.scheduler_address}}
        fusestack.run(data | address)
        first = tifffile.imread(tmp_path / "sharp.tif")
        for path in paths:
            tifffile.imwrite(path, 255 - tifffile.imread(path), photometric="rgb", rowsperstrip=16)
            os.utime(path, ns=(times[path], times[path]))
        fusestack.run(data | address, force=True)
    assert np.abs(tifffile.imread(tmp_path / "sharp.tif").astype(int) + first - 255).max() <= 8
