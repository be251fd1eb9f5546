"""Projects that get more timepoints: of images that are made from them, the new ones alone are fused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusestack
from fusestack.model.errors import OutputError
from fusestack.storage.hdf5_links import LinkedFile, write_links
from tests.running.test_earlier import everything, fused, settings
from tests.small import tree

__all__ = ["fused"]


def of_project(folder: Path, xml: Path) -> dict[str, Any]:
    output = {"path": str(folder / "again.ome.zarr"), "chunks": 8, "pyramid": [1, 2]}
    return {"version": 1, "input": {"project": str(xml)}, "output": output}


def fresh(config: dict[str, Any]) -> dict[str, bytes]:
    path = Path(config["output"]["path"])
    elsewhere = path.with_name("fresh.ome.zarr")
    fusestack.run({**config, "output": {**config["output"], "path": str(elsewhere)}})
    return tree(elsewhere)


def test_a_timepoint_more_in_an_n5(tmp_path: Path, fused: list[tuple[int, int]]) -> None:
    made = settings(tmp_path, (0, 1), kind="n5")
    fusestack.run(made)
    config = of_project(tmp_path, tmp_path / "fused.xml")
    fusestack.run(config)
    fusestack.run(settings(tmp_path, (0, 1, 2), kind="n5"))
    fused.clear()
    report = fusestack.run(config)
    assert set(fused) == {(2, 0)}
    assert report.stages[0].action == "continued"
    assert tree(tmp_path / "again.ome.zarr") == fresh(config)
    assert everything(made)


def test_pixels_of_an_n5_that_change_are_noticed(tmp_path: Path, fused: list[tuple[int, int]]) -> None:
    fusestack.run(settings(tmp_path, (0, 1, 2), kind="n5"))
    config = of_project(tmp_path, tmp_path / "fused.xml")
    fusestack.run(config)
    folder = tmp_path / "fused.n5/setup0/timepoint1/s0"
    shutil.copytree(folder, tmp_path / "kept")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "kept", folder)
    os.utime(folder)
    with pytest.raises(OutputError, match="timepoint1 has changed"):
        fusestack.run(config)
    fused.clear()
    fusestack.run(config, ["output.overwrite=true"])
    assert set(fused) == {(1, 0)}
    attributes = tmp_path / "fused.n5/setup0/attributes.json"
    attributes.write_bytes(attributes.read_bytes() + b" ")
    with pytest.raises(OutputError, match=r"attributes.json has changed"):
        fusestack.run(config)


def test_a_timepoint_more_behind_the_links_of_an_hdf5(tmp_path: Path, fused: list[tuple[int, int]]) -> None:
    """Each timepoint in a file of its own, which the main file links to, and the project does not name."""
    made = settings(tmp_path, (0, 1, 2), kind="hdf5")
    made["output"]["partitions"] = {"timepoints": 1, "setups": 0}
    fusestack.run(made)
    files = [LinkedFile(str(path)) for path in sorted(tmp_path.glob("fused*.h5")) if path.name != "fused.h5"]
    assert len(files) == 3
    before, xml = (tmp_path / "fused.xml").read_text(), tmp_path / "grows.xml"
    start, _, rest = before.partition("<partition>")
    whole = (start + rest.rpartition("</partition>")[2] if rest else before).replace(">fused.h5<", ">grows.h5<")

    def save(count: int) -> None:
        write_links(tmp_path / "grows.h5", files[:count])
        assert "<last>2</last>" in whole
        xml.write_text(whole.replace("<last>2</last>", f"<last>{count - 1}</last>"))

    save(2)
    config = of_project(tmp_path, xml)
    fusestack.run(config)
    save(3)
    fused.clear()
    fusestack.run(config)
    assert set(fused) == {(2, 0)}
    assert tree(tmp_path / "again.ome.zarr") == fresh(config)
    os.utime(files[1].path, ns=(1, 1))
    with pytest.raises(OutputError, match="has changed"):
        fusestack.run(config)
    fused.clear()
    fusestack.run(config, ["output.overwrite=true"])
    assert set(fused) == {(1, 0)}


def test_an_hdf5_with_pixels_is_one_file(tmp_path: Path) -> None:
    """What is in it cannot be told apart by looking: any change counts for all."""
    fusestack.run(settings(tmp_path, (0, 1), kind="hdf5"))
    project = fusestack.open_project(tmp_path / "fused.xml")
    assert {view.source.paths for view in project.views} == {(str(tmp_path / "fused.h5"),)}
    assert np.prod(project.views[0].shape) > 0
