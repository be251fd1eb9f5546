"""A rerun does only what changed; the cache is listed, freed, kept small, shared."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import fusestack
from fusestack.cli.main import run as command
from fusestack.focus import blocks
from fusestack.model.errors import BlockError, ConfigError, FusestackWarning, InputError, OutputError
from fusestack.model.image import Codec
from fusestack.model.stage import Stage, Target
from fusestack.planning import resources, stages, stored
from fusestack.planning.resources import Resources
from fusestack.running.inspection import inspect
from fusestack.running.stage_cache import cache_entries, cache_in_use, trim_cache
from fusestack.writers.ome_zarr import OmeZarrWriter
from tests.focus.stacks import computed, config, run, scene, write

OPTIONS = "--blur=s1 --statistic=r4 --maskblur=s2"


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return write(tmp_path / "slices", scene((60, 80), 4)[0])


def again(paths: list[str], folder: Path, options: str, **output: Any) -> list[str]:
    _, report = run(paths, folder, options=options, output={"overwrite": True, **output})
    return computed(report)


def test_late_options_reuse_the_masks(paths: list[str], tmp_path: Path) -> None:
    first = again(paths, tmp_path, OPTIONS)
    assert {"slices", "masks/blur", "masks/statistic", "merge", "write/image", "write/depth"} <= set(first)
    assert again(paths, tmp_path, OPTIONS) == []
    outputs = ["write/image", "write/mask", "write/depth"]
    assert again(paths, tmp_path, f"{OPTIONS} --cutwave") == outputs
    assert again(paths, tmp_path, f"{OPTIONS} --cutwave --finalblur") == ["montage", *outputs]
    assert again(paths, tmp_path, f"{OPTIONS} --cutwave --finalblur --bg=max") == ["final", "image/Max", *outputs]
    assert again(paths, tmp_path, f"{OPTIONS} --cutwave") == outputs


def test_one_generator_is_computed_alone(paths: list[str], tmp_path: Path) -> None:
    again(paths, tmp_path, OPTIONS)
    changed = again(paths, tmp_path, OPTIONS.replace("s1", "s1.5"))
    assert "masks/blur" in changed
    assert "merge" in changed
    assert {"slices", "masks/statistic", "counts/statistic"}.isdisjoint(changed)
    # weights, thresholds and levels of the merged mask touch no generator
    weighted = again(paths, tmp_path, "--blur=s1,w60 --statistic=r4,t10 --maskblur=s2 --masklevel=t0")
    assert {"masks/blur", "masks/statistic", "counts/blur", "counts/statistic"}.isdisjoint(weighted)


def test_an_exchanged_slice_is_noticed(paths: list[str], tmp_path: Path) -> None:
    again(paths, tmp_path, OPTIONS)
    tifffile.imwrite(paths[1], 255 - tifffile.imread(paths[1]), photometric="rgb")
    os.utime(paths[1], (1, 1))
    with pytest.raises(OutputError, match=r"the input .*slice_2.tif has changed"):
        run(paths, tmp_path, options=OPTIONS)
    assert "slices" in again(paths, tmp_path, OPTIONS)


def test_another_setting_refuses_and_says_what_differs(paths: list[str], tmp_path: Path) -> None:
    run(paths, tmp_path, options=OPTIONS)
    with pytest.raises(OutputError, match=r"focus\.options: .*--cutwave.*focus\.output\.overwrite"):
        run(paths, tmp_path, options=f"{OPTIONS} --cutwave")


def test_stages_that_nobody_reads_any_more_may_go(paths: list[str], tmp_path: Path) -> None:
    again(paths, tmp_path, OPTIONS)
    cache = tmp_path / "cache.fusestack"
    assert command(["cache", "rm", str(tmp_path), "--stage", "masks", "--quiet"]) == 0
    assert command(["cache", "rm", str(tmp_path), "--stage", "slices", "--quiet"]) == 0
    names = {entry.stage for entry in cache_entries(str(cache))}
    assert names
    assert not any(name.startswith(("masks", "slices")) for name in names)
    assert again(paths, tmp_path, OPTIONS) == []
    # a new cut needs the slices again, not the masks of the generators
    changed = again(paths, tmp_path, f"{OPTIONS} --cutwave")
    assert "slices" in changed
    assert not any(name.startswith("masks") for name in changed)


def test_results_are_the_same_after_the_cache_is_gone(paths: list[str], tmp_path: Path) -> None:
    again(paths, tmp_path, OPTIONS)
    before = tifffile.imread(tmp_path / "sharp.tif").tobytes()
    assert command(["cache", "rm", str(tmp_path), "--quiet"]) == 0
    assert cache_entries(str(tmp_path / "cache.fusestack")) == []
    again(paths, tmp_path, f"{OPTIONS} --cutwave")
    again(paths, tmp_path, OPTIONS)
    assert tifffile.imread(tmp_path / "sharp.tif").tobytes() == before


def test_cache_commands(paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again(paths, tmp_path, OPTIONS)
    file = tmp_path / "fuse.yaml"
    file.write_text(json.dumps(config(paths, tmp_path, options=OPTIONS)))
    capsys.readouterr()
    assert command(["cache", "ls", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {entry["stage"] for entry in found["entries"]} >= {"slices", "masks/blur", "merge"}
    assert found["bytes"] == sum(entry["bytes"] for entry in found["entries"]) > 0
    assert command(["cache", "rm", str(tmp_path), "--older-than", "1h", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["freed"] == 0
    old = time.time() - 3 * 86400
    for entry in found["entries"][:2]:
        os.utime(Path(entry["folder"], "entry.json"), (old, old))
    assert command(["cache", "rm", str(tmp_path), "--older-than", "2d", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["entries"]) == 2
    assert command(["cache", "rm", str(tmp_path), "--older-than", "soon"]) == 2
    assert "such as 30d" in capsys.readouterr().err
    assert command(["cache", "ls", str(tmp_path / "nowhere")]) == 2


def test_a_limit_frees_what_was_used_longest_ago(tmp_path: Path) -> None:
    paths = write(tmp_path / "slices", scene((300, 400), 4)[0])
    cache = str(tmp_path / "cache.fusestack")
    again(paths, tmp_path, OPTIONS)
    old = time.time() - 3600
    for seconds, entry in enumerate(reversed(cache_entries(cache))):
        os.utime(Path(entry.folder, "entry.json"), (old + seconds, old + seconds))
    options = f"{OPTIONS} --cutwave --finalblur"
    again(paths, tmp_path, options)
    used = [entry for entry in cache_entries(cache) if entry.used > old + 600]
    assert {entry.stage for entry in used} >= {"montage"}
    # what the last run used is kept, and as much of the rest as there is room for
    unused = [entry for entry in cache_entries(cache) if entry not in used]
    limit = sum(entry.size for entry in used) + unused[-1].size
    assert limit >= 2**20, "the least limit there is"
    plan = fusestack.plan(
        config(paths, tmp_path, options=options, output={"overwrite": True}) | {"cache": {"limit": limit}}
    )
    report = fusestack.run(plan)
    kept = cache_entries(cache)
    assert {entry.folder for entry in kept} == {entry.folder for entry in [*used, unused[-1]]}
    assert report.cache_bytes == sum(entry.size for entry in kept) <= limit
    assert report.cache_freed == sum(entry.size for entry in unused[:-1]) > 0


@pytest.mark.parametrize("limit", ["auto", None])
def test_by_itself_a_cache_keeps_a_tenth_of_its_disk(
    limit: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = str(tmp_path / "cache.fusestack")
    again(write(tmp_path / "slices", scene((60, 80), 4)[0]), tmp_path, OPTIONS)
    sizes = [entry.size for entry in cache_entries(cache)]
    usage = shutil.disk_usage(tmp_path)._replace(total=10 * (sum(sizes) - 1))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    kept, freed = trim_cache(cache, limit)  # type: ignore[arg-type]
    assert (kept, freed) == ((sum(sizes) - sizes[0], sizes[0]) if limit == "auto" else (sum(sizes), 0))


def test_another_place_for_the_cache(paths: list[str], tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    settings = {"cache": {"path": str(place)}}
    fusestack.run(config(paths, tmp_path, options=OPTIONS) | settings)
    assert cache_entries(str(place))
    assert not (tmp_path / "cache.fusestack").exists()
    other = tmp_path / "other"
    report = fusestack.run(config(paths, other, options=f"{OPTIONS} --cutwave") | settings)
    assert "merge" not in computed(report), "outputs of other names find the same masks"


@pytest.mark.parametrize("options", ["", "--saturation=w25,level"])
def test_tables_that_were_packed_otherwise_are_made_again(
    options: str, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache of an earlier version is used as far as it goes, and never refuses."""
    packed, make = Codec("blosc", 1), stages.stored_target

    def stored_target(*of: Any) -> Target:
        target = make(*of)
        return target if of[-1].shards else replace(target, image=replace(target.image, codec=packed))

    with monkeypatch.context() as earlier:
        earlier.setattr(stages, "CODEC", packed)
        earlier.setattr(stages, "stored_target", stored_target)
        run(paths, tmp_path, options=options)
    again = {key: str(tmp_path / f"again_{key}.tif") for key in ("path", "depth", "mask")}
    _, report = run(paths, tmp_path, options=options, output=again)
    assert computed(report)
    for key, name in (("path", "sharp"), ("depth", "depth"), ("mask", "mask")):
        assert tifffile.imread(again[key]).tobytes() == tifffile.imread(tmp_path / f"{name}.tif").tobytes()


