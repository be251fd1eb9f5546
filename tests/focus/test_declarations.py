"""What stages say of themselves is true: they read what they say that they reach, and need no more memory."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import fusestack
from fusestack.config.load import from_mapping
from fusestack.focus import lowpass
from fusestack.focus.computed import ComputedPicture
from fusestack.focus.nested import Part
from fusestack.focus.region import Region
from fusestack.focus.slices import VolumeSlices
from fusestack.focus.written import WrittenImage
from fusestack.model.fingerprint import arrays_of
from fusestack.model.geometry import Box
from fusestack.model.stage import Along, Compute, Stage, StoredArray
from fusestack.planner import Tuning
from fusestack.planning.plan import Plan
from tests.focus.stacks import config, scene, section, write
from tests.focus.test_invariance import CHAINS, cut

SHAPE = (90, 130)
TILED = "--fft=r40 --fft=c2,C=Lab --maskblur=s1 --maskfft --maskblur=s2"
OPAQUE = {**CHAINS, "tiled": TILED, "map": "--depthmap=map.tif --blur --prepresize=p60"}
Read = tuple[StoredArray, Box]


def slices(folder: Path, shape: tuple[int, int], *, alpha: bool = True) -> list[str]:
    """Photographs with opacity, and a depth map beside them."""
    stack = scene(shape, 3)[0]
    if alpha:
        stack = np.concatenate([stack, np.full((*stack.shape[:3], 1), 0.9)], axis=-1)
    write(folder, np.arange(np.prod(shape)).reshape(1, *shape, 1) / np.prod(shape), "uint16")[0]
    (folder / "slice_1.tif").rename(folder.parent / "map.tif")
    return write(folder, stack)


def planned(paths: list[str], folder: Path, options: str) -> Plan:
    options = options.replace("map.tif", str(Path(paths[0]).parents[1] / "map.tif"))
    data = config(paths, folder, **section(options))
    return fusestack.plan({**data, "execution": {"workers": 1, "memory": "8 GiB"}})


def volume(folder: Path, shape: tuple[int, ...], **focus: Any) -> Plan:
    """A plan for a volume with two timepoints and channels."""
    stack = np.moveaxis(scene((shape[-2], shape[-1]), shape[-3], 1)[0], -1, 0)
    pixels = np.broadcast_to(stack, shape) * 4000
    group = zarr.open_group(folder / "volume.ome.zarr", mode="w")
    group.create_array("0", shape=shape, chunks=(1, 1, 2, 64, 64), dtype="uint16")[:] = pixels.astype(np.uint16)
    axes = [{"name": name} for name in "tczyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    output = {key: str(folder / f"{key}.ome.zarr") for key in ("path", "depth", "height")}
    source = str(folder / "volume.ome.zarr")
    data = {"version": 1, "focus": {"input": source, "output": output, **focus}, "execution": {"workers": 1}}
    return fusestack.plan(data)


def made(stage: Stage) -> Iterator[Box]:
    """Compute and store a stage block by block, here; gives each box once it is done."""
    writer = stage.target.open()
    writer.create()
    stage.compute.warm_up()
    for number in range(stage.grid.count):
        box = stage.grid.box(number)
        pixels = stage.compute(box)
        if pixels is not None:
            writer.write(stage.target.level, box, pixels)
        yield box


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Read]:
    """What is read of stored arrays, from now on."""
    found: list[Read] = []
    inner = StoredArray.read

    def watched(self: StoredArray, box: Box) -> Any:
        found.append((self, box))
        return inner(self, box)

    monkeypatch.setattr(StoredArray, "read", watched)
    return found


def check_reads(compute: Compute, block: Box, reads: list[Read]) -> None:
    """Every read lies within what is declared for a block; arrays that are not declared are statistics."""
    reaches = compute.reaches()
    needed = arrays_of(compute)
    assert set(reaches) <= set(needed)
    for array, box in reads:
        assert array in needed, f"{compute} reads what it does not need"
        if array not in reaches:  # statistics, and what a part is made of, are waited for whole
            assert array.dtype == "float64" or isinstance(compute, Part), (
                f"{compute} does not say what it reads of {array.key}"
            )
            continue
        for axis, along in enumerate(reaches[array]):
            if along is not None:
                low, high = along.span(block.start[axis], block.stop[axis], array.shape[axis])
                inside = low <= box.start[axis] and box.stop[axis] <= high
                assert inside, f"{compute}: {array.key}, axis {axis}: reads {box}, declares {low} to {high} for {block}"


def watch(plan: Plan, reads: list[Read]) -> None:
    for stage in plan.stages:
        reads.clear()
        for box in made(stage):
            check_reads(stage.compute, box, reads)
            reads.clear()


@pytest.mark.parametrize("name", OPAQUE)
def test_reads_are_declared(name: str, tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, 48, 16)
    if name == "tiled":
        monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    watch(planned(slices(tmp_path / "in", SHAPE, alpha=True), tmp_path, OPAQUE[name]), reads)


def several_scales(folder: Path) -> Plan:
    """A plan for photographs that are mixed at more scales than blocks are read for, and whose surface is a mesh."""
    paths = slices(folder / "opaque", (150, 130), alpha=False)
    output = {"mesh": str(folder / "surface.ply"), "mesh_corners": 1000}
    return fusestack.plan(config(paths, folder, options="--multiscale=l4", output=output))


def test_reads_of_coarse_scales_are_declared(
    tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, 48, 16)
    watch(several_scales(tmp_path), reads)


PREPARED = [{"rotate": {"degrees": 5}}, {"resize": {"percent": 70}}, {"gamma": {}}, {"sharpen": {"sigma": 2}}]


def prepared(folder: Path, *, raw: bool = False) -> list[Plan]:
    """Plans for photographs whose slices are moved, and whose values are changed besides."""
    folder = folder / f"prepared{raw}"
    paths = write(folder / "in", scene(SHAPE, 3)[0], raw=raw)
    output = {"slices": str(folder / "slices")}
    return [
        fusestack.plan(config(paths, folder, options="--blur", prepare=PREPARED[:n], output=output)) for n in (2, 4)
    ]


def test_reads_of_prepared_slices_are_declared(
    tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, 48, 16)
    for plan in (*prepared(tmp_path), *prepared(tmp_path, raw=True)):
        watch(plan, reads)
    watch(volume(tmp_path, (2, 2, 5, 70, 90), options="--multiscale=l4", prepare=PREPARED), reads)


def tuned(folder: Path) -> list[Plan]:
    """Plans of tuning: the depth by which a part is chosen, and sets on a part."""
    paths = slices(folder / "tuned", (150, 130), alpha=False)
    tune = {"options": ["--blur --cutwave", "--multiscale=l3"]}
    tuning = Tuning.of(from_mapping(config(paths, folder / "tuned", tune=tune)))
    return [tuning.rough_depth(), tuning.on_part(Region(20, 90, 30, 101))[1]]


def drawn(folder: Path) -> Plan:
    """A plan with areas that somebody drew."""
    polygons = [[[20, 20], [100, 20], [60, 75]], [[50, 40], [120, 40], [120, 80]]]
    areas = [{"slice": k, "polygon": polygon} for k, polygon in enumerate(polygons)]
    return fusestack.plan(config(slices(folder / "drawn", SHAPE), folder, retouch=areas))


def test_reads_of_retouched_pictures_are_declared(
    tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, 48, 16)
    watch(drawn(tmp_path), reads)


def test_reads_of_tuning_are_declared(tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, 48, 16)
    for plan in tuned(tmp_path):
        watch(plan, reads)


def wide(folder: Path, shape: tuple[int, int]) -> Plan:
    """A plan for photographs whose type does not say what is white."""
    return planned(write(folder / "wide", scene(shape, 3)[0], "float32"), folder, "--blur --bg=max")


def test_reads_of_photographs_without_limits_are_declared(
    tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, 48, 16)
    watch(wide(tmp_path, SHAPE), reads)


def test_reads_of_tiles_are_declared(tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch) -> None:
    """A plane of several tiles of a low pass, each block of which needs those around it."""
    cut(monkeypatch, 512, 256)
    monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    plan = planned(slices(tmp_path / "in", (2100, 40)), tmp_path, "--fft=r40 --maskfft --maskblur=s1")
    watch(plan, reads)
    masks = next(stage for stage in plan.stages if stage.name == "masks/fft")
    for array, (*_, y, _x) in masks.compute.reaches().items():
        assert y is not None
        assert y.span(0, 512, array.shape[3])[1] < array.shape[3], "not all of it"


@pytest.mark.parametrize("focus", [{}, {"reference_channel": 1, "axis": "y", "reverse": True}])
def test_reads_of_volumes_are_declared(
    focus: dict[str, Any], tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, 48, 16)
    watch(volume(tmp_path, (2, 2, 5, 70, 90), options="--max --blur --bg=enfuse", **focus), reads)
    watch(volume(tmp_path / "mixed", (2, 2, 5, 70, 90), options="--multiscale=l4", **focus), reads)


@pytest.mark.parametrize("options", ["--fft=r40,C=Lab", "--fft=r40 --compose", "--fft=r40,I=max"])
def test_reads_of_many_channels_in_tiles_are_declared(
    options: str, tmp_path: Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, 48, 16)
    monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    watch(volume(tmp_path, (1, 4, 3, 70, 90), options=options), reads)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_slices_of_what_a_stage_writes(axis: int, reverse: bool, tmp_path: Path, reads: list[Read]) -> None:
    source = volume(tmp_path, (1, 2, 5, 70, 90)).stages[0]
    list(made(source))
    t, c, *zyx = source.array.shape
    shape = (t, c, zyx.pop(axis), *zyx)
    compute = VolumeSlices(source.array, shape, source.array.dtype, axis, reverse)
    reads.clear()
    for start in range(0, shape[3], 32):
        box = Box((0, 1, 1, start, 8), (1, 2, 3, min(start + 32, shape[3]), 24))
        found = compute(box)
        check_reads(compute, box, reads)
        reads.clear()
        whole = np.moveaxis(source.array.read(Box((0,) * 5, source.array.shape)), 2 + axis, 2)
        assert np.array_equal(found, (whole[:, :, ::-1] if reverse else whole)[box.slices])
        reads.clear()


def test_every_kind_of_stage_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chains above have all of them."""
    paths = slices(tmp_path / "in", SHAPE)
    plans = [planned(paths, tmp_path, OPAQUE[name]) for name in OPAQUE if name != "tiled"]
    monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    plans += [planned(paths, tmp_path, OPAQUE["tiled"]), wide(tmp_path, SHAPE), several_scales(tmp_path)]
    plans += [*prepared(tmp_path), *tuned(tmp_path), drawn(tmp_path)]
    computes = [one for plan in plans for stage in plan.stages for one in all_of(stage.compute)]
    seen = {type(one).__name__ for one in computes} | {VolumeSlices.__name__}
    ours = {kind.__name__ for kind in kinds(Compute) if kind.__module__.startswith("fusestack.focus")}
    # slices that are arrays already, or lie in their files as they are, are stored by nobody
    assert ours - {"BlockWise", "BandStatistic", "ArraySlices", "RawPictures"} == seen & ours


