"""Windows and macOS, as far as they can be simulated on Linux: docs/platforms.md says what that is worth."""

from __future__ import annotations

import errno
import importlib.util
import json
import ntpath
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fusestack
from fusestack import storage
from fusestack.cli import ending
from fusestack.cli.main import run
from fusestack.model import machine
from fusestack.storage import LocalFolder, locks, moving, paths
from tests.other_systems import msvcrt, refuse_open_files
from tests.small import config, tree

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
from tests.other_systems import load_everything, pretend_windows

if __name__ == "__main__":
    pretend_windows()
    load_everything()
    from fusestack.cli.main import main

    main(sys.argv[1:])
"""


def on_windows(*words: str) -> str:
    """Standard output of a command, run as on Windows."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "pipeline"), str(ROOT)])}
    command = [sys.executable, "-c", PROGRAM, *words]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-4000:]
    return answer.stdout


def test_every_module_is_loaded_and_a_fusion_has_the_same_bytes(tmp_path: Path) -> None:
    settings = config(tmp_path / "data")
    path = tmp_path / "fuse.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    assert run(["run", str(path), "--quiet", "--set", f"output.path={tmp_path / 'here.ome.zarr'}"]) == 0
    there = tmp_path / "there.ome.zarr"
    facts = json.loads(on_windows("run", str(path), "--set", f"output.path={there}", "--json").splitlines()[-1])
    assert facts["ok"]
    assert tree(there) == tree(tmp_path / "here.ome.zarr")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("f.ome.zarr", {}),
        ("g.ome.zarr", {"ome_zarr_version": "0.4", "shards": "none"}),
        ("f.h5", {}),
        ("g.h5", {"partitions": {"timepoints": 1, "setups": 1}}),
        ("f.n5", {}),
        ("f.tif", {}),
        ("f.ome.tif", {}),
        ("f.dzi", {}),
    ],
)
def test_no_file_is_deleted_or_replaced_while_it_is_open(
    name: str, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses that. Made, changed, and made anew."""
    path = str(tmp_path / "out" / name)
    settings = config(tmp_path, "uint8") | {"output": {"path": path, **more}}
    for view in settings["input"]["views"]:
        view |= {"voxel_size": 1, "unit": "micrometer"}
    if name.endswith("dzi"):
        settings["fusion"] = {"bounding_box": {"min": {"x": 0, "y": 0, "z": 5}, "max": {"x": 300, "y": 40, "z": 5}}}
    refuse_open_files(monkeypatch)
    fusestack.run(settings)
    fusestack.run(settings, ["fusion.interpolation=nearest", "output.overwrite=true"])


def test_no_picture_is_deleted_or_replaced_while_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        tifffile.imwrite(tmp_path / f"s{number}.tif", rng.integers(0, 255, (40, 50), np.uint8))
    outputs = {"path": "o.png", "depth": "d.tif", "depth_colour": "c.jpg"}
    focus = {"output": {key: str(tmp_path / "out" / name) for key, name in outputs.items()} | {"overwrite": True}}
    mapping = {"version": 1, "input": {"images": str(tmp_path / "s*.tif")}, "focus": focus}
    refuse_open_files(monkeypatch)
    fusestack.run(mapping)
    fusestack.run(mapping, ["focus.multiscale={levels: 3}"])
    assert {path.name for path in (tmp_path / "out").iterdir()} >= set(outputs.values())


def test_what_is_open_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation itself."""
    refuse_open_files(monkeypatch)
    path = tmp_path / "a"
    with path.open("w"), pytest.raises(PermissionError, match="a open"):
        path.unlink()
    path.write_bytes(b"abc")
    mapped = np.memmap(path, np.uint8, mode="r")
    with pytest.raises(PermissionError):
        path.rename(tmp_path / "b")
    del mapped
    path.unlink()


@pytest.fixture
def windows_locks(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module of locks as Windows loads it."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt())
    spec = importlib.util.spec_from_file_location("locks_of_windows", locks.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_locks_exclude_one_another(system: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    module = request.getfixturevalue("windows_locks") if system == "win32" else locks

    def taken(*, shared: bool) -> int:
        descriptor: int = module.open_lock(tmp_path / "lock")
        try:
            module.lock(descriptor, shared=shared)
        except BlockingIOError:
            os.close(descriptor)
            return 0
        return descriptor

    alone = taken(shared=False)
    assert alone
    os.write(alone, b"process 7")
    assert (tmp_path / "lock").read_bytes() == b"process 7", "what is said of the holder stays readable"
    assert not taken(shared=False)
    assert not taken(shared=True)
    os.close(alone)
    first, second = taken(shared=True), taken(shared=True)
    assert first
    assert second
    assert not taken(shared=False)
    os.close(first)
    assert not taken(shared=False)
    os.close(second)
    last = taken(shared=False)
    assert last
    os.close(last)
    with pytest.raises(OSError, match="No such file"):
        module.open_lock(tmp_path / "none", create=False)


@pytest.fixture
def paths_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("abspath", "relpath", "split"):
        monkeypatch.setattr(os.path, name, getattr(ntpath, name))
    monkeypatch.setattr(os, "sep", "\\")
    monkeypatch.setattr(os, "getcwd", lambda: "C:\\work")


@pytest.mark.usefixtures("paths_of_windows")
def test_paths_have_slashes_and_drives() -> None:
    assert paths.absolute("D:\\a\\b c\\x.ome.zarr\\") == "D:/a/b c/x.ome.zarr"
    assert paths.absolute("\\\\server\\share\\x.h5") == "//server/share/x.h5"
    assert paths.absolute("s3://bucket/a/") == "s3://bucket/a"
    assert paths.relative("C:\\a\\b\\x.h5", "C:\\a\\c") == "../b/x.h5"
    assert paths.relative("D:\\b\\x.h5", "C:\\a") == "D:/b/x.h5"
    folder, name = storage.folder_of("D:\\a\\x.h5")
    assert (folder.where, name) == ("D:/a", "x.h5")


@pytest.mark.parametrize("path", ["C:/data/x.zarr", "C:\\data", "C://data", "c:x.tif", "/a/b", "a", "", "://"])
def test_a_drive_is_no_address(path: str) -> None:
    assert not paths.is_address(path)
    assert paths.is_address(f"s3://{path}")


def test_capitals_do_not_hide_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusestack.planning.plan import _is_within

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tile.tif").touch()
    path = str(tmp_path / "data" / "tile.tif")
    assert _is_within(path, path)
    assert _is_within(path, str(tmp_path / "data"))
    assert not _is_within(path, str(tmp_path / "dat"))
    assert not _is_within(path, str(tmp_path / "DATA"))
    monkeypatch.setattr(Path, "exists", lambda self: True)  # as macOS and Windows say
    monkeypatch.setattr(Path, "samefile", lambda self, other: True)
    assert _is_within(path, str(tmp_path / "DATA"))
    assert _is_within(path, str(tmp_path / "data" / "Tile.TIF"))
    assert not _is_within(path, str(tmp_path / "data" / "tile"))


def test_a_backslash_is_a_character_elsewhere() -> None:
    assert paths.slashed("a\\b") == "a\\b"
    assert paths.slashed(Path("a/b")) == "a/b"


def test_a_file_on_another_drive_is_named_from_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from xml.etree.ElementTree import Element

    from fusestack.project import write
    from fusestack.project.loaders.base import resolve_path, resolve_uri

    folder = str(tmp_path)
    element = Element("path")
    write.set_place(element, tmp_path / "a b.h5", folder)
    assert (element.get("type"), element.text) == ("relative", "a b.h5")
    monkeypatch.setattr(write, "relative", lambda path, folder: str(path))  # as on another drive
    write.set_place(element, tmp_path / "a b.h5", folder)
    assert element.get("type") == "absolute"
    assert resolve_path(element, "/elsewhere") == f"{folder}/a b.h5"
    write.set_place(element, tmp_path / "a b.h5", folder, uri=True)
    assert resolve_uri(element, "/elsewhere") == f"{folder}/a b.h5"


def test_a_file_that_somebody_has_open_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([PermissionError(13, "in use")] * 3)
    replace = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        if error := next(refusals, None):
            raise error
        return replace(self, target)

    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(Path, "replace", replaced)
    with pytest.raises(PermissionError):  # Linux and macOS replace files that are open: a refusal is one
        moving.take_place(tmp_path / "new", tmp_path / "old")
    monkeypatch.setattr(moving, "_TRIES", 3)
    monkeypatch.setattr(moving, "_PAUSE", 0)
    moving.take_place(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"


def test_a_disk_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    folder = LocalFolder(tmp_path)
    assert folder.create("a/turn", b"first")
    assert not folder.create("a/turn", b"second")
    assert folder.get("a/turn") == b"first"


def test_what_a_machine_has_without_the_functions_of_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine.memory_bytes()
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "sysconf")
    assert machine.cores() == os.cpu_count()
    assert machine.memory_bytes() == here


def test_a_console_that_is_closed_is_as_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    try:
        ending.end_as_after_ctrl_c()
        for number in before:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_pipe_with_an_old_code_page(tmp_path: Path) -> None:
    path = tmp_path / "fuse-µ-日.json"
    path.write_text(json.dumps(config(tmp_path / "日")), encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252:strict"}
    command = [sys.executable, "-m", "fusestack"]
    for words in (["plan", str(path)], ["validate", str(path)], ["init", str(tmp_path / "日"), "-o", f"{path}.yaml"]):
        answer = subprocess.run([*command, *words], env=environment, capture_output=True, check=False)
        assert answer.returncode == 0, answer.stderr
    assert "fuse-µ-?.json" in answer.stdout.decode("cp1252")
