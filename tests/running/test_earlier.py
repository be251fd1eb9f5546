"""Images that grow, and images that are cut or compressed otherwise: nothing that is there is fused again."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.cli.main import run
from fusestack.fusion.blocks import FuseBlocks
from fusestack.model.errors import OutputError
from fusestack.planning.pyramid import BlockMean
from fusestack.running.inspection import inspect
from fusestack.running.runner import run_plan
from fusestack.storage import LocalFolder
from tests.small import tree

FORMATS = {
    "sharded": {"path": "fused.ome.zarr", "shards": 16},
    "0.4": {"path": "fused.ome.zarr", "ome_zarr_version": "0.4"},
    "n5": {"path": "fused.n5"},
    "hdf5": {"path": "fused.h5"},
}
REPLACE = "output.overwrite=true"


def settings(
    folder: Path, times: tuple[int, ...] = (0, 1), channels: tuple[int, ...] = (0,), kind: str = "sharded"
) -> dict[str, Any]:
    """Two tiles at every timepoint and channel; the files are the same ones whenever they are asked for."""
    views = []
    for t in times:
        for c in channels:
            for tile in range(2):
                path = folder / f"t{t}c{c}{tile}.tif"
                if not path.exists():
                    pixels = np.random.default_rng(100 * t + 10 * c + tile).integers(1, 999, (6, 20, 20), np.uint16)
                    tifffile.imwrite(path, pixels, photometric="minisblack")
                place = {"timepoint": t, "channel": c, "tile": tile, "translation": {"x": 15.5 * tile, "y": 0, "z": 0}}
                views.append({"path": str(path)} | place)
    output = FORMATS[kind] | {"chunks": 8, "pyramid": [1, 2]}
    output["path"] = str(folder / str(output["path"]))
    return {"version": 1, "input": {"views": views}, "output": output}


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Places (t, c) of blocks that are fused, not copied."""
    places: list[tuple[int, int]] = []
    compute = FuseBlocks.__call__

    def watched(self: FuseBlocks, box: Any) -> Any:
        places.append((box.start[0], box.start[1]))
        return compute(self, box)

    monkeypatch.setattr(FuseBlocks, "__call__", watched)
    return places


def everything(config: dict[str, Any]) -> dict[str, bytes]:
    """The output and its project, as bytes."""
    path = Path(config["output"]["path"])
    beside = [path, path.with_suffix(".xml")] if path.suffix in (".n5", ".h5") else [path]
    return {f"{one.name}/{key}": data for one in beside for key, data in _bytes(one).items()}


def _bytes(path: Path) -> dict[str, bytes]:
    return tree(path) if path.is_dir() else {"": path.read_bytes()}


def fresh(config: dict[str, Any], overrides: list[str], folder: Path) -> dict[str, bytes]:
    """What the same configuration makes where nothing is."""
    other = folder / "fresh"
    shutil.rmtree(other, ignore_errors=True)
    other.mkdir()
    made = config | {"output": config["output"] | {"path": str(other / Path(config["output"]["path"]).name)}}
    fusestack.run(made, overrides)
    return everything(made)