def test_a_damaged_entry_is_made_again(paths: list[str], tmp_path: Path) -> None:
    again(paths, tmp_path, OPTIONS)
    cache = tmp_path / "cache.fusestack"
    merge = next(Path(entry.folder) for entry in cache_entries(str(cache)) if entry.stage == "merge")
    lost = merge / "data.ome.zarr" / "zarr.json"
    before = lost.read_bytes()
    lost.unlink()
    again(paths, tmp_path, f"{OPTIONS} --cutwave")
    assert lost.read_bytes() == before, "what lies in chunks is not computed again"
    shutil.rmtree(merge / "data.ome.zarr")
    with pytest.warns(FusestackWarning, match="made again"):
        assert "merge" in again(paths, tmp_path, f"{OPTIONS} --cutless=p20")


def test_frozen_statistics_make_a_crop_equal(tmp_path: Path) -> None:
    stack = scene((120, 160), 4)[0]
    options = "--blur=s1 --statistic=r3 --maskblur=s1 --finalgamma --finalsharpen"
    kept = str(tmp_path / "statistics.json")
    paths = write(tmp_path / "whole_slices", stack)
    run(paths, tmp_path / "whole", options=options, statistics={"save": kept})
    assert set(json.loads(Path(kept).read_text())["statistics"]) >= {"--blur=s1 limits", "merged limits"}
    part = (slice(30, 100), slice(40, 140))
    crop = write(tmp_path / "crop_slices", stack[(slice(None), *part)])
    run(crop, tmp_path / "crop", options=options, statistics={"use": kept})
    run(crop, tmp_path / "free", options=options)
    whole = tifffile.imread(tmp_path / "whole" / "sharp.tif")[part]
    inner = (slice(20, -20), slice(20, -20))
    frozen, free = (tifffile.imread(tmp_path / name / "sharp.tif") for name in ("crop", "free"))
    assert np.array_equal(frozen[inner], whole[inner])
    assert not np.array_equal(free[inner], whole[inner])
    with pytest.raises(ConfigError, match="no statistics of '--wavelet limits'"):
        run(crop, tmp_path / "other", options="--wavelet", statistics={"use": kept})
    with pytest.raises(InputError, match="cannot be read"):
        run(crop, tmp_path / "none", options=options, statistics={"use": "nowhere.json"})


