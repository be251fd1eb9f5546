"""Folders that are stacks of their own: a result each, one page, and what is still being written is left."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack.cli.main import run
from tests.focus.stacks import scene, write

CONFIG = """version: 1
input: {images: "day/*/"}
focus: {multiscale: {levels: 2}, output: {path: out/sharp.tif, depth: out/depth.tif, slices: out/slices}}
"""


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """A configuration beside the folders ``a<b>``, ``s2`` and ``s10``, which were written a minute ago."""
    for seed, name in enumerate(("a<b>", "s2", "s10")):
        write(tmp_path / "day" / name, scene((40, 50), 3, seed=seed)[0])
        settle(tmp_path / "day" / name)
    (tmp_path / "day" / "notes").mkdir()
    (tmp_path / "day" / "old.tune").mkdir()
    (tmp_path / "day.yaml").write_text(CONFIG)
    return tmp_path / "day.yaml"


def settle(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        os.utime(path, (time.time() - 60,) * 2)


def test_each_folder_has_a_result_as_if_it_were_alone(day: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", str(day), "--json"]) == 0
    told = capsys.readouterr()
    summary = json.loads(told.out.splitlines()[-1])
    assert [one["name"] for one in summary["stacks"]] == ["a<b>", "s2", "s10"]
    assert "notes: holds no JPEG, PNG or TIFF file, and is left out" in told.err
    folder = day.parent
    for name in ("a<b>", "s2", "s10"):
        alone = {"path": str(folder / "alone" / f"{name}.tif")}
        images = {"images": str(folder / "day" / name)}
        fusestack.run({"version": 1, "input": images, "focus": {"multiscale": {"levels": 2}, "output": alone}})
        found, wanted = tifffile.imread(folder / f"out/sharp_{name}.tif"), tifffile.imread(alone["path"])
        assert np.array_equal(found, wanted)
        assert (folder / f"out/depth_{name}.tif").exists()
        assert any((folder / f"out/slices_{name}").iterdir())
    page = (folder / "day.batch.html").read_text()
    assert "<h2>a&lt;b&gt;</h2>" in page
    assert page.count('<img alt="result" src="data:') == 3
    assert 'href="out/sharp_s2.tif.report.html"' in page
    assert run(["run", str(day)]) == 0
    assert capsys.readouterr().out.count("nothing to do, everything is already made") == 3


def test_the_folder_of_results_is_no_stack(day: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = day.parent
    (folder / "day" / "out").mkdir()
    write(folder / "day" / "out", scene((40, 50), 3)[0])
    settle(folder / "day" / "out")
    assert run(["run", str(day), "--dry-run", "--quiet", "--json", "--set", "focus.output.path=day/out/a.tif"]) == 0
    told = capsys.readouterr()
    assert "out: is where the results go, and is left out" in told.err
    assert [one["name"] for one in json.loads(told.out)["stacks"]] == ["a<b>", "s2", "s10"]
    assert not (folder / "day.batch.html").exists()


def test_what_is_being_written_is_left_and_what_is_broken_keeps_nobody_waiting(
    day: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = day.parent / "day"
    os.utime(folder / "s2" / "slice_2.tif")
    (folder / "a<b>" / "slice_1.tif").write_bytes(b"II*\0")
    settle(folder / "a<b>")
    assert run(["run", str(day), "--quiet"]) == 3
    told = capsys.readouterr().err
    assert "s2: is still being written (changed" in told
    assert "left for the next run" in told
    assert "fusestack: a<b>: " in told
    assert not (day.parent / "out" / "sharp_s2.tif").exists()
    assert (day.parent / "out" / "sharp_s10.tif").exists()
    assert "slice_1.tif" in (day.parent / "day.batch.html").read_text()
    assert run(["run", str(day), "--quiet", "--settle", "0.001"]) == 3
    assert (day.parent / "out" / "sharp_s2.tif").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plan"], 2, "names folders, each a stack of its own"),
        (["validate"], 2, "--set input.images=FOLDER"),
        (["run", "--set", "input.images=[day/s2/, day/s3/]"], 2, "'day/s3/': there is no such folder"),
        (["run", "--set", "input.images=[day/s2/, other/s2/]"], 2, "two folders have the name 's2'"),
        (["run", "--idle", "3"], 2, "--idle: belongs to --follow"),
    ],
)
def test_what_is_refused(
    day: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (day.parent / "other" / "s2").mkdir(parents=True)
    assert run([arguments[0], str(day), *arguments[1:]]) == code
    assert words in capsys.readouterr().err