def leftovers(config: dict[str, Any]) -> list[str]:
    """Ledgers and earlier images in the work folder."""
    work = Path(f"{config['output']['path']}.fusestack")
    return sorted(one.name.split("-")[0] for one in (work / "ledger").iterdir()) + [
        one.name for one in work.iterdir() if one.name == "before"
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_new_timepoints_and_channels_alone_are_fused(tmp_path: Path, kind: str, fused: list[tuple[int, int]]) -> None:
    fusestack.run(settings(tmp_path, (0, 1), (0,), kind))
    more = settings(tmp_path, (0, 1, 2), (0, 1), kind)
    if kind == "hdf5":
        with pytest.raises(OutputError, match=r"its pixels are used, not fused again"):
            fusestack.run(more)
    fused.clear()
    report = fusestack.run(more, [REPLACE] if kind == "hdf5" else [])
    assert set(fused) == {(2, 0), (0, 1), (1, 1), (2, 1)}
    assert report.stages[0].action == ("rewritten" if kind == "hdf5" else "continued")
    assert everything(more) == fresh(more, [], tmp_path)
    assert leftovers(more) == ["fuse", "pyramid"]
    assert fusestack.run(more).reused_all
    assert run(["verify", more["output"]["path"], "--sample", "1", "--quiet"]) == 0


def test_the_plan_says_what_stays(tmp_path: Path) -> None:
    fusestack.run(settings(tmp_path))
    states = inspect(fusestack.plan(settings(tmp_path, (0, 1, 2))))
    assert [(one.action, one.reason) for one in states] == [
        ("continue", f"{2 * n} of {3 * n} blocks stay: 1 new timepoint") for n in (states[0].stage.grid.count // 3, 2)
    ]
    states = inspect(fusestack.plan(settings(tmp_path), ["output.chunks=4"]))
    assert [one.action for one in states] == ["rewrite", "run"]
    assert "output.chunks: [8, 8, 6, 1, 1] -> [4, 4, 4, 1, 1]" in states[0].reason
    assert states[0].reason.endswith("copied from the level 0 that is stored, not fused again")


def test_levels_of_another_version_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Level 0 serves, what was reduced from it by other arithmetic does not."""
    fusestack.run(settings(tmp_path))
    monkeypatch.setattr(BlockMean, "VERSION", 2, raising=False)
    more = settings(tmp_path, (0, 1, 2))
    assert [one.action for one in inspect(fusestack.plan(more))] == ["rewrite", "run"]
    report = fusestack.run(more, [REPLACE])
    assert [(one.stage, one.computed == one.blocks) for one in report.stages][1] == ("pyramid/1", True)
    assert everything(more) == fresh(more, [], tmp_path)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("sharded", ["output.chunks=4", "output.shards=none"]),
        ("sharded", ["output.compression={codec: gzip, level: 5}", "output.pyramid=none"]),
        ("sharded", ["output.ome_zarr_version='0.4'", "output.shards=auto"]),
        ("0.4", ["output.chunks={x: 16, y: 5, z: 3}"]),
        ("n5", ["output.compression={codec: none}", "output.pyramid=[1, 2, 4]"]),
        ("hdf5", ["output.pyramid=[1, {x: 2, y: 2, z: 1}]"]),
        ("hdf5", ["output.compression={codec: gzip, level: 4}", "output.chunks=4"]),
    ],
)
def test_what_is_stored_otherwise_is_copied(
    tmp_path: Path, kind: str, changes: list[str], fused: list[tuple[int, int]]
) -> None:
    config = settings(tmp_path, kind=kind)
    fusestack.run(config)
    before = everything(config)
    with pytest.raises(OutputError, match=r"made with other settings .* not fused again"):
        fusestack.run(config, changes)
    assert everything(config) == before
    wanted = fresh(config, changes, tmp_path)
    fused.clear()
    report = fusestack.run(config, [*changes, REPLACE])
    assert not fused
    assert report.stages[0].action == "rewritten"
    assert everything(config) == wanted
    assert leftovers(config) == sorted(stage.stage.split("/")[0] for stage in report.stages)
    assert fusestack.run(config, changes).reused_all


def test_timepoints_in_between_are_copied_around(tmp_path: Path, fused: list[tuple[int, int]]) -> None:
    fusestack.run(settings(tmp_path, (0, 2)))
    more = settings(tmp_path, (0, 1, 2))
    with pytest.raises(OutputError, match="other settings"):
        fusestack.run(more)
    fused.clear()
    fusestack.run(more, [REPLACE])
    assert set(fused) == {(1, 0)}
    assert everything(more) == fresh(more, [], tmp_path)
    fewer = settings(tmp_path, (1,))
    fused.clear()
    fusestack.run(fewer, [REPLACE])
    assert not fused
    assert everything(fewer) == fresh(fewer, [], tmp_path)


def test_of_inputs_that_have_changed_their_timepoint_alone_is_fused(
    tmp_path: Path, fused: list[tuple[int, int]]
) -> None:
    config = settings(tmp_path, (0, 1, 2))
    fusestack.run(config)
    for tile in range(2):
        tifffile.imwrite(tmp_path / f"t1c0{tile}.tif", np.zeros((6, 20, 20), np.uint16), photometric="minisblack")
    with pytest.raises(OutputError, match="has changed"):
        fusestack.run(config)
    fused.clear()
    fusestack.run(config, [REPLACE])
    assert set(fused) == {(1, 0)}
    assert everything(config) == fresh(config, [], tmp_path)  # blocks that are blank now are gone


def test_names_are_changed_without_touching_a_pixel(tmp_path: Path, fused: list[tuple[int, int]]) -> None:
    config = settings(tmp_path)
    fusestack.run(config)
    for view in config["input"]["views"]:
        view |= {"voxel_size": {"x": 0.5, "y": 0.5, "z": 0.5}, "unit": "micrometer"}
    with pytest.raises(OutputError, match="unit"):
        fusestack.run(config)
    fused.clear()
    fusestack.run(config, [REPLACE])
    assert not fused
    assert everything(config) == fresh(config, [], tmp_path)


def test_what_others_have_added_stays(tmp_path: Path) -> None:
    """Labels in the folder, attributes of the group, and places that were corrected."""
    config = settings(tmp_path)
    fusestack.run(config)
    path = Path(config["output"]["path"])
    labels = path / "labels" / "zarr.json"
    labels.parent.mkdir()
    labels.write_text("{}")
    found = json.loads((path / "zarr.json").read_text())
    found["attributes"]["mine"] = 1
    found["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][1]["translation"][4] = 7.0
    (path / "zarr.json").write_text(json.dumps(found))
    fusestack.run(settings(tmp_path, (0, 1, 2)))
    after = json.loads((path / "zarr.json").read_text())["attributes"]
    assert after["mine"] == 1
    assert after["ome"]["multiscales"] == found["attributes"]["ome"]["multiscales"]
    assert labels.read_text() == "{}"
    assert zarr.open_array(path / "0", mode="r").shape[0] == 3


def test_what_is_damaged_is_not_taken_over(tmp_path: Path, fused: list[tuple[int, int]]) -> None:
    fusestack.run(settings(tmp_path))
    more = settings(tmp_path, (0, 1, 2))
    (tmp_path / "fused.ome.zarr/0/c/1/0/0/0/0").unlink()
    fused.clear()
    fusestack.run(more)
    assert sorted(set(fused)) == [(1, 0), (2, 0)]
    assert everything(more) == fresh(more, [], tmp_path)
    (tmp_path / "fused.ome.zarr/0/c/1/0/0/0/0").unlink()
    fused.clear()
    fusestack.run(more, ["output.chunks=4", REPLACE])
    assert set(fused) == {(0, 0), (1, 0), (2, 0)}
    assert everything(more) == fresh(more, ["output.chunks=4"], tmp_path)


def test_weights_of_new_timepoints_and_background(tmp_path: Path) -> None:
    """Content-based weights are of all views; NaN is equal to no NaN."""
    options = ["fusion.content_based={sigma1: 3, sigma2: 5}", "fusion.dtype=float32", "fusion.background=.nan"]
    fusestack.run(settings(tmp_path), options)
    more = settings(tmp_path, (0, 1, 2))
    report = fusestack.run(more, options)
    assert {stage.stage: stage.action for stage in report.stages}["fuse"] == "continued"
    assert everything(more) == fresh(more, options, tmp_path)
    report = fusestack.run(more, [*options, "output.chunks=4", REPLACE])
    assert [stage.stage for stage in report.stages] == ["fuse", "pyramid/1"]
    assert everything(more) == fresh(more, [*options, "output.chunks=4"], tmp_path)


def test_as_a_graph(tmp_path: Path, fused: list[tuple[int, int]]) -> None:
    """Also where it is computed twice, or after another run has changed what is there."""
    fusestack.run(settings(tmp_path))
    more = settings(tmp_path, (0, 1, 2))
    job = fusestack.graph(more)
    fused.clear()
    job.compute()
    job.compute()
    assert set(fused) == {(2, 0)}
    wanted = fresh(more, [], tmp_path)
    assert everything(more) == wanted
    job, late = (fusestack.graph(more, [f"output.chunks={n}", REPLACE]) for n in (4, 2))
    fused.clear()
    job.compute()
    assert not fused
    wanted = fresh(more, ["output.chunks=4"], tmp_path)
    assert everything(more) == wanted
    with pytest.raises(OutputError, match="changed meanwhile"):
        late.compute()
    job.compute()
    assert everything(more) == wanted


def test_records_of_earlier_versions_say_nothing_of_pixels(tmp_path: Path) -> None:
    config = settings(tmp_path)
    fusestack.run(config)
    path = tmp_path / "fused.ome.zarr.fusestack" / "made.json"
    record = json.loads(path.read_text())
    for entry in record.values():
        del entry["pixels"]
    path.write_text(json.dumps(record))
    with pytest.raises(OutputError, match=r"other settings .* cache\)$"):
        fusestack.run(settings(tmp_path, (0, 1, 2)))
    report = fusestack.run(config, ["output.chunks=4", REPLACE])
    assert report.stages[0].action == "computed"


class Killed(BaseException):
    """As a kill: nobody catches it."""


@pytest.mark.parametrize("kind", ["sharded", "n5", "hdf5"])
@pytest.mark.parametrize("what", ["grows", "is copied"])
def test_killed_at_any_step(tmp_path: Path, what: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written, renamed or deleted last: the next run ends with the bytes of a fresh one."""
    old = settings(tmp_path, kind=kind)
    fusestack.run(old)
    new = settings(tmp_path, (0, 1, 2), kind=kind) if what == "grows" else old
    changes = [REPLACE] if what == "grows" else [REPLACE, "output.chunks=4"]
    wanted = fresh(new, changes, tmp_path)
    left = [10**9]

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def counted(*arguments: Any, **more: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
            return real(*arguments, **more)

        monkeypatch.setattr(owner, name, counted)

    for owner, names in (
        (LocalFolder, ("put", "delete", "delete_tree", "delete_files")),
        (Path, ("rename", "replace")),
    ):
        for name in names:
            watch(owner, name)
    saved = tmp_path / "saved"
    shutil.copytree(tmp_path, saved, ignore=shutil.ignore_patterns("fresh", "*.tif"))
    plan = fusestack.plan(new, changes)
    whole = _bytes(Path(old["output"]["path"]))
    run_plan(plan)  # counts the steps
    made = _bytes(Path(old["output"]["path"]))
    steps = 10**9 - left[0]
    assert steps > 10
    for number in range(0, steps, max(1, steps // 6)):
        for path in saved.iterdir():
            target = tmp_path / path.name
            shutil.rmtree(target) if target.is_dir() else target.unlink()
            shutil.copytree(path, target) if path.is_dir() else shutil.copy2(path, target)
        left[0] = number
        with pytest.raises(Killed):
            run_plan(plan)
        left[0] = 10**9
        places = [Path(old["output"]["path"]), *tmp_path.glob("*.fusestack/before/*/fused.*")]
        assert what == "grows" or any(_bytes(one) in (whole, made) for one in places if one.exists()), "lost"
        run_plan(plan)
        assert everything(new) == wanted, number
        assert leftovers(new) == ["fuse", "pyramid"]