def test_the_plan_says_what_is_reused(paths: list[str], tmp_path: Path) -> None:
    again(paths, tmp_path, OPTIONS)
    plan = fusestack.plan(config(paths, tmp_path, options=f"{OPTIONS} --cutwave", output={"overwrite": True}))
    states = {state.stage.name: state for state in inspect(plan)}
    assert states["write/image"].action == "run"
    assert states["merge"].action == "reuse"
    assert states["merge"].needed
    assert not states["masks/blur"].needed


def test_a_failed_run_continues(paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusestack.focus.montage import Montage

    def fail(self: Montage, box: object) -> None:
        raise RuntimeError("no more memory")

    with monkeypatch.context() as patch:
        patch.setattr(Montage, "__call__", fail)
        with pytest.raises(BlockError, match=r"stage write/image, block 0 .*no more memory"):
            run(paths, tmp_path, options=OPTIONS)
    _, report = run(paths, tmp_path, options=OPTIONS)
    assert computed(report) == ["write/image", "write/mask", "write/depth"]
    run(paths, tmp_path / "fresh", options=OPTIONS)
    assert (tmp_path / "sharp.tif").read_bytes() == (tmp_path / "fresh" / "sharp.tif").read_bytes()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("--sobel --blur", "--sobel --blur=mask=no"),
        ("--blur --maskblur=s4", "--blur=mask=no --maskblur=s4"),
        ("--max=level=no", "--max=level=yes"),
        ("--max", "--max=neg"),
    ],
)
def test_the_cache_knows_all_that_matters(one: str, other: str, paths: list[str], tmp_path: Path) -> None:
    again(paths, tmp_path, one)
    again(paths, tmp_path, other)
    again(paths, tmp_path / "fresh", other)
    for name in ("sharp.tif", "mask.tif", "depth.tif"):
        shared, fresh = (tifffile.imread(folder / name) for folder in (tmp_path, tmp_path / "fresh"))
        assert np.array_equal(shared, fresh, equal_nan=name == "depth.tif"), name


