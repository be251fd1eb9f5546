"""What is not ours is neither written nor deleted: links, what people add to our outputs, what others made."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import fusestack
from fusestack.cli.main import run as command
from fusestack.model.errors import OutputError
from fusestack.running.stage_cache import trim_cache
from fusestack.storage import open_store
from tests import small

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("o.ome.zarr", "o.n5", "o.h5", "o.tif", "o.ome.tif", "o.dzi", "sharp.png", "sharp.tif", "sharp.ome.zarr")


def config(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    """One small image of two levels, a plane where the format asks for one, or a stacked picture."""
    folder.mkdir(exist_ok=True, parents=True)
    plane = name.startswith("sharp") or name.endswith(".dzi")
    pixels = np.random.default_rng(0).integers(1, 255, (3, 40, 50)[plane and not name.startswith("sharp") :])
    source = folder / "a.tif"
    if not source.exists():
        tifffile.imwrite(source, pixels.astype(np.uint8), photometric="minisblack")
    if name.startswith("sharp"):
        output = {"path": str(folder / name), "overwrite": True, **changes}
        return {"version": 1, "focus": {"input": str(source), "method": "masks", "output": output}}
    output = {"path": str(folder / name), "overwrite": True, **changes}
    if name.endswith((".zarr", ".n5", ".h5")):
        output |= {"chunks": {"x": 16, "y": 16, "z": 2}, "pyramid": [1, 2]}
    return {
        "version": 1,
        "input": {"views": [{"path": str(source), "voxel_size": {"x": 1, "y": 1, "z": 1}, "unit": "micrometer"}]},
        "output": output,
    }


def other(settings: dict[str, Any]) -> dict[str, Any]:
    """The same with other settings."""
    if "focus" in settings:
        return settings | {"focus": settings["focus"] | {"masks": [{"median": {}}]}}
    return settings | {"fusion": {"intensity_range": [0, 200]}}


def refused(settings: dict[str, Any], *words: str, force: bool = False) -> None:
    with pytest.raises(OutputError) as caught:
        fusestack.run(settings, force=force, progress=False)
    for word in words:
        assert word in str(caught.value)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], dict[str, Any]]:
    """Finished outputs, each made once and copied: gives its configuration."""
    folder = tmp_path_factory.mktemp("made")

    def copied(to: Path, name: str) -> dict[str, Any]:
        place = folder / name
        if not place.exists():
            fusestack.run(config(place, name), progress=False)
        shutil.copytree(place, to / "lab")
        (record,) = (to / "lab").glob("*.fusestack/made.json")
        record.write_text(record.read_text().replace(str(place), str(to / "lab")))
        return config(to / "lab", name)

    return copied


@pytest.mark.parametrize("what", ["folder", "file", "nothing"])
@pytest.mark.parametrize("name", NAMES)
def test_an_output_that_is_a_link(tmp_path: Path, name: str, what: str) -> None:
    theirs = tmp_path / "theirs"
    if what == "folder":
        (theirs / "0").mkdir(parents=True)
        (theirs / "0" / "thesis.txt").write_text("years")
    elif what == "file":
        theirs.write_text("years")
    settings = config(tmp_path / "lab", name)
    (tmp_path / "lab" / name).symlink_to(theirs)
    before = small.tree(tmp_path)
    for force in (False, True):
        refused(settings, name, "is a symbolic link", "such as the place it leads to", force=force)
    assert small.tree(tmp_path) == before
    assert (tmp_path / "lab" / name).readlink() == theirs


def test_an_output_in_a_folder_that_is_a_link_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "lab").symlink_to(tmp_path / "disk")
    fusestack.run(config(tmp_path / "lab", "o.ome.zarr"), progress=False)
    assert (tmp_path / "disk" / "o.ome.zarr" / "zarr.json").exists()


ADDED = {
    "o.ome.zarr": ["labels/zarr.json", "0/notes.txt", "0/c/0/0/notes.txt", "0/c/0/0/0/0/0.bak", "7/zarr.json", "a.tif"],
    "sharp.ome.zarr": ["labels/zarr.json", "0/.zattrs.bak"],
    "o.n5": ["notes.txt", "setup0/notes.txt", "setup0/timepoint0/s0/notes.txt", "setup0/timepoint0/s0/0/0/a"],
    "o.dzi": ["o_files/notes.txt", "o_files/5/notes.txt"],
}


@pytest.mark.parametrize(("name", "added"), [(name, added) for name, all_ in ADDED.items() for added in all_])
def test_what_was_added_to_an_output_is_left_alone(
    tmp_path: Path, made: Callable[[Path, str], dict[str, Any]], name: str, added: str
) -> None:
    settings = made(tmp_path, name)
    inside = tmp_path / "lab" / ("" if added.startswith("o_files") else name)
    (inside / added).parent.mkdir(parents=True, exist_ok=True)
    (inside / added).write_text("{}")
    before = small.tree(tmp_path)
    for force in (False, True):
        word = added if added.split("/")[0] in ("0", "setup0") else added.split("/")[-2 * ("o_files" in added)]
        refused(other(settings), word, "left alone", "choose another", force=force)
    assert small.tree(tmp_path) == before


def test_a_setup_that_another_program_added(tmp_path: Path, made: Callable[[Path, str], dict[str, Any]]) -> None:
    settings = made(tmp_path, "o.n5")
    setup = tmp_path / "lab/o.n5/setup3"
    (setup / "timepoint0/s0/0/0").mkdir(parents=True)
    (setup / "attributes.json").write_text('{"downsamplingFactors": [[1, 1, 1]], "dataType": "uint8"}')
    (setup / "timepoint0/s0/0/0/0").write_bytes(b"pixels")
    before = small.tree(tmp_path)
    refused(other(settings), "setup3", "left alone")
    assert small.tree(tmp_path) == before


def test_a_link_inside_an_output(tmp_path: Path, made: Callable[[Path, str], dict[str, Any]]) -> None:
    """A level that was moved to another disk, and a link in its place."""
    settings = made(tmp_path, "o.ome.zarr")
    level = tmp_path / "lab/o.ome.zarr/0/c"
    level.rename(tmp_path / "disk")
    level.symlink_to(tmp_path / "disk")
    before = small.tree(tmp_path)
    refused(other(settings), "'0/c'", "left alone")
    assert small.tree(tmp_path) == before
    for path in (tmp_path / "lab/o.ome.zarr.fusestack/ledger").iterdir():
        shutil.rmtree(path)  # so that it is written again
    there = small.tree(tmp_path / "disk")
    refused(settings, "is a symbolic link, which is not followed")
    assert small.tree(tmp_path / "disk") == there


def test_files_beside_an_hdf5_stay(tmp_path: Path, made: Callable[[Path, str], dict[str, Any]]) -> None:
    settings = made(tmp_path, "o.h5")
    theirs = {name: tmp_path / "lab" / name for name in ("o-notes.h5", "o.txt")}
    for path in theirs.values():
        path.write_text("mine")
    fusestack.run(other(settings) | {"output": settings["output"] | {"overwrite": True}}, progress=False, force=True)
    assert {path.read_text() for path in theirs.values()} == {"mine"}


def foreign_zarr(path: Path) -> None:
    group = zarr.open_group(path, mode="w")
    group.create_array("0", data=np.ones((1, 1, 3, 40, 50), np.uint16))
    group.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "0"}]}]}


def foreign_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["s00/resolutions"], file["t00000/s00/0/cells"] = np.ones((1, 3)), np.ones((3, 40, 50), np.int16)


def foreign_picture(path: Path) -> None:
    Image.fromarray(np.ones((40, 50), np.uint8)).save(path)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("o.ome.zarr", foreign_zarr),
        ("sharp.ome.zarr", foreign_zarr),
        ("o.h5", foreign_hdf5),
        ("sharp.png", foreign_picture),
        ("sharp.jpg", foreign_picture),
        ("sharp.tif", foreign_picture),
        ("o.tif", foreign_picture),
    ],
)
def test_what_another_program_made_is_not_overwritten(
    tmp_path: Path, name: str, make: Callable[[Path], None], force: bool
) -> None:
    settings = config(tmp_path, name)
    make(tmp_path / name)
    before = small.tree(tmp_path)
    refused(settings, name, "left alone", "choose another output.path", force=force)
    assert small.tree(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_ours_is_known_without_its_record(
    tmp_path: Path, made: Callable[[Path, str], dict[str, Any]], name: str
) -> None:
    settings = made(tmp_path, name)
    shutil.rmtree(tmp_path / "lab" / f"{name}.fusestack")
    assert not fusestack.run(other(settings), progress=False).reused_all


BESIDE = ["lock", "made.json", "status.json", "ledger", "ledger/fuse", "finished", "", "run.json", "report.html"]


@pytest.mark.parametrize("beside", BESIDE)
def test_links_among_our_own_files(tmp_path: Path, made: Callable[[Path, str], dict[str, Any]], beside: str) -> None:
    settings = made(tmp_path, "o.ome.zarr")
    work = tmp_path / "lab/o.ome.zarr.fusestack"
    place = next(work.glob(f"{beside}-*")) if "/" in beside else work / beside if "." not in beside else work
    if beside in ("made.json", "status.json"):
        place = work / beside
    elif "." in beside:
        place = tmp_path / "lab" / f"o.ome.zarr.{beside}"
    theirs = tmp_path / "theirs"
    place.rename(theirs)
    place.symlink_to(theirs)
    before = small.tree(tmp_path)
    refused(other(settings), str(place), "is a symbolic link")
    assert small.tree(tmp_path) == before


def test_a_link_that_comes_while_a_run_is_at_it(tmp_path: Path) -> None:
    """What looks beforehand did not see it."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "3").write_text("mine")
    folder = fusestack.storage.LocalFolder(tmp_path / "work")
    folder.put("ledger/fuse/1", [b"x"])
    shutil.rmtree(tmp_path / "work/ledger/fuse")
    (tmp_path / "work/ledger/fuse").symlink_to(theirs)
    for change in (
        lambda: folder.put("ledger/fuse/3", [b"x"]),
        lambda: folder.create("ledger/fuse/4", b"x"),
        lambda: folder.delete("ledger/fuse/3"),
        lambda: folder.delete_tree("ledger/fuse/3"),
        lambda: folder.delete_files(["ledger/fuse/3"]),
    ):
        with pytest.raises(OSError, match="is a symbolic link, which is not followed"):
            change()
    assert small.tree(theirs) == {"3": b"mine"}