def all_of(compute: Compute) -> list[Compute]:
    """A compute, and that of a picture that it makes on the way."""
    pictures = compute.pictures if isinstance(compute, WrittenImage) else ()
    return [compute, *(one.compute for one in pictures if isinstance(one, ComputedPicture))]


def kinds(base: type) -> Iterator[type]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_a_reach_that_is_too_small_is_noticed(tmp_path: Path, reads: list[Read]) -> None:
    plan = planned(slices(tmp_path / "in", SHAPE), tmp_path, "--statistic=r9")
    *_, stage = (one for one in plan.stages if one.name in ("slices", "masks/statistic") and list(made(one)))
    (array,) = stage.compute.reaches()
    block = Box((0, 0, 0, 30, 30), (1, 1, 1, 60, 60))
    reads.clear()
    stage.compute(block)
    check_reads(stage.compute, block, reads)
    halo = Along(1, 3, 3)

    class Less(type(stage.compute)):  # type: ignore[misc]
        def reaches(self) -> Any:
            return {array: (Along(), None, Along(), halo, halo)}

    less = Less(*(getattr(stage.compute, field.name) for field in dataclasses.fields(stage.compute)))
    with pytest.raises(AssertionError, match="declares 27 to 63"):
        check_reads(less, block, reads)


MEMORY = {
    "masks": "masks",
    "operators": "--saturation=level --maskwave --maskstat=r6 --cutless --cutwave --cutbg=background --finalsharpen "
    "--finalgamma --bg=max",
    "images": "--median --mean --enfuse --compose --depthmap=map.tif --colorspace=Lab --blur --bg=enfuse",
    "whole": "--fft --maskfft",
    "tiled": TILED,
    "multiscale": "--multiscale=l3",
    "coarse": "--multiscale=l5",
}


