"""``run --follow``: timepoints of an acquisition that goes on, one after another."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.cli.main import run
from fusestack.config.load import LoadedConfig, from_mapping
from fusestack.model.errors import ConfigError, InputError
from fusestack.running.following import files_of_timepoints, follow
from tests.running.test_earlier import everything, fresh, settings


def acquire(folder: Path, config: dict[str, Any], times: list[int]) -> None:
    """Write tiles as a microscope does: a part, and the rest a little later."""
    for view in config["input"]["views"]:
        if view["timepoint"] in times:
            pixels = np.random.default_rng(view["timepoint"] + 7 * view["tile"]).integers(1, 99, (6, 20, 20), np.uint16)
            whole = folder / "whole.tif"
            tifffile.imwrite(whole, pixels, photometric="minisblack")
            data = whole.read_bytes()
            with Path(view["path"]).open("wb") as file:
                file.write(data[:500])
                file.flush()
                time.sleep(0.15)
                file.write(data[500:])


def test_timepoints_are_fused_when_they_are_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = settings(tmp_path)
    for view in config["input"]["views"]:
        Path(view["path"]).unlink()
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(config))
    microscope = threading.Thread(target=acquire, args=(tmp_path, config, [0, 1]))
    microscope.start()
    try:
        assert run(["run", str(path), "--follow", "--settle", "0.3", "--idle", "1", "--json"]) == 0
    finally:
        microscope.join()
    shown = capsys.readouterr()
    assert json.loads(shown.out.splitlines()[-1])["timepoints"] == [0, 1]
    assert "complete: timepoint 0" in shown.err
    assert "waiting for timepoint 0; Ctrl-C ends it" in shown.err
    assert "waiting for more timepoints" in shown.err
    assert everything(config) == fresh(config, [], tmp_path)
    assert fusestack.run(config).reused_all


def test_order_and_completeness(tmp_path: Path) -> None:
    """A timepoint with a view that is not there holds back those after it; the configuration may name more later."""
    config = settings(tmp_path, (0, 1, 2))
    gone = Path(config["input"]["views"][2]["path"])
    content = gone.read_bytes()
    gone.unlink()
    made: list[list[int]] = []

    def make(loaded: LoadedConfig) -> None:
        assert loaded.config.input is not None
        made.append(sorted({view.timepoint for view in loaded.config.input.views or () if view.timepoint is not None}))
        gone.write_bytes(content)

    assert follow(lambda: from_mapping(config), make, seconds=0.1, idle=0.4) == (None, (0, 1, 2))
    assert made == [[0], [0, 1, 2]]


def test_folders_are_complete_when_nothing_below_them_changes(tmp_path: Path) -> None:
    """Chunks come long after the metadata of an OME-Zarr."""
    arrays = [
        zarr.create_array(tmp_path / f"t{t}.zarr", shape=(8, 16, 16), chunks=(2, 16, 16), dtype="u2") for t in (0, 1)
    ]
    arrays[0][:] = 9
    views = [{"path": str(tmp_path / f"t{t}.zarr"), "timepoint": t} for t in (0, 1)]
    output = {"path": str(tmp_path / "fused.ome.zarr"), "chunks": 8, "pyramid": "none"}
    config = {"version": 1, "input": {"views": views}, "output": output}
    written: list[int] = []

    def acquire_slowly() -> None:
        for z in range(0, 8, 2):
            time.sleep(0.35)
            arrays[1][z : z + 2] = 7
            written.append(z)

    microscope = threading.Thread(target=acquire_slowly)
    microscope.start()
    try:
        result, made = follow(
            lambda: from_mapping(config),
            lambda one: (len(written), fusestack.run(one.config.model_dump())),
            seconds=0.7,
            idle=1.5,
        )
    finally:
        microscope.join()
    assert made == (0, 1)
    assert result is not None
    assert result[0] == 4, "the last one was made when all was there"
    fused = np.asarray(zarr.open_group(tmp_path / "fused.ome.zarr", mode="r")["0"])
    assert fused[1].min() == 7


def test_files_with_equal_names_in_folders_of_their_own(tmp_path: Path) -> None:
    views = []
    for t in range(3):
        (tmp_path / f"t{t}").mkdir()
        views.append({"path": str(tmp_path / f"t{t}" / "tile.tif"), "timepoint": t})
    tifffile.imwrite(views[0]["path"], np.ones((4, 8, 8), np.uint16), photometric="minisblack")
    config = {"version": 1, "input": {"views": views}, "output": {"path": str(tmp_path / "fused.ome.zarr")}}
    made: list[int] = []
    found = follow(lambda: from_mapping(config), lambda _: made.append(1), seconds=0.1, idle=0.3)
    assert (found, made) == ((None, (0,)), [1])


def test_projects(tmp_path: Path) -> None:
    """Of a project, files are those of its views; torn XML is read again, and damaged XML refused in the end."""
    fusestack.run(settings(tmp_path, kind="n5"))
    project = tmp_path / "fused.xml"
    output = {"path": str(tmp_path / "again.ome.zarr")}
    loaded = from_mapping({"version": 1, "input": {"project": str(project)}, "output": output})
    assert sorted(files_of_timepoints(loaded)) == [0, 1]
    chosen: list[Any] = []

    def make(one: LoadedConfig) -> None:
        assert one.config.input is not None
        chosen.append(one.config.input.select.timepoints)

    whole = project.read_bytes()
    project.write_bytes(whole[:-40])
    mending = threading.Timer(0.2, project.write_bytes, [whole])
    mending.start()
    follow(lambda: loaded, make, seconds=0.5, idle=0.1)
    mending.join()
    assert chosen == [(0, 1)]
    project.write_bytes(whole[:-40])
    with pytest.raises(InputError):
        follow(lambda: loaded, make, seconds=0.1, idle=0.1)


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({"focus": {"output": {"path": "sharp.tif"}}}, ["--follow"], "leave out 'focus'"),
        ({}, ["--follow", "--force"], "not with --force"),
        ({}, ["--follow", "--dry-run"], "not with --dry-run"),
        ({}, ["--idle", "3"], "--idle: belongs to --follow"),
        ({}, ["--settle", "3"], "--settle: belongs to --follow"),
        ({"input": {"images": "*.tif"}}, ["--follow"], "there are none"),
    ],
)
def test_what_is_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], arguments: list[str], said: str
) -> None:
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(settings(tmp_path) | changes))
    assert run(["run", str(path), "--quiet", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_views_have_to_say_their_timepoint(tmp_path: Path) -> None:
    config = settings(tmp_path)
    del config["input"]["views"][1]["timepoint"]
    with pytest.raises(ConfigError, match=r"input\.views\.1: --follow has to know its timepoint"):
        files_of_timepoints(from_mapping(config))


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN], ids=["in a terminal", "in the background"])
def test_an_end_that_is_asked_for(handler: signal.Handlers, tmp_path: Path) -> None:
    """Shells have programs in the background ignore Ctrl-C, which is none of theirs; SIGTERM is."""
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(settings(tmp_path)))
    command = [sys.executable, "-m", "fusestack", "run", str(path), "--follow", "--settle", "0.1", "--no-probe"]
    before = signal.signal(signal.SIGINT, handler)  # what is started has it, too
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("waiting for more timepoints"):
                process.terminate()
                break
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert (tmp_path / "fused.ome.zarr" / "zarr.json").exists()