def test_hard_links_keep_their_content(tmp_path: Path, made: Callable[[Path, str], dict[str, Any]]) -> None:
    """A snapshot that shares files with ours."""
    settings = made(tmp_path, "o.ome.zarr")
    shutil.copytree(tmp_path / "lab", tmp_path / "snapshot", copy_function=os.link)
    before = small.tree(tmp_path / "snapshot")
    fusestack.run(other(settings), progress=False)
    assert small.tree(tmp_path / "snapshot") == before
    assert small.tree(tmp_path / "lab/o.ome.zarr") != small.tree(tmp_path / "snapshot/o.ome.zarr")


@pytest.mark.parametrize("added", ["labels/zarr.json", "0/notes.txt", "notes.txt"])
def test_foreign_objects_below_a_prefix(tmp_path: Path, added: str) -> None:
    place = f"memory://{tmp_path.name}/o.ome.zarr"
    settings = config(tmp_path, "o.ome.zarr", path=place)
    fusestack.run(settings, progress=False)
    folder, beside = open_store(place), open_store(f"memory://{tmp_path.name}/o.ome.zarr2")
    folder.put(added, [b"mine"])
    beside.put("0/c/0", [b"mine"])
    before = dict(folder.files())
    refused(other(settings), added.removesuffix("/zarr.json"), "left alone")
    assert dict(folder.files()) == before
    folder.delete(added)
    fusestack.run(other(settings), progress=False)
    assert beside.get("0/c/0") == b"mine"


