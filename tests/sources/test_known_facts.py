"""What was read of many files is kept for the next plan, as long as it holds."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr

from fusestack.project.readers import READERS
from fusestack.sources import facts as reading
from fusestack.sources import known_facts, ome_zarr_facts, tiff_facts
from fusestack.sources.facts import FactsWanted, ImageFacts, all_facts

if TYPE_CHECKING:
    from pathlib import Path

TIFF, ZARR = READERS[".tif"], READERS[".zarr"]
PIXELS = np.zeros((2, 4, 5), np.uint16)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the user that is empty, where three files are many."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(known_facts, "MANY", 3)
    return tmp_path / "home" / "fusestack"


def age(folder: Path, seconds: float = 60) -> None:
    """Let everything in a folder be older than it is."""
    when = time.time() - seconds
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (when, when))


def write(folder: Path, kind: str, number: int, size: float) -> FactsWanted:
    if kind == "tiff":
        path = folder / f"t{number}.ome.tif"
        tifffile.imwrite(path, PIXELS, ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": size})
        return FactsWanted(TIFF, str(path))
    path = folder / f"t{number}.zarr"
    group = zarr.open_group(path, mode="w")
    group.create_array("deep/s0", data=PIXELS)
    steps = [{"type": "scale", "scale": [1, 1, size]}]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    images = [{"axes": axes, "datasets": [{"path": "deep/s0", "coordinateTransformations": steps}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": images}
    return FactsWanted(ZARR, str(path))


@pytest.fixture(params=["tiff", "zarr"])
def tiles(request: pytest.FixtureRequest, tmp_path: Path) -> list[FactsWanted]:
    folder = tmp_path / "data"
    folder.mkdir()
    wanted = [write(folder, request.param, number, 0.5) for number in range(4)]
    age(folder)
    return wanted


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that were read, in their order."""
    found: list[str] = []
    before = reading._read

    def counted(wanted: list[FactsWanted]) -> list[object]:
        found.extend(which.path for which in wanted)
        return before(wanted)

    monkeypatch.setattr(reading, "_read", counted)
    return found


def sizes(wanted: list[FactsWanted]) -> list[float | None]:
    found = [facts for facts in all_facts(wanted).values() if isinstance(facts, ImageFacts)]
    return [facts.sizes[2] for facts in found]


def forget() -> None:
    """What another process would not know."""
    known_facts._MEMORY.clear()


def test_another_process_reads_none_of_many_files(tiles: list[FactsWanted], read: list[str], cache: Path) -> None:
    first = all_facts(tiles)
    assert len(read) == len(tiles)
    forget()
    assert all_facts(tiles) == first
    assert len(read) == len(tiles)
    assert [path.suffix for path in cache.iterdir()] == [".facts"]


def test_only_what_changed_is_read_again(tiles: list[FactsWanted], read: list[str], tmp_path: Path) -> None:
    assert sizes(tiles) == [0.5] * 4
    read.clear()
    changed = write(tmp_path / "data", "tiff" if tiles[0].reader == TIFF else "zarr", 1, 0.7)
    forget()
    assert sorted(sizes(tiles)) == [0.5, 0.5, 0.5, 0.7]
    assert read == [changed.path]


@pytest.mark.parametrize("what", ["t1.zarr/zarr.json", "t1.zarr/deep/s0/zarr.json"])
def test_metadata_of_the_group_and_of_its_levels_count(tmp_path: Path, read: list[str], what: str) -> None:
    wanted = [write(tmp_path, "zarr", number, 0.5) for number in range(3)]
    age(tmp_path)
    all_facts(wanted)
    read.clear()
    file = tmp_path / what
    told = json.loads(file.read_text())
    if what.count("/") > 1:
        told["shape"][0] = 1
    else:
        told["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"][2] = 0.7
    file.write_text(json.dumps(told))
    forget()
    found = [facts for facts in all_facts(wanted).values() if isinstance(facts, ImageFacts)]
    assert {(facts.sizes[2], facts.shape[2]) for facts in found} == {(0.5, 2), (0.5, 1) if "s0" in what else (0.7, 2)}
    assert read == [str(tmp_path / "t1.zarr")]


