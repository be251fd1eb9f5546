"""A rerun does only what changed, and says why."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.cli.main import run
from fusestack.model.errors import OutputError
from fusestack.planning.plan import Plan
from fusestack.running.inspection import inspect


@pytest.fixture
def config(tmp_path: Path) -> dict[str, object]:
    rng = np.random.default_rng(0)
    for i in range(2):
        tifffile.imwrite(tmp_path / f"t{i}.tif", rng.integers(1, 999, (20, 40, 50), dtype=np.uint16))
    return {
        "version": 1,
        "input": {
            "views": [
                {"path": str(tmp_path / f"t{i}.tif"), "translation": {"x": 30.5 * i, "y": 0, "z": 0}} for i in range(2)
            ]
        },
        "output": {"path": str(tmp_path / "fused.ome.zarr"), "chunks": 16, "shards": 32, "pyramid": [1, 2, 4]},
    }


def actions(plan: Plan) -> list[str]:
    return [state.action for state in inspect(plan)]


def test_nothing_is_computed_twice(config: dict[str, object]) -> None:
    assert actions(fusestack.plan(config)) == ["run"] * 3
    first = fusestack.run(config)
    assert [stage.action for stage in first.stages] == ["computed"] * 3
    assert actions(fusestack.plan(config)) == ["reuse"] * 3
    again = fusestack.run(config)
    assert again.reused_all
    forced = fusestack.run(config, force=True)
    assert [stage.computed for stage in forced.stages] == [stage.blocks for stage in forced.stages]


def test_workers_and_memory_are_not_settings_of_the_image(config: dict[str, object]) -> None:
    fusestack.run(config)
    report = fusestack.run(config, ["execution.workers=3", "execution.memory=1GiB", "execution.scheduler=processes"])
    assert report.reused_all


def test_another_pyramid_reuses_the_levels_that_stay(config: dict[str, object], tmp_path: Path) -> None:
    fusestack.run(config)
    other = ["output.pyramid=[1, 2, {x: 4, y: 8, z: 2}]"]
    with pytest.raises(OutputError, match=r"output\.pyramid: .* -> "):
        fusestack.run(config, other)
    report = fusestack.run(config, [*other, "output.overwrite=true"])
    assert [stage.action for stage in report.stages] == ["reused", "reused", "computed"]
    fresh = fusestack.run(config, [*other, f"output.path={tmp_path / 'fresh.ome.zarr'}"])
    for level in "012":
        made, wanted = (zarr.open_array(f"{path}/{level}", mode="r") for path in (report.outputs[0], fresh.outputs[0]))
        assert made.shape == wanted.shape
        assert made[:].tobytes() == wanted[:].tobytes()


def test_the_plan_says_what_changed(
    config: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of levels that are exchanged, and of stages of the cache."""

    def reasons(*overrides: str) -> list[str]:
        return [f"{state.action}: {state.reason}" for state in inspect(fusestack.plan(config, overrides))]

    fusestack.run(config)
    assert reasons("output.pyramid=[1, 2, 6]") == [
        "reuse: complete, nothing it depends on has changed",
        "reuse: complete, nothing it depends on has changed",
        "run: output.pyramid: [[1, 1, 1], [2, 2, 2], [4, 4, 4]] -> [[1, 1, 1], [2, 2, 2], [6, 6, 6]]",
    ]
    weighted = "fusion.content_based={sigma1: 3, sigma2: 5}"
    assert reasons(weighted)[0].startswith("run: not in the cache: fusion.content_based")
    assert reasons(weighted, "output.path=other.ome.zarr")[0] == "run: not in the cache"
    path = tmp_path / "fuse.yaml"
    path.write_text(json.dumps(config))
    assert run(["run", str(path), "--dry-run", "--set", weighted, "--set", "output.overwrite=true"]) == 0
    assert "not in the cache: fusion.content_based" in capsys.readouterr().out


def test_changed_input_and_options_are_named(config: dict[str, object], tmp_path: Path) -> None:
    fusestack.run(config)
    with pytest.raises(OutputError, match=r"fusion\.downsampling: 1\.0 -> 2\.0"):
        fusestack.run(config, ["fusion.downsampling=2"])
    tifffile.imwrite(tmp_path / "t1.tif", np.ones((20, 40, 50), np.uint16))
    with pytest.raises(OutputError, match=r"the input .*t1\.tif has changed"):
        fusestack.run(config)
    report = fusestack.run(config, ["output.overwrite=true"])
    assert [stage.action for stage in report.stages] == ["computed"] * 3
    assert zarr.open_array(f"{report.outputs[0]}/0", mode="r")[0, 0, 5, 5, -5] == 1


def test_files_that_only_their_folders_tell_apart(tmp_path: Path) -> None:
    """Of one name, one size, and one time of change, as archives unpack them: exchanged, they are another input."""
    rng = np.random.default_rng(0)
    views = []
    for number in range(2):
        path = tmp_path / f"Pos{number}" / "img.tif"
        path.parent.mkdir()
        tifffile.imwrite(path, rng.integers(0, 255, (4, 20, 20)).astype(np.uint8), photometric="minisblack")
        os.utime(path, (1e9, 1e9))
        views.append({"path": str(path), "translation": {"x": 15 * number, "y": 0, "z": 0}, "tile": number})
    run = {"version": 1, "input": {"views": views}, "output": {"path": str(tmp_path / "fused.ome.zarr")}}
    fusestack.run(run)
    assert fusestack.run(run).reused_all
    views[0]["path"], views[1]["path"] = views[1]["path"], views[0]["path"]
    with pytest.raises(OutputError, match="made with other settings"):
        fusestack.run(run)