@pytest.fixture
def cache(tmp_path: Path, made: Callable[[Path, str], dict[str, Any]]) -> Path:
    made(tmp_path, "sharp.png")
    return tmp_path / "lab/cache.fusestack"


def test_a_cache_is_freed_of_its_stages_alone(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = sorted(path for path in cache.iterdir() if path.is_dir())
    assert len(stages) > 2
    facts = json.loads((stages[0] / "entry.json").read_text())
    for name, said in (
        ("thesis", {}),
        ("masks-of-mine", facts),
        (f"{stages[0].name}0", facts),
        ("a-0123456789ab", facts),
    ):
        (cache / name).mkdir()
        (cache / name / "entry.json").write_text(json.dumps(said))
        (cache / name / "thesis.txt").write_text("years")
    (stages[1] / "notes.txt").write_text("mine")
    (stages[2] / "data.ome.zarr/0/c/notes.txt").write_text("mine")
    linked = cache.with_name("elsewhere")
    stages[-1].rename(linked)
    stages[-1].symlink_to(linked)
    kept = small.tree(linked)
    _, freed = trim_cache(str(cache), 0)
    assert freed > 0
    assert command(["cache", "rm", str(cache)]) == 0
    said = capsys.readouterr().err
    assert f"{stages[1]}: holds 'notes.txt', which is not ours, and is left alone" in said
    assert "data.ome.zarr/0/c/notes.txt" in said
    assert small.tree(linked) == kept
    left = {path.name for path in cache.iterdir() if path.is_dir()}
    theirs = {"thesis", "masks-of-mine", f"{stages[0].name}0", "a-0123456789ab"}
    assert left == {*theirs, stages[1].name, stages[2].name, stages[-1].name}


def test_a_folder_of_somebody_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/entry.json").write_text('{"stage": "masks", "title": "x", "used": "2020"}')
    before = small.tree(tmp_path)
    assert command(["cache", "rm", str(tmp_path)]) == 0
    assert small.tree(tmp_path) == before


def test_a_link_in_the_place_of_a_stage_of_the_cache(cache: Path, tmp_path: Path) -> None:
    stage = next(path for path in cache.iterdir() if path.name.startswith("masks"))
    stage.rename(tmp_path / "theirs")
    stage.symlink_to(tmp_path / "theirs")
    before = small.tree(tmp_path)
    refused(config(tmp_path / "lab", "sharp.png"), stage.name, "is a symbolic link", "cache.path", force=True)
    assert small.tree(tmp_path) == before
