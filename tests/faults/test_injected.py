"""Inputs, disks and clocks that fail while a run is under way."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusestack
from fusestack.cli.main import run
from fusestack.model.errors import BlockError, OutputError
from fusestack.model.geometry import Box
from fusestack.sources.tiff import TiffSource
from fusestack.storage import LocalFolder
from tests.faults.test_killed import SLOW, start, wait_for_blocks, written
from tests.small import config, tree

READ = TiffSource.read
PRELOADED = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


def whole(folder: Path) -> dict[str, bytes]:
    """What a run makes where nothing fails."""
    fusestack.run(config(folder / "whole"))
    return tree(folder / "whole" / "fused.ome.zarr")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], bool]], Counter[Box]]:
    """Have reads of some regions fail, by how many of them there were; gives how often each region was read."""

    def fail(when: Callable[[int], bool]) -> Counter[Box]:
        tries: Counter[Box] = Counter()
        met: list[Box] = []

        def read(self: Any, level: int, box: Box) -> np.ndarray[Any, Any]:
            tries[box] += 1
            if box.start[2] >= 16 and box.start[0] == 0:
                met.append(box)
                if when(len(met)):
                    raise OSError(errno.EIO, "the disk does not answer")
            return READ(self, level, box)

        monkeypatch.setattr(TiffSource, "read", read)
        return tries

    return fail


def test_a_chunk_that_fails_twice_and_then_works(
    tmp_path: Path, reads: Callable[[Callable[[int], bool]], Counter[Box]]
) -> None:
    wanted = whole(tmp_path)
    tries = reads(lambda number: number <= 2)
    report = fusestack.run(config(tmp_path), ["execution.retries=3"], probe=False)
    assert tree(tmp_path / "fused.ome.zarr") == wanted
    again = [count for count in tries.values() if count > 1]
    assert report.stages[0].retries == 2
    assert again
    assert max(again) <= 3 * 2  # boxes of two tiles may be the same
    assert not report.stages[0].failed


def test_a_chunk_that_always_fails_costs_its_blocks_alone(
    tmp_path: Path, reads: Callable[[Callable[[int], bool]], Counter[Box]], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = whole(tmp_path)
    tries = reads(lambda number: True)
    settings = config(tmp_path) | {"execution": {"retries": 1}}
    assert run(["run", "--no-probe", str(written(tmp_path, settings))]) == 4
    said = capsys.readouterr().err
    assert "the disk does not answer" in said
    assert "failed after all retries" in said
    assert "Traceback" not in said
    assert max(tries.values()) <= 2 * 2
    found = tree(tmp_path / "fused.ome.zarr")
    made = {name for name in found if name.startswith("0/c/")}
    assert made
    assert made < {name for name in wanted if name.startswith("0/c/")}
    assert all(found[name] == wanted[name] for name in made)


def test_a_source_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    wanted = whole(tmp_path)
    settings = config(tmp_path)
    path = Path(settings["input"]["views"][2]["path"])
    data, known = path.read_bytes(), path.stat()

    def cut(event: Any) -> None:
        if type(event).__name__ == "RunStarted":
            path.write_bytes(data[: len(data) // 2])

    with pytest.raises(BlockError, match=r"tile2\.tif"):
        fusestack.run(settings, ["execution.retries=0"], listener=cut)
    path.write_bytes(data)
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    fusestack.run(settings)
    assert tree(tmp_path / "fused.ome.zarr") == wanted


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_an_output_that_becomes_read_only_ends_the_run(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, put, writes = whole(tmp_path), LocalFolder.put, []
    settings = config(tmp_path)

    def refuse(self: Any, key: str, parts: Any) -> int:
        writes.append(key)
        if sum("/c/" in name for name in writes) > 6:
            raise OSError(code, os.strerror(code))
        return put(self, key, parts)

    monkeypatch.setattr(LocalFolder, "put", refuse)
    monkeypatch.setattr("fusestack.taskgraph.ledger._TICK_SECONDS", 0)
    with pytest.raises(OutputError, match=os.strerror(code)) as caught:
        fusestack.run(settings)
    assert caught.value.exit_code == 5
    assert sum("/c/" in name for name in writes) < 14  # nobody tries all others
    monkeypatch.undo()
    assert fusestack.run(settings).stages[0].action == "continued"
    assert tree(tmp_path / "fused.ome.zarr") == wanted


@pytest.mark.skipif(PRELOADED is None, reason="libfaketime is not installed (apt-get install faketime)")
def test_a_clock_that_jumps_days_to_and_fro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, settings, other = tmp_path / "clock", config(tmp_path), config(tmp_path / "whole")
    for one in (settings, other):
        one["input"]["views"] = one["input"]["views"][:1]
    fusestack.run(other)
    wanted = tree(tmp_path / "whole" / "fused.ome.zarr")
    path = written(tmp_path, settings)
    clock.write_text("+0d")
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(PRELOADED))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
        for name in ("FAKETIME_CACHE_DURATION", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"):
            patch.setenv(name, "1")
        # libfaketime breaks what Python sleeps by
        process = start(path, program=SLOW.replace("time.sleep(0.05)", "select.select([], [], [], 0.05)"))
    for jump in ("+10d", "-20d", "+9000d"):
        wait_for_blocks(tmp_path, process, 2)
        clock.write_text(jump)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert tree(tmp_path / "fused.ome.zarr") == wanted
    assert fusestack.run(settings).reused_all