def test_slices_that_were_exchanged_by_renaming(paths: list[str], tmp_path: Path) -> None:
    again(paths, tmp_path, OPTIONS)
    first, second, between = Path(paths[0]), Path(paths[3]), tmp_path / "between"
    first.rename(between)
    second.rename(first)
    between.rename(second)
    assert "slices" in again(paths, tmp_path, OPTIONS)


def test_a_folder_of_another_name_is_no_other_input(paths: list[str], tmp_path: Path) -> None:
    first, second = tmp_path / "slices", tmp_path / "renamed"
    tifffile.imwrite(first / "map.tif", np.zeros((60, 80), np.uint16))
    options = "--depthmap={0}/map.tif --blur"
    again(paths, tmp_path, options.format(first))
    first.rename(second)
    moved = [str(second / Path(path).name) for path in paths]
    changed = again(moved, tmp_path, options.format(second))
    assert set(changed) <= {"write/image", "write/mask", "write/depth"}, "which say what they were made with"
    os.utime(second / "map.tif", (1, 1))
    changed = again(moved, tmp_path, options.format(second))
    assert changed[:2] == ["image/depthmap", "masks/depthmap"]
    assert "masks/blur" not in changed


@pytest.mark.parametrize("options", ["--cutwave", "--bg=red"])
def test_float_slices_come_back_when_they_are_needed(options: str, tmp_path: Path) -> None:
    paths = write(tmp_path / "slices", scene((60, 80), 4)[0], "float32")
    again(paths, tmp_path, OPTIONS)
    for entry in cache_entries(str(tmp_path / "cache.fusestack")):
        if entry.stage in ("slices", "limits/slices"):
            shutil.rmtree(entry.folder)
    again(paths, tmp_path, f"{OPTIONS} {options}")
    again(paths, tmp_path / "fresh", f"{OPTIONS} {options}")
    shared, fresh = (tifffile.imread(folder / "sharp.tif") for folder in (tmp_path, tmp_path / "fresh"))
    assert np.array_equal(shared, fresh)


def test_limits_come_back_when_another_type_is_written(tmp_path: Path) -> None:
    paths = write(tmp_path / "slices", scene((60, 80), 4)[0] * 4000, "float32")
    again(paths, tmp_path, OPTIONS)
    for entry in cache_entries(str(tmp_path / "cache.fusestack")):
        if entry.stage in ("slices", "limits/slices"):
            shutil.rmtree(entry.folder)
    again(paths, tmp_path, OPTIONS, dtype="uint8")
    assert tifffile.imread(tmp_path / "sharp.tif").max() == 255


