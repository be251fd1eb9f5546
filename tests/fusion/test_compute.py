"""What the computes of a fusion declare: regions that they read, memory that they take, facts that they depend on."""

from __future__ import annotations

import itertools
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr

import fusestack
from fusestack.kernels.views import source_boxes
from fusestack.model.fingerprint import arrays_of, facts_of
from fusestack.model.geometry import Affine, Box
from fusestack.model.graph_array import GraphArray, unite
from fusestack.model.stage import Along, Stage, StoredArray
from tests.small import config

SHAPE = (37, 150, 170)
TURNED = [0.97, -0.2, 0.05, 60.3, 0.21, 0.98, 0.0, 20.7, -0.04, 0.02, 1.1, 2.4]
PYTHON_BYTES = 2**19  # of objects that are no pixels
FUSIONS: dict[str, dict[str, Any]] = {
    "blended": {},
    "nearest, without edges": {"interpolation": "nearest", "blending": False},
    "downsampled": {"downsampling": 1.7},
    "content": {"content_based": {"sigma1": 6, "sigma2": 9}},
    "content at every pixel": {"content_based": {"sigma1": 2, "sigma2": 3}},
}


def mean_around(views: Any, masks: Any) -> Any:
    """A method of the user's."""
    return views.mean(axis=0)


def overlapping(folder: Path, dtype: str, fusion: dict[str, Any]) -> dict[str, Any]:
    """Four views that overlap in most blocks, one of them turned, in odd chunks."""
    rng = np.random.default_rng(0)
    views = []
    for number in range(4):
        path = str(folder / f"{number}.zarr")
        array = zarr.create_array(path, shape=SHAPE, dtype=dtype, chunks=(13, 50, 47), overwrite=True)
        array[:] = rng.integers(1, 120, SHAPE).astype(dtype)
        place = [1, 0, 0, 20.3 * number, 0, 1, 0, 10.6 * number, 0, 0, 1, 0.4 * number]
        views.append({"path": path, "affine": TURNED if number == 3 else place, "tile": number})
    chunks, shards = {"x": 24, "y": 20, "z": 11}, {"x": 96, "y": 120, "z": 33}
    output = {"path": str(folder / "fused.ome.zarr"), "chunks": chunks, "shards": shards, "pyramid": [1, 2, 6]}
    return {"version": 1, "input": {"views": views}, "fusion": fusion, "output": output}


def stages_of(settings: dict[str, Any]) -> list[Stage]:
    """Stages of a configuration, in order, with all that they read."""
    fusestack.run(settings)
    image = fusestack.plan(settings).images[0]
    return [*image.preparation, *image.stages]


def peak_of(stage: Stage, box: Box) -> int:
    """Bytes that are taken while a block is computed and written."""
    writer = stage.target.open()
    tracemalloc.start()
    try:
        pixels = stage.compute(box)
        if pixels is not None:
            writer.write(stage.target.level, box, pixels)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


CASES = [
    *itertools.product(["uint8", "uint16", "int16", "uint32", "float32"], ["blended"]),
    *itertools.product(["uint8", "float32"], [name for name in FUSIONS if name != "blended"]),
]


@pytest.mark.parametrize(("dtype", "fusion"), CASES)
def test_a_block_takes_no_more_memory_than_it_says(dtype: str, fusion: str, tmp_path: Path) -> None:
    for stage in stages_of(overlapping(tmp_path, dtype, FUSIONS[fusion])):
        stage.compute.warm_up()
        most = max(peak_of(stage, stage.grid.box(number)) for number in range(stage.grid.count))
        assert most <= stage.peak_bytes + PYTHON_BYTES, stage.name


def test_a_block_in_parts_takes_the_memory_of_a_part(tmp_path: Path) -> None:
    stage = stages_of(overlapping(tmp_path, "uint16", {}))[0]
    small = replace(stage.compute, part_bytes=2**21, kept_bytes=2**17)
    part = replace(stage, compute=small, peak_bytes=small.peak_bytes(stage.grid.block))
    assert part.peak_bytes < stage.peak_bytes
    assert peak_of(part, stage.grid.box(0)) <= part.peak_bytes + PYTHON_BYTES


def span(along: Along | None, start: int, stop: int, size: int) -> tuple[int, int]:
    return (0, size) if along is None else along.span(start, stop, size)