def test_what_changed_a_moment_ago_is_not_kept(tiles: list[FactsWanted], read: list[str], tmp_path: Path) -> None:
    age(tmp_path / "data", seconds=0)
    all_facts(tiles)
    forget()
    all_facts(tiles)
    assert len(read) == 2 * len(tiles)


def test_what_is_damaged_is_no_cache(tiles: list[FactsWanted], read: list[str], cache: Path) -> None:
    all_facts(tiles)
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-20])
    forget()
    assert len(all_facts(tiles)) == len(tiles)
    assert len(read) == 2 * len(tiles)
    forget()
    all_facts(tiles)
    assert len(read) == 2 * len(tiles)


def test_where_nothing_can_be_kept_files_are_read(tiles: list[FactsWanted], read: list[str], cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("in the way")
    for _ in range(2):
        assert sizes(tiles) == [0.5] * 4
        forget()
    assert len(read) == 2 * len(tiles)


def test_few_files_leave_nothing_behind(tiles: list[FactsWanted], cache: Path) -> None:
    all_facts(tiles[:2])
    assert not cache.exists()


def test_what_others_added_stays(tiles: list[FactsWanted], read: list[str]) -> None:
    all_facts(tiles[:3])
    forget()
    all_facts(tiles[1:])
    forget()
    all_facts(tiles)
    assert len(read) == len(tiles)


def test_what_is_used_least_is_deleted(
    tiles: list[FactsWanted], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_facts(tiles)
    (old,) = cache.iterdir()
    os.utime(old, (1, 1))
    monkeypatch.setattr(known_facts, "_MOST_BYTES", int(1.5 * old.stat().st_size))
    (tmp_path / "more").mkdir()
    others = [write(tmp_path / "more", "tiff" if tiles[0].reader == TIFF else "zarr", n, 0.5) for n in range(4)]
    age(tmp_path / "more")
    all_facts(others)
    assert len(list(cache.iterdir())) == 1
    assert not old.exists()


def test_images_of_one_file_are_asked_of_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    before = tiff_facts.open_tiff
    monkeypatch.setattr(tiff_facts, "open_tiff", lambda path: opened.append(path) or before(path))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for number in range(5):
            tiff.write(PIXELS, metadata={"axes": "ZYX", "Name": f"position {number}", "PhysicalSizeX": number + 1})
    found = all_facts(FactsWanted(TIFF, str(tmp_path / "a.ome.tif"), number) for number in range(5))
    assert [facts.sizes[2] for facts in found.values() if isinstance(facts, ImageFacts)] == [1, 2, 3, 4, 5]
    assert len(opened) == 1


def test_wells_of_a_plate_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    before = ome_zarr_facts.open_node
    monkeypatch.setattr(ome_zarr_facts, "open_node", lambda path: opened.append(path) or before(path))
    wells = [f"A/{column}" for column in range(6)]
    plate = zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": well} for well in wells]}
    for well in wells:
        plate.create_group(well).attrs["well"] = {"images": [{"path": "0"}]}
        image = plate.create_group(f"{well}/0")
        image.attrs["multiscales"] = [{"version": "0.3", "axes": ["z", "y", "x"], "datasets": [{"path": "0"}]}]
        image.create_array("0", data=PIXELS)
    wanted = [FactsWanted(ZARR, str(tmp_path / "plate.zarr"), number) for number in range(len(wells))]
    found = [facts for facts in all_facts(wanted).values() if isinstance(facts, ImageFacts)]
    assert [facts.path for facts in found] == [str(tmp_path / "plate.zarr" / well / "0") for well in wells]
    assert len(opened) == 1 + 2 * len(wells)