def test_a_cache_in_use_is_left_alone(paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again(paths, tmp_path, OPTIONS)
    cache = str(tmp_path / "cache.fusestack")
    before = cache_entries(cache)
    with cache_in_use(cache), cache_in_use(cache):
        assert command(["cache", "rm", cache]) == 5
        assert "another run" in capsys.readouterr().err
        assert trim_cache(cache, 1)[1] == 0
        assert cache_entries(cache) == before
    assert command(["cache", "rm", cache]) == 0
    assert cache_entries(cache) == []
    assert "slices" in again(paths, tmp_path, f"{OPTIONS} --cutwave")


def test_statistics_of_two_operators_of_a_kind(tmp_path: Path) -> None:
    stack = scene((70, 90), 4)[0]
    options = "--blur=s1 --maskblur=s1 --finalgamma --finalalpha=p10,P120 --finalgamma"
    kept = str(tmp_path / "statistics.json")
    run(write(tmp_path / "in", stack), tmp_path / "one", options=options, statistics={"save": kept})
    run(write(tmp_path / "in", stack), tmp_path / "two", options=options, statistics={"use": kept})
    one, two = (tifffile.imread(tmp_path / name / "sharp.tif") for name in ("one", "two"))
    assert np.array_equal(one, two)
    with pytest.raises(ConfigError, match="no statistics of"):
        run(
            write(tmp_path / "in", stack),
            tmp_path / "lab",
            options=f"--colorspace=Lab {options}",
            statistics={"use": kept},
        )


def test_statistics_are_forgotten_with_the_array_that_they_are_of(tmp_path: Path) -> None:
    """A chunk that is exchanged deep in a volume is not noticed; starting over is the way out, also in one process."""
    rng = np.random.default_rng(0)
    group = zarr.open_group(tmp_path / "volume.ome.zarr", mode="w")
    array = group.create_array("0", shape=(1, 1, 4, 64, 64), chunks=(1, 1, 2, 64, 64), dtype="uint16")
    array[:] = rng.integers(0, 1000, array.shape)
    axes = [{"name": name} for name in "tczyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    focus = {"input": str(tmp_path / "volume.ome.zarr"), "output": {"path": str(tmp_path / "sharp.tif")}}
    run_of_it = {"version": 1, "focus": focus, "execution": {"workers": 1}}
    fusestack.run(run_of_it)
    array[:] = rng.integers(0, 60000, array.shape)
    fusestack.run(run_of_it, force=True)
    assert tifffile.imread(tmp_path / "sharp.tif").max() > 50_000


def test_a_terminal_is_asked(
    paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    again(paths, tmp_path, OPTIONS)
    cache = str(tmp_path / "cache.fusestack")
    before = cache_entries(cache)
    capsys.readouterr()

    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for answer in ("n\n", "", "\n"):
        monkeypatch.setattr(sys, "stdin", Person(answer))
        assert command(["cache", "rm", cache]) == 0
        printed = capsys.readouterr()
        assert f"delete {len(before)} stages" in printed.err
        assert "nothing is deleted" in printed.out
        assert cache_entries(cache) == before
    monkeypatch.setattr(sys, "stdin", Person("y\n"))
    assert command(["cache", "rm", cache, "--stage", "slices"]) == 0
    assert 0 < len(cache_entries(cache)) < len(before)
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", Person(""))
    assert command(["cache", "rm", cache, "--yes"]) == 0
    assert "[y/N]" not in capsys.readouterr().err
    assert cache_entries(cache) == []


@pytest.mark.parametrize("scarce", [False, True])
def test_masks_are_decoded_where_memory_is_scarce(
    scarce: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write(tmp_path / "slices", scene((60, 80), 4)[0], raw=True)
    read: list[str] = []
    inner = OmeZarrWriter.read

    def watched(self: OmeZarrWriter, level: int, box: Any) -> Any:
        read.append(self.spec.path)
        return inner(self, level, box)

    monkeypatch.setattr(OmeZarrWriter, "read", watched)
    with monkeypatch.context() as patch:
        if scarce:
            patch.setattr(resources, "_MOST_KEPT", 0)
        run(paths, tmp_path / "one", options=OPTIONS)
    names = {Path(path).parent.name.rpartition("-")[0] for path in read}
    assert {"masks-blur", "merge"}.isdisjoint(names) != scarce
    run(paths, tmp_path / "other", options=OPTIONS)
    for name in ("sharp.tif", "mask.tif", "depth.tif"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_memory_that_blocks_leave_is_for_what_is_read_again() -> None:
    blocks_of, most = 2 * 2**30, resources._MOST_KEPT
    four = Resources("threads", 4, 1, blocks_of + resources.WORKER_BYTES // 4, 3)
    assert four.kept_bytes(2**20) == most
    assert four.kept_bytes(blocks_of - 5) == 20
    assert four.kept_bytes(blocks_of) == four.kept_bytes(blocks_of + 1) == 0
    assert replace(four, scheduler="processes").kept_bytes(2**20) == 0, "each has memory of its own"


def test_small_planes_are_blocks_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they fit the memory of a worker."""
    monkeypatch.setattr(blocks, "BLOCK", 32)
    monkeypatch.setattr(stored, "_CHUNK", 16)
    monkeypatch.setattr(stored, "_FILE", 32)
    paths = write(tmp_path / "slices", scene((60, 80), 4)[0], raw=True)

    def masks() -> Stage:
        plan = fusestack.plan(config(paths, tmp_path, options=OPTIONS))
        return next(stage for stage in plan.stages if stage.name == "masks/blur")

    assert masks().grid.block == (1, 1, 1, 64, 80)
    assert masks().target.image.levels[0].shards == (1, 1, 1, 64, 80)
    few = Resources("threads", 2, 1, resources.WORKER_BYTES // 2 + masks().peak_bytes - 1, 3)
    with monkeypatch.context() as patch:
        patch.setattr("fusestack.planner.resolve_resources", lambda *_: few)
        assert masks().grid.block == (1, 1, 1, 32, 32)
    monkeypatch.setattr(blocks, "SMALL_PIXELS", 60 * 80 - 1)
    assert masks().grid.block == (1, 1, 1, 32, 32)