def check_memory(plan: Plan) -> None:
    for stage in plan.stages:
        list(made(stage))
        tracemalloc.start()
        stage.compute(stage.grid.box(0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        declared = stage.peak_bytes
        assert peak <= declared, f"{stage.name} needs {peak / 2**20:.1f} MiB, declares {declared / 2**20:.1f}"
        assert peak > declared / 5, f"{stage.name} needs {peak / 2**20:.1f} MiB, declares {declared / 2**20:.1f}"


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_enough(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "tiled":
        monkeypatch.setattr(lowpass, "WHOLE_PIXELS", 0)
    check_memory(planned(slices(tmp_path / "in", (1500, 1300), alpha=name == "masks"), tmp_path, MEMORY[name]))


def test_memory_of_areas_is_enough(tmp_path: Path) -> None:
    areas = [{"slice": 1, "polygon": [[20, 20], [1400, 20], [1400, 1200]]}]
    check_memory(fusestack.plan(config(slices(tmp_path / "in", (1500, 1300), alpha=False), tmp_path, retouch=areas)))


def test_memory_of_volumes_is_enough(tmp_path: Path) -> None:
    check_memory(volume(tmp_path, (1, 1, 4, 1500, 1300)))


def test_blocks_of_volumes_with_large_chunks(tmp_path: Path) -> None:
    """Larger ones decode less twice; where they do not fit the memory, smaller ones do."""
    group = zarr.open_group(tmp_path / "in.ome.zarr", mode="w")
    group.create_array("0", shape=(3, 4000, 4000), chunks=(1, 1024, 1024), dtype="uint16")
    axes = [{"name": name} for name in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    output = {"path": str(tmp_path / "out.ome.zarr")}
    data = {"version": 1, "focus": {"input": str(tmp_path / "in.ome.zarr"), "output": output}}
    sides = {}
    for memory in ("4 GiB", "450 MiB"):
        plan = fusestack.plan(data | {"execution": {"workers": 2, "memory": memory}})
        sides[memory] = {stage.name: stage.grid.block[-1] for stage in plan.stages}
    assert [sides[memory]["mixed"] for memory in sides] == [1792, 1024]
    assert [sides[memory]["reduced"] for memory in sides] == [896, 896], "pixels as they are stored fit either"