def test_a_block_reads_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = stages_of(overlapping(tmp_path, "uint16", FUSIONS["content"]))
    reads: list[tuple[StoredArray, Box]] = []
    found = StoredArray.read

    def recorded(self: StoredArray, box: Box) -> Any:
        reads.append((self, box))
        return found(self, box)

    monkeypatch.setattr(StoredArray, "read", recorded)
    read = 0
    for stage, number in itertools.chain(*([(s, n) for n in range(s.grid.count)] for s in stages)):
        box = stage.grid.box(number)
        reads.clear()
        stage.compute(box)
        for array, seen in reads:
            assert array in arrays_of(stage.compute)
            reach = stage.compute.reaches().get(array, (None,) * 5)
            allowed = [span(r, a, b, n) for r, a, b, n in zip(reach, box.start, box.stop, array.shape, strict=True)]
            inside = zip(seen.start, seen.stop, allowed, strict=True)
            assert all(low <= a and b <= high for a, b, (low, high) in inside), stage.name
            read += 1
    assert read > 50
    assert {name for stage in stages for name in stage.needs} == {stage.key for stage in stages[:-1]}


def fuse_stage(settings: dict[str, Any]) -> Stage:
    return fusestack.plan(settings).images[0].stages[0]


def test_memory_is_no_fact(tmp_path: Path) -> None:
    compute = fuse_stage(config(tmp_path)).compute
    assert facts_of(replace(compute, part_bytes=12345, kept_bytes=7)) == facts_of(compute)
    assert facts_of(replace(compute, input_dtype="float32")) != facts_of(compute)


def test_the_last_bit_of_a_registration_changes_nothing(tmp_path: Path) -> None:
    settings = config(tmp_path)
    before = fuse_stage(settings).fingerprint
    settings["input"]["views"][2]["affine"][3] = np.nextafter(settings["input"]["views"][2]["affine"][3], 9)
    assert fuse_stage(settings).fingerprint == before
    settings["input"]["views"][2]["affine"][3] += 1e-6
    assert fuse_stage(settings).fingerprint != before


@pytest.mark.parametrize("content", [False, {"sigma1": 3, "sigma2": 6}])
def test_files_are_facts_and_their_folder_is_not(content: Any, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    settings = config(tmp_path / "one")
    settings["fusion"] = {"content_based": content}
    before = fuse_stage(settings).fingerprint
    (tmp_path / "one").rename(tmp_path / "two")
    for view in settings["input"]["views"]:
        view["path"] = view["path"].replace("/one/", "/two/")
    assert fuse_stage(settings).fingerprint == before
    os.utime(settings["input"]["views"][1]["path"], ns=(0, 0))
    assert fuse_stage(settings).fingerprint != before


def test_registration_level_and_adjustment_are_in_one_object(tmp_path: Path) -> None:
    compute: Any = fuse_stage(config(tmp_path)).compute
    (table,) = compute.tables.values()
    view = table.placed[1]
    moved = replace(view, registration=Affine.translation((0, 0, 1)) @ view.registration)
    assert moved.facts() != view.facts()
    assert replace(view, pixels=replace(view.pixels, level=1)).facts() != view.facts()
    rows = type(table).of([moved], table.frame, table.edges, table.numerics).views
    np.testing.assert_allclose(rows["affine"][0, :, 3], table.views["affine"][1, :, 3] - [0, 0, 1])


READS: dict[str, dict[str, Any]] = {
    **FUSIONS,
    "mask": {"method": "mask"},
    "own": {"method": {"function": mean_around, "depth": {"x": 3, "y": 2, "z": 1}}},
}


def read_by_views(compute: Any, box: Box) -> dict[GraphArray, Box]:
    """What a box reads of arrays, by all views one after the other, whether they are near or not."""
    region = compute.region(Box(box.start[2:], box.stop[2:]))
    found: dict[GraphArray, Box] = {}
    (table,) = compute.tables.values()
    for row, view in enumerate(table.placed):
        ((low, high),) = source_boxes(table.views[[row]], region.start, region.shape).tolist()
        unite(found, view.pixels.inputs(Box(tuple(low), tuple(high))))
    return found


@pytest.mark.parametrize("name", READS)
def test_chunks_that_blocks_read_are_the_same_one_by_one_and_at_once(name: str, tmp_path: Path) -> None:
    settings = overlapping(tmp_path, "uint16", READS[name])
    for view in settings["input"]["views"]:
        pixels = dask.array.from_zarr(view.pop("path"))
        view["array"] = pixels if view["tile"] else pixels.rechunk(30)
        view["affine"][3] += 0.1
    settings["input"]["views"][2]["array"] = settings["input"]["views"][1]["array"]  # an array that two views read
    plan = fusestack.plan(settings)
    assert plan.design is not None
    for compute in (plan.images[0].stages[0].compute, plan.design.images[0].compute):
        grid = plan.images[0].stages[0].grid
        boxes = [grid.box(number) for number in range(grid.count)]
        apart = [compute.inputs(box) for box in boxes]
        assert list(compute.inputs_of_boxes(boxes)) == apart
        if "content" not in name and name != "mask":
            assert apart == [read_by_views(compute, box) for box in boxes]
        held = [sum(array.held_bytes(box) for array, box in read.items()) for read in apart]
        assert compute.held_bytes(grid) == max(held)
        assert (max(held) > 0) == (name != "mask")
