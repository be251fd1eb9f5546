"""Which files are the slices of a stack, in which order, and what is said of the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fusestack.cli.proposal import describe
from fusestack.config.document import read_document
from fusestack.config.load import from_mapping
from fusestack.focus.slice_files import UNREAD, natural_order, slice_files, told_files
from fusestack.model.errors import InputError


def found(folder: Path, *patterns: str) -> tuple[list[str], list[str]]:
    files, said = slice_files(from_mapping({"version": 1, "input": {"images": "*"}}, folder), patterns, "input.images")
    return [str(Path(path).relative_to(folder)) for path in files], said


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {".tif": "TIFF", ".png": "PNG"}.get(Path(name).suffix.lower(), "JPEG")
        Image.new("L", (8, 8)).save(folder / name, format=kind)


@pytest.mark.parametrize(
    "names",
    [
        ["stack.tif", "stack (1).tif", "stack (2).tif", "stack (10).tif"],
        ["a1", "a1b", "a2", "a10"],
        ["img08.jpg", "img9.jpg", "img010.jpg"],
        ["z1.5.tif", "z1.10.tif", "z2.tif"],
        ["B2.tif", "B10.tif", "a1.tif"],
        ["s~1.tif", "s.tif", "s-1.tif"],
        ["٢.tif", "١٠.tif"],
        ["2.tif", "１０.tif"],
        ["stack/2.tif", "stack/10.tif", "stack (1)/1.tif"],
    ],
)
def test_natural_order(names: list[str]) -> None:
    given_names = names[::-1]
    assert sorted(given_names, key=natural_order) == names


@pytest.mark.skipif(shutil.which("sort") is None, reason="no program sort")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.from_regex(r"[aB~_()019][aB.~_ ()019-]{0,8}", fullmatch=True), min_size=2, max_size=30, unique=True))
def test_the_order_is_that_of_sort(names: list[str]) -> None:
    done = subprocess.run(
        ["sort", "-V"],
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert sorted(names, key=natural_order) == done.stdout.splitlines()


def test_brackets_are_part_of_names(tmp_path: Path) -> None:
    for folder in ("Stack [2024] 10x", "x [a-z]", "x c", "*"):
        pictures(tmp_path / folder, "s[1] 1.tif", "s[1] 2.tif", "s1 1.tif")
    pictures(tmp_path, "a1.tif", "a2.tif", "b1.tif")
    both = ["s[1] 1.tif", "s[1] 2.tif"]
    for folder in ("Stack [2024] 10x", "x [a-z]"):
        # the folder of the configuration, and a folder in a pattern
        assert found(tmp_path / folder, "s[[]1] *.tif")[0] == both
        assert found(tmp_path / folder, "s[1] *.tif")[0] == both
        assert found(tmp_path, f"{folder}/s[1] ?.tif")[0] == [f"{folder}/{name}" for name in both]
        assert found(tmp_path, str(tmp_path / folder / "s[1] 2.tif"))[0] == [f"{folder}/s[1] 2.tif"]
        assert len(found(tmp_path, folder)[0]) == 3
    assert found(tmp_path, "[ab]1.tif")[0] == ["a1.tif", "b1.tif"]
    assert found(tmp_path, "x [bc]/s1*.tif")[0] == ["x c/s1 1.tif"]
    with pytest.raises(InputError, match=r"no file fits the pattern \(its folder holds .tif\)"):
        found(tmp_path / "x [a-z]", "*.jpg")


def test_companions_are_no_slices(tmp_path: Path) -> None:
    pictures(tmp_path, "s1.tif", "s2.tif")
    for name in ("._s1.tif", "._s2.tif", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).write_bytes(b"\0\5\26\7")
    for pattern in (".", "*", "*.tif", "s*", "*.*"):
        assert found(tmp_path, pattern) == (["s1.tif", "s2.tif"], [])


@pytest.mark.parametrize(
    "suffixes", [("jpg", "tif"), ("jpg", "jpeg"), ("JPG", "jpg"), ("tif", "ome.tif"), ("png", "jpg")]
)
def test_pictures_that_are_there_twice(suffixes: tuple[str, str], tmp_path: Path) -> None:
    pictures(tmp_path, *(f"s{k}.{suffix}" for k in range(3) for suffix in suffixes))
    for pattern in (".", "*", "s*.*"):
        with pytest.raises(InputError) as caught:
            found(tmp_path, pattern)
        (problem,) = caught.value.problems
        assert all(f"s0.{suffix}" in problem for suffix in suffixes)
        assert "2 more names" in problem
    with pytest.raises(InputError, match="seem to be the same picture"):
        found(tmp_path, *(f"*.{suffix}" for suffix in suffixes))
    assert found(tmp_path, f"*[0-9].{suffixes[0]}") == ([f"s{k}.{suffixes[0]}" for k in range(3)], [])
    # who names each of them means it, and is told
    names = [f"s0.{suffix}" for suffix in suffixes]
    files, said = found(tmp_path, *names)
    assert files == names
    assert "seem to be the same picture; each is a slice" in said[0]


def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    pictures(tmp_path, "s1.JPG", "s2.JPG", "s1.CR2", "s2.CR2", "a.heic")
    (tmp_path / "notes.txt").write_text("no picture")
    files, said = found(tmp_path, ".")
    assert files == ["s1.JPG", "s2.JPG"]
    heic, raw = sorted(said)
    assert "2 files .CR2 (s1.CR2, s2.CR2) are not read; develop to TIFF; the 2 files .JPG are taken" in raw
    assert "1 file .heic (a.heic) is not read; convert" in heic
    for pattern, sentence in (("*.CR2", "2 files .CR2"), ("*.jpg", "its folder holds .CR2, .JPG, .heic")):
        with pytest.raises(InputError, match=re.escape(sentence)):
            found(tmp_path, pattern)
    for name in ("s1.JPG", "s2.JPG"):
        (tmp_path / name).unlink()
    with pytest.raises(InputError) as caught:
        found(tmp_path, ".")
    assert len(caught.value.problems) == 2


def test_every_unread_suffix_has_a_way_out() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() and way_out for suffix, way_out in UNREAD.items())


def test_results_of_other_programs_are_told(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"s{k}.tif" for k in range(4)), "focus-stack-result.tif", "ZS PMax.tif")
    files, said = found(tmp_path, "*.tif")
    assert len(files) == 6
    assert "ZS PMax.tif, focus-stack-result.tif: called like results of a program, and taken for slices" in said[0]
    assert told_files([f"focusstacked_{k}.tif" for k in range(9)]) == []


def test_a_camera_that_began_to_count_again() -> None:
    names = [f"IMG_{k:04d}.jpg" for k in (1, 2, 3, 9997, 9998, 9999)]
    (said,) = told_files(names)
    assert said.startswith("IMG_9997.jpg: the camera seems to have counted on from IMG_9999.jpg to IMG_0001.jpg")
    assert told_files(names[:3]) == told_files(names[3:]) == []
    assert told_files([f"s{k:03d}.tif" for k in range(1000)]) == []


def test_numbers_that_may_be_decimals() -> None:
    names = sorted(["z0.25um.tif", "z0.5um.tif", "z0.75um.tif", "z1.0um.tif"], key=natural_order)
    (said,) = told_files(names)
    assert said.startswith("z0.5um.tif: comes before z0.25um.tif")
    assert told_files(["z0.25.tif", "z0.50.tif", "z1.00.tif"]) == []


def test_init_leaves_companions_out_and_asks(tmp_path: Path) -> None:
    folder = tmp_path / "x [a-z]"
    pictures(folder, *(f"s{k}.png" for k in range(4)), "stacked.png", "s0.CR2")
    for name in ("._s1.png", "Thumbs.db"):
        (folder / name).write_bytes(b"\0\5\26\7")
    text = describe(folder, tmp_path).text
    files = [f"x [a-z]/{name}" for name in ("s0.png", "s1.png", "s2.png", "s3.png", "stacked.png")]
    assert read_document(text, "a.yaml")[0]["input"]["images"] == files
    assert "# look at this: " in text
    assert "stacked.png: called like results of a program" in text
    assert "1 file .CR2 (s0.CR2) is not read" in text
    assert found(tmp_path, *files)[0] == files
    pictures(folder, "s0.jpg")
    with pytest.raises(InputError, match=r"s0.(jpg|png) and s0.(jpg|png) have one name"):
        describe(folder, tmp_path)
