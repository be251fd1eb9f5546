"""Planning and validating read metadata only: every pixel source here raises when a pixel is asked for."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
import fusestack.sources
from fusestack.cli.main import run
from fusestack.model.errors import BlockError
from fusestack.model.stage import StoredArray
from fusestack.sources import base
from tests.small import config

FOCUS = {"output": {"path": "sharp.ome.zarr"}}


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the sources, none of which can be read any more."""
    names = []

    def refuse(*_: Any) -> Any:
        raise AssertionError("a pixel was read")

    for module in pkgutil.iter_modules(fusestack.sources.__path__):
        found = vars(importlib.import_module(f"fusestack.sources.{module.name}"))
        for name, kind in list(found.items()):
            if name.endswith("Source") and "read" in vars(kind) and kind is not base.PixelSource:
                monkeypatch.setattr(kind, "read", refuse)
                names.append(name)
    monkeypatch.setattr(StoredArray, "read", refuse)
    return names


def check(settings: dict[str, Any], folder: Path) -> None:
    """Plan and validate, as a library and as a command that is told not to look."""
    file = folder / "fuse.yaml"
    file.write_text(json.dumps(settings))
    assert len(fusestack.plan(file).stages) > 1
    assert run(["validate", str(file), "--no-probe"]) == 0
    assert run(["plan", str(file), "--no-probe"]) == 0
    with pytest.raises(BlockError, match="a pixel was read"):
        fusestack.run(file, ["execution.retries=0"], probe=False)


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("focus", [False, True])
def test_views(content: bool, focus: bool, tmp_path: Path, blind: list[str]) -> None:
    settings = config(tmp_path)
    rng = np.random.default_rng(0)
    array = zarr.create_array(tmp_path / "more.zarr", shape=(24, 40, 50), dtype="u2", chunks=(8, 20, 20))
    array[:] = rng.integers(0, 9, array.shape)
    settings["input"]["views"].append({"path": str(tmp_path / "more.zarr"), "tile": 9})
    settings["fusion"] = {"content_based": content}
    settings |= {"focus": FOCUS} if focus else {}
    assert {"TiffSource", "OmeZarrSource"} <= set(blind)
    check(settings, tmp_path)


def test_project(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    views = []
    for number in range(2):
        tifffile.imwrite(tmp_path / f"{number}.tif", np.full((9, 20, 30), number + 1, np.uint16))
        views.append({"path": str(tmp_path / f"{number}.tif"), "channel": number})
    output = {"path": str(tmp_path / "made.h5")}
    fusestack.run({"version": 1, "input": {"views": views}, "output": output})
    assert "BdvHdf5Source" in request.getfixturevalue("blind")
    settings = {"version": 1, "input": {"project": str(tmp_path / "made.xml")}}
    check({**settings, "output": {"path": str(tmp_path / "fused.ome.zarr"), "pyramid": [1, 2]}}, tmp_path)
