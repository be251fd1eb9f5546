"""Runs that are killed, interrupted, damaged or in one another's way."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusestack
from fusestack.cli.main import run
from fusestack.model.errors import BlockError, FusestackWarning, OutputError
from fusestack.running.lock import output_lock
from tests.small import config, tree

# Every read of a source waits a little, so that there is time to interfere; a task has one block under way.
SLOW = """
import select, sys, time
import fusestack.taskgraph.batches as batches
batches._MOST_AHEAD = 1
import fusestack.sources.tiff as tiff
read = tiff.TiffSource.read
def slow(self, level, box):
    time.sleep(0.05)
    return read(self, level, box)
tiff.TiffSource.read = slow
from fusestack.cli.main import main
main(sys.argv[1:])
"""


def start(path: Path, *arguments: str, program: str = SLOW) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, "run", str(path), "--set", "execution.workers=2", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def written(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "fuse.yaml"
    path.write_text(json.dumps(content))
    return path


def wait_for_blocks(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    """Wait until some blocks are in the ledger; the run must not be over by then."""
    for _ in range(600):
        ticks = [p.read_bytes() for p in folder.glob("*.fusestack/ledger/fuse-*/[!.s]*")]
        if sum(len(range(*map(int, line.split()[:2]))) for tick in ticks for line in tick.splitlines()) >= count:
            break
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()


@pytest.mark.parametrize("output", ["fused.ome.zarr", "fused.h5"])
def test_a_killed_run_continues_and_ends_with_the_same_bytes(output: str, tmp_path: Path) -> None:
    options = {} if output.endswith("zarr") else {"shards": "auto", "chunks": 4}
    whole = config(tmp_path / "whole", path=str(tmp_path / "whole" / output), **options)
    fusestack.run(whole)
    killed = config(tmp_path / "killed", path=str(tmp_path / "killed" / output), **options)
    path = written(tmp_path / "killed", killed)
    with start(path) as process:
        wait_for_blocks(tmp_path / "killed", process, 5)
        process.kill()
    report = fusestack.run(killed)
    (fuse, *_) = report.stages
    assert fuse.action == "continued"
    assert 0 < fuse.computed <= fuse.blocks - 5
    products = [tmp_path / name / output for name in ("whole", "killed")]
    if output.endswith("zarr"):
        first, second = (tree(product) for product in products)
    else:
        first, second = ({"": product.read_bytes()} for product in products)
    assert first == second
    assert fusestack.run(killed).reused_all


FORKS = multiprocessing.get_context("forkserver")
LOADED = (
    "running.runner",
    "fusion.plan",
    "writers.deep_zoom",
    "kernels.rows",
    "display.report",
    "taskgraph.collection",
)
FORKS.set_forkserver_preload(
    ["tests.faults.test_killed", "dask.threaded", "h5py", "imagecodecs", *(f"fusestack.{name}" for name in LOADED)]
)
TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
OUTPUTS: dict[str, dict[str, Any]] = {
    "fused.h5": {"chunks": 8, "shards": "auto", "partitions": {"timepoints": 1, "setups": 1}},
    "fused.dzi": {},
}


def run_and_die(content: dict[str, Any], folder: str, moment: int) -> None:
    """Run, and be killed just before the file operation of that number in a folder."""
    left = moment

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in TOUCHES and str(arguments[0]).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    fusestack.run(content)


def fused(folder: Path, output: str) -> dict[str, Any]:
    """Three channels as HDF5 with partitions, or one plane of 8 bits as Deep Zoom."""
    found = config(folder, "uint8")
    found["output"] = {"path": str(folder / output), **OUTPUTS[output]}
    if output.endswith("dzi"):
        found["fusion"] = {"bounding_box": {"min": {"x": 0, "y": 0, "z": 6}, "max": {"x": 599, "y": 299, "z": 6}}}
    else:
        for channel, view in enumerate(found["input"]["views"]):
            view["channel"] = channel
    return found


def products(folder: Path) -> dict[str, bytes]:
    """What a run leaves, without inputs and records."""
    others = (".json", ".html", ".tif")
    return {
        name: data for name, data in tree(folder).items() if ".fusestack/" not in name and not name.endswith(others)
    }


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(output: str, tmp_path: Path) -> None:
    fusestack.run(fused(tmp_path / "whole", output))
    killed, rng, kills, code = fused(tmp_path / "killed", output), random.Random(7), 0, None
    while code != 0:
        process = FORKS.Process(
            target=run_and_die, args=(killed, str(tmp_path / "killed"), rng.randint(15, 55) * (kills + 1))
        )
        process.start()
        process.join()
        code = process.exitcode
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
    assert kills >= 3
    whole, again = (products(tmp_path / name) for name in ("whole", "killed"))
    assert len(whole) > 3
    assert again == whole
    assert fusestack.run(killed).reused_all


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_can_be_continued(signal_number: int, tmp_path: Path) -> None:
    settings = config(tmp_path)
    path = written(tmp_path, settings)
    with start(path) as process:
        wait_for_blocks(tmp_path, process, 3)
        process.send_signal(signal_number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; run again to continue" in errors
    assert "Traceback" not in errors
    status = json.loads((tmp_path / "fused.ome.zarr.fusestack" / "status.json").read_text())
    assert status["state"] == "interrupted"
    assert 0 < status["done"] < status["blocks"]
    assert fusestack.run(settings).stages[0].action == "continued"


def test_the_second_run_at_once_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, config(tmp_path))
    with start(path) as process:
        wait_for_blocks(tmp_path, process, 2)
        assert run(["run", str(path)]) == 5
        message = capsys.readouterr().err
        assert run(["status", str(tmp_path / "fused.ome.zarr")]) == 0
        assert "running" in capsys.readouterr().out
        process.kill()
    assert f"another run is writing it (process {process.pid}" in message
    assert run(["status", str(tmp_path / "fused.ome.zarr")]) == 0
    assert "stopped" in capsys.readouterr().out


def test_a_deleted_output_is_made_anew(tmp_path: Path) -> None:
    settings = config(tmp_path)
    fusestack.run(settings)
    before = tree(tmp_path / "fused.ome.zarr")
    shutil.rmtree(tmp_path / "fused.ome.zarr")
    report = fusestack.run(settings)
    assert not report.reused_all
    assert tree(tmp_path / "fused.ome.zarr") == before


def test_what_is_not_ours_is_never_deleted(tmp_path: Path) -> None:
    settings = config(tmp_path, overwrite=True)
    (tmp_path / "fused.ome.zarr").mkdir()
    (tmp_path / "fused.ome.zarr" / "thesis.txt").write_text("five years of work")
    for force in (False, True):
        with pytest.raises(OutputError, match=r"fused\.ome\.zarr"):
            fusestack.run(settings, force=force)
    assert (tmp_path / "fused.ome.zarr" / "thesis.txt").read_text() == "five years of work"


def test_a_file_at_the_place_of_an_hdf5_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "fused.h5").write_text("notes")
    settings = config(tmp_path, path=str(tmp_path / "fused.h5"), shards="auto", chunks=8, overwrite=True)
    with pytest.raises(OutputError, match=r"fused\.h5"):
        fusestack.run(settings)
    assert (tmp_path / "fused.h5").read_text() == "notes"


def test_a_damaged_input_fails_its_blocks_and_is_continued_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusestack.sources.tiff import TiffSource

    settings = config(tmp_path)
    whole = config(tmp_path / "whole")
    fusestack.run(whole)
    read = TiffSource.read

    def damaged(self: Any, level: int, box: Any) -> np.ndarray[Any, Any]:
        if box.start[0] >= 12:
            raise OSError("the disk of tile1 has a scratch")
        return read(self, level, box)

    monkeypatch.setattr(TiffSource, "read", damaged)
    told = pytest.warns(FusestackWarning, match="has a scratch")
    with pytest.raises(BlockError, match="failed after all retries") as caught, told:
        fusestack.run(settings, ["execution.retries=1"])
    assert "has a scratch" in str(caught.value)
    assert "stage fuse, block" in str(caught.value)
    assert all("in damaged" in text for text in caught.value.tracebacks)
    (note,) = caught.value.__notes__
    assert caught.value.tracebacks[0] in note
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.tracebacks, again.__notes__) == (str(caught.value), caught.value.tracebacks, [note])
    record = json.loads((tmp_path / "fused.ome.zarr.run.json").read_text())
    assert record["stages"][0]["failed"]
    assert record["stages"][0]["retries"] > 0
    assert all("in damaged" in text for text in record["stages"][0]["tracebacks"].values())
    assert 0 < len(record["stages"][0]["tracebacks"]) <= len(record["stages"][0]["failed"])
    monkeypatch.undo()
    report = fusestack.run(settings)
    assert report.stages[0].action == "continued"
    assert tree(tmp_path / "fused.ome.zarr") == tree(tmp_path / "whole" / "fused.ome.zarr")


def test_a_full_disk_ends_the_run_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusestack.storage import LocalFolder

    settings = config(tmp_path)
    put = LocalFolder.put
    writes = []

    def full(self: Any, key: str, parts: Any) -> int:
        writes.append(key)
        if sum("/c/" in name for name in writes) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(self, key, parts)

    monkeypatch.setattr(LocalFolder, "put", full)
    monkeypatch.setattr("fusestack.taskgraph.ledger._TICK_SECONDS", 0)  # blocks of this test take no time
    with pytest.raises(OutputError, match="No space left"):
        fusestack.run(settings)
    assert sum("/c/" in name for name in writes) < 20  # it does not try the other blocks
    monkeypatch.undo()
    assert fusestack.run(settings).stages[0].action == "continued"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = config(tmp_path, path=str(tmp_path / "file" / "fused.ome.zarr"))
    with pytest.raises(OutputError, match="is a file, not a folder"):
        fusestack.run(settings)


def test_nobody_waits_for_a_lock_that_a_dead_run_left(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with output_lock(tmp_path / "fused.ome.zarr.fusestack" / "lock", "x"):
        pass
    assert not fusestack.run(settings).reused_all
