"""Settings beside a project: as BigDataViewer reads them, and whose they are."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.model.errors import OutputError
from fusestack.project import settings
from fusestack.project.document import read_tree
from fusestack.project.more_settings import add_to_settings, lack_setups
from fusestack.project.settings import Shade, colors_in, may_write_settings, write_settings
from tests.project import example

SHADES = {
    0: Shade(4, "00FF00", 3, 250.0, (0, 65535)),
    1: Shade(7, "FF8000", 10.5, 20.25, (10.5, 99.75)),
    5: Shade(4, "0000FF", 7, 9, (0, 65535)),
}


def restored(root: Element, setups: list[int]) -> dict[int, tuple[float, float, int]]:
    """What BigDataViewer makes of settings: range and colour of every setup, with the checks that it makes."""
    state = root.find("ViewerState")
    assert state is not None
    sources, groups = state.findall("Sources/Source"), state.findall("SourceGroups/SourceGroup")
    assert len(sources) == len(setups), "restoreSourcesFromXml: IllegalArgumentException"
    assert len(groups) == 10, "restoreSourceGroupsFromXml: IllegalArgumentException"
    assert {source.findtext("active") for source in sources} <= {"true", "false"}
    for group in groups:
        assert group.findtext("active") in ("true", "false")
        assert all(0 <= int(entry.text or "") < len(setups) for entry in group.findall("id"))
    assert state.findtext("DisplayMode") in ("ss", "sg", "fs", "fg")
    assert state.findtext("Interpolation") in ("nearestneighbor", "nlinear")
    for tag in ("CurrentSource", "CurrentGroup", "CurrentTimePoint"):
        assert int(state.findtext(tag) or "") >= 0
    converters = root.findall("SetupAssignments/ConverterSetups/ConverterSetup")
    assert len(converters) == len(setups), "restoreFromXml: IllegalArgumentException"
    found: dict[int, list[float]] = {}
    for group in root.findall("SetupAssignments/MinMaxGroups/MinMaxGroup"):
        names = ("fullRangeMin", "fullRangeMax", "rangeMin", "rangeMax", "currentMin", "currentMax")
        found[int(group.findtext("id") or "")] = [float(group.findtext(name) or "") for name in names]
    assert sorted(found) == list(range(len(found)))
    result, used = {}, set()
    for one in converters:
        low, high = float(one.findtext("min") or ""), float(one.findtext("max") or "")
        color, group_id = int(one.findtext("color") or ""), int(one.findtext("groupId") or "")
        full_low, full_high, range_low, range_high, current_low, current_high = found[group_id]
        assert full_low <= range_low <= current_low == low < high == current_high <= range_high <= full_high
        assert -(2**31) <= color < 2**31
        used.add(group_id)
        result[int(one.findtext("id") or "")] = low, high, color
    assert used == set(found), "no group is empty"
    assert sorted(result) == setups
    transforms = root.findall("ManualSourceTransforms/SourceTransform")
    assert [len((one.findtext("affine") or "").split()) for one in transforms] == [12] * len(setups)
    assert root.find("Bookmarks") is not None
    return result


def test_settings_are_as_bigdataviewer_reads_them(tmp_path: Path) -> None:
    path = str(tmp_path / "a.xml")
    write_settings(path, SHADES)
    root = read_tree(tmp_path / "a.settings.xml").getroot()
    assert restored(root, [0, 1, 5]) == {
        0: (3, 250, -16711936),  # ARGB as a Java int
        1: (10.5, 20.25, -32768),
        5: (3, 250, -16776961),  # of the same channel: one pair of sliders
    }
    assert [one.findtext("max") for one in root.iter("ConverterSetup")] == ["250", "20.25", "250"]
    assert colors_in(path) == {0: "00FF00", 1: "FF8000", 5: "0000FF"}


def test_settings_of_others_stay(tmp_path: Path) -> None:
    path, file = str(tmp_path / "a.xml"), tmp_path / "a.settings.xml"
    write_settings(path, SHADES)
    first = file.read_bytes()
    other = {0: Shade(0, "00FFFF", 0, 1, (0, 255))}
    write_settings(path, other)
    assert colors_in(path) == {0: "00FFFF"}, "ours are replaced"
    changed = first.replace(b"<max>250</max>", b"<max>251</max>")
    assert changed != first
    for theirs in (changed, b"<Settings />\n", b""):
        file.write_bytes(theirs)
        write_settings(path, other)
        assert file.read_bytes() == theirs
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.settings.xml"]


def test_setups_come_and_go(tmp_path: Path) -> None:
    path, file = str(tmp_path / "a.xml"), tmp_path / "a.settings.xml"
    write_settings(path, SHADES)
    add_to_settings(path, [1, 5, 6, 8], {6: Shade(0, "00FFFF", 5, 6, (0, 255)), 8: Shade(0, "123456", 7, 9, (0, 255))})
    root = read_tree(file).getroot()
    assert restored(root, [1, 5, 6, 8]) == {
        1: (10.5, 20.25, -32768),
        5: (3, 250, -16776961),
        6: (5, 6, -16711681),
        8: (5, 6, -15584170),
    }
    assert may_write_settings(path), "ours before, ours now"
    groups = [[one.text for one in group.iterfind("id")] for group in root.iterfind("ViewerState/SourceGroups/*")]
    assert groups[:4] == [[], ["0"], ["1"], []]
    add_to_settings(path, [1, 5, 6], {6: Shade(0, "00FFFF", 1, 2, (0, 255))})
    assert restored(read_tree(file).getroot(), [1, 5, 6])[6] == (1, 2, -16711681), "nobody chose what is replaced"


def test_what_others_chose_stays_when_setups_are_added(tmp_path: Path) -> None:
    path, file = str(tmp_path / "a.xml"), tmp_path / "a.settings.xml"
    write_settings(path, SHADES)
    text = file.read_text().replace("<max>20.25</max>", "<max>30</max>").replace("currentMax>20.25", "currentMax>30")
    place = "2.0 0.0 0.0 0.0 0.0 1.0 0.0 0.0 0.0 0.0 1.0 0.0"
    text = text.replace("<active>true</active>", "<active>false</active>", 1)
    text = text.replace("1.0 0.0 0.0 0.0 0.0 1.0 0.0 0.0 0.0 0.0 1.0 0.0", place, 1)
    theirs = text.replace("<Bookmarks />", "<Bookmarks><Bookmark><key>k</key></Bookmark></Bookmarks><Own a='b'>c</Own>")
    file.write_text(theirs)
    more = {1: Shade(7, "000001", 0, 1, (0, 255)), 9: Shade(7, "00FFFF", 1, 2, (0, 255))}
    add_to_settings(path, [0, 1, 5, 9], more)
    root = read_tree(file).getroot()
    found = restored(root, [0, 1, 5, 9])
    assert found[1] == (10.5, 30, -32768), "replaced, but it was chosen"
    assert found[9] == (1, 2, -16711681)
    assert [one.findtext("active") for one in root.iterfind("ViewerState/Sources/*")] == ["false", *3 * ["true"]]
    assert root.findtext("ManualSourceTransforms/SourceTransform/affine") == place
    assert (root.findtext("Bookmarks/Bookmark/key"), root.findtext("Own")) == ("k", "c")
    assert not may_write_settings(path)
    assert Path(f"{file}~1").read_text() == theirs
    again = file.read_bytes()
    add_to_settings(path, [0, 1, 5, 9], more)
    assert file.read_bytes() == again


@pytest.mark.parametrize(
    "change",
    [
        ("<id>5</id>", "<id>4</id>"),  # of another setup
        ("<groupId>0</groupId>", "<groupId>7</groupId>"),
        ("<CurrentSource>0</CurrentSource>", "<CurrentSource>9</CurrentSource>"),
        ("<Bookmarks />", "<Bookmarks>"),
        ("ManualSourceTransforms", "Transforms"),
    ],
)
def test_nothing_is_added_to_settings_that_nobody_reads(change: tuple[str, str], tmp_path: Path) -> None:
    path, file = str(tmp_path / "a.xml"), tmp_path / "a.settings.xml"
    write_settings(path, SHADES)
    assert lack_setups(path, [0, 1, 5, 9], [9])
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change))
    before = file.read_bytes()
    assert not lack_setups(path, [0, 1, 5, 9], [9])
    add_to_settings(path, [0, 1, 5, 9], {9: Shade(7, "00FFFF", 1, 2, (0, 255))})
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_a_disk_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    path, file = str(tmp_path / "a.xml"), tmp_path / "a.settings.xml"
    write_settings(path, SHADES)
    assert colors_in(path) == {0: "00FF00", 1: "FF8000", 5: "0000FF"}
    file.write_bytes(b"theirs")
    write_settings(path, SHADES)
    assert file.read_bytes() == b"theirs"


def test_white_is_no_colour(tmp_path: Path) -> None:
    path = str(tmp_path / "a.xml")
    assert colors_in(path) == {}
    write_settings(path, {0: Shade(0, "FFFFFF", 0, 1, (0, 255)), 1: Shade(1, "FFFFFF", 0, 1, (0, 255))})
    assert colors_in(path) == {}


@pytest.mark.parametrize(
    "text", ["", "<Settings>", "not XML", "<Settings><SetupAssignments><ConverterSetups><ConverterSetup/>"]
)
def test_damaged_settings_are_said_and_stop_nothing(text: str, tmp_path: Path) -> None:
    path = example.write(tmp_path)
    Path(str(path).replace(".xml", ".settings.xml")).write_text(text)
    (said,) = fusestack.open_project(path).said
    assert "settings.xml" in said
    assert "colours of channels are not known" in said


def test_colours_that_tell_tiles_apart_are_none_of_a_channel(tmp_path: Path) -> None:
    path = example.write(tmp_path)
    setups = fusestack.open_project(path).setups
    channels = sorted({setup.channel for setup in setups.values()})
    by_channel = {n: Shade(one.channel, f"{one.channel:02X}80FF", 0, 9, (0, 255)) for n, one in setups.items()}
    write_settings(str(path), by_channel)
    colors = {setup.channel: setup.channel_color for setup in fusestack.open_project(path).setups.values()}
    assert colors == {channel: f"{channel:02X}80FF" for channel in channels}
    write_settings(str(path), {n: Shade(0, f"{n:02X}80FF", 0, 9, (0, 255)) for n in setups})
    again = fusestack.open_project(path).setups.values()
    assert all(one.channel_color == "" for one in again if sum(o.channel == one.channel for o in again) > 1)


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    views = []
    for c in range(2):
        pixels = rng.integers(100 * c, 100 * c + 50, (4, 20, 30), dtype=np.uint16)
        tifffile.imwrite(tmp_path / f"{c}.tif", pixels, photometric="minisblack")
        views.append({"path": str(tmp_path / f"{c}.tif"), "channel": c})
    output = {"path": str(tmp_path / "out.h5")}
    return {"version": 1, "input": {"views": views}, "output": output}


def test_contrast_is_that_of_the_pixels(config: dict[str, Any], tmp_path: Path) -> None:
    fusestack.run(config)
    found = restored(read_tree(tmp_path / "out.settings.xml").getroot(), [0, 1])
    for c, (low, high, _) in found.items():
        assert 100 * c <= low <= 100 * c + 3
        assert 100 * c + 46 <= high < 100 * c + 50


def test_a_kill_before_the_project_leaves_settings_that_the_next_run_takes(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*arguments: object) -> None:
        raise OutputError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("fusestack.project.write.write_project", dies)
        with pytest.raises(Exception, match="killed"):
            fusestack.run(config)
    assert (tmp_path / "out.settings.xml").exists()
    assert not (tmp_path / "out.xml").exists()
    fusestack.run(config)
    assert [view.channel_color for view in fusestack.open_project(tmp_path / "out.xml").views] == ["00FF00", "FF00FF"]
    with monkeypatch.context() as patch:
        patch.setattr(settings, "write_settings", dies)
        fusestack.run(config)  # nothing to do


def test_one_white_channel_has_no_settings(config: dict[str, Any], tmp_path: Path) -> None:
    del config["input"]["views"][1]
    fusestack.run(config)
    assert (tmp_path / "out.xml").exists()
    assert not (tmp_path / "out.settings.xml").exists()
