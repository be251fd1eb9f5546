"""Levels of a pyramid made in the same pass as what they are reduced from: the same bytes, whatever happens."""

from __future__ import annotations

import itertools
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import fusestack
from fusestack.planning.pyramid import BlockMean
from fusestack.running.inspection import inspect
from fusestack.running.units import units_of
from fusestack.taskgraph import batches
from fusestack.taskgraph.clusters import Threads
from fusestack.taskgraph.job import Todo, build_graph
from fusestack.taskgraph.ledger import ledger_of
from fusestack.taskgraph.parts import PARTS
from fusestack.taskgraph.rounds import run_units
from fusestack.taskgraph.tasks import run_batch
from fusestack.writers.ome_zarr import OmeZarrWriter
from tests.small import config, tree

STEPS = st.tuples(*[st.sampled_from([1, 2, 3])] * 3).filter(lambda step: max(step) > 1)


def made(settings_of_run: dict[str, Any], *, memory: int | None, workers: int = 2) -> dict[str, bytes]:
    """Run without tasks that make several levels or leave parts of them (no memory), or with; files of the output."""
    plan = fusestack.plan(settings_of_run)
    units = units_of(plan, inspect(plan))
    for unit in units:
        unit.begin()
    with pytest.MonkeyPatch.context() as patch, Threads(workers) as backend:
        if memory is None:
            patch.setattr("fusestack.taskgraph.parts.Parts.leave", lambda *_: None)
            memory = -1
        ended, _ = run_units(units, backend, memory=memory, retries=0, listener=lambda event: None)
    assert all(one.complete for one in ended)
    return tree(Path(settings_of_run["output"]["path"]))


@pytest.fixture(autouse=True)
def few_blocks_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of tests are small."""
    monkeypatch.setattr(batches, "TOPS_A_WORKER", 8)


def test_most_levels_go_with_the_blocks_below_them(tmp_path: Path) -> None:
    plan = fusestack.plan(config(tmp_path, pyramid=[1, 2, 4], shards="none"))
    units = units_of(plan, inspect(plan))
    missing = {stage.key: np.ones(stage.grid.count, bool) for stage in units[0].stages}
    graph = build_graph(units, Todo(missing, missing), workers=2, memory=2**40)
    names = [name.rpartition("-")[0] for name in graph.layers]
    assert names == ["begin", "fuse+pyramid/1+pyramid/2", "end"]
    alone = build_graph(units, Todo(missing, missing), workers=2, memory=1)
    names = [name.rpartition("-")[0] for name in alone.layers]
    assert names == ["begin", "fuse", "pyramid/1", "pyramid/2", "end"]


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["uint8", "uint16", "float32"]),
    STEPS,
    STEPS,
    st.tuples(st.sampled_from([4, 6, 7]), *[st.sampled_from([10, 12, 15, 18])] * 2),
    st.sampled_from([0, 5, 0.1, float("nan")]),
)
def test_levels_are_the_same_as_stage_by_stage(
    dtype: str, one: tuple[int, ...], two: tuple[int, ...], chunks: tuple[int, ...], background: float
) -> None:
    def factors(values: tuple[int, ...]) -> dict[str, int]:
        return dict(zip("zyx", values, strict=True))

    if dtype != "float32":
        background = 5 if background else 0
    both = tuple(a * b for a, b in zip(one, two, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        trees = []
        for number, (memory, workers) in enumerate(((None, 1), (2**40, 1), (2**40, 3))):
            run = config(
                Path(folder, str(number)),
                dtype,
                chunks=factors(chunks),
                shards="none",
                pyramid=[1, factors(one), factors(both)],
            )
            run["fusion"] = {"background": background, "dtype": dtype}
            trees.append(made(run, memory=memory, workers=workers))
        assert trees[1] == trees[0]
        assert trees[2] == trees[0]


@pytest.mark.parametrize("ahead", [1, 4])
def test_the_level_below_is_not_read_back(tmp_path: Path, ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where helping threads have made blocks before they are asked for, as for stores."""
    monkeypatch.setattr(batches, "_ahead", lambda *_: ahead)
    reads = []
    found = OmeZarrWriter.read

    def counted(self: OmeZarrWriter, level: int, box: Any) -> Any:
        reads.append((level, box.size))
        return found(self, level, box)

    def run(folder: str) -> dict[str, Any]:
        return config(tmp_path / folder, pyramid=[1, 2, 4])

    whole = made(run("a"), memory=2**40)
    monkeypatch.setattr(OmeZarrWriter, "read", counted)
    assert made(run("b"), memory=2**40) == whole
    assert {level for level, _ in reads} == {2}  # the contrast of the channels, in the end
    assert not list((tmp_path / "b" / "fused.ome.zarr.fusestack").glob(f"{PARTS}/*"))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_that_ends_anywhere_is_continued_with_the_same_bytes(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(config(tmp_path / "whole", pyramid=[1, 2, 4]), memory=2**40)
    writes: list[int] = []
    write = OmeZarrWriter.write

    def failing(self: OmeZarrWriter, level: int, box: Any, pixels: Any) -> int:
        writes.append(level)
        if len(writes) % 13 == 0:
            raise RuntimeError("the lights went out")
        return write(self, level, box, pixels)

    monkeypatch.setattr(OmeZarrWriter, "write", failing)
    settings_of_run = config(tmp_path / "killed", pyramid=[1, 2, 4])
    rounds = itertools.count()
    while True:
        try:
            fusestack.run(settings_of_run, [f"execution.workers={workers}", "execution.retries=0"])
            break
        except fusestack.model.errors.BlockError:
            assert next(rounds) < 20
    assert next(rounds) >= 2
    assert tree(tmp_path / "killed" / "fused.ome.zarr") == whole


def test_a_level_alone_is_made_of_what_is_stored(tmp_path: Path) -> None:
    run = config(tmp_path, pyramid=[1, 2, 4])
    whole = made(run, memory=2**40)
    plan = fusestack.plan(run)
    (image,) = plan.images
    for number, stage in enumerate(image.stages[1:], 1):
        compute = stage.compute
        assert isinstance(compute, BlockMean)
        pixels = zarr.open_array(f"{run['output']['path']}/{number}", mode="r")[:]
        for block in range(stage.grid.count):
            box = stage.grid.box(block)
            found = compute(box)
            expected = np.asarray(pixels[box.slices])
            assert (not expected.any()) if found is None else found.tobytes() == expected.tobytes()
    assert len(whole) > 100


def test_thirds_of_a_background_do_not_depend_on_what_is_beside_them() -> None:
    """The mean of equal float32 numbers is another one in the last bit, where a third is no binary fraction."""
    plan_folder = Path(tempfile.mkdtemp())
    run = config(plan_folder, "float32", pyramid=[1, 3])
    run["fusion"] = {"background": 0.1}
    compute = fusestack.plan(run).images[0].stages[1].compute
    assert isinstance(compute, BlockMean)
    blank = np.full((1, 1, 6, 6, 6), 0.1, np.float32)
    beside = blank.copy()
    beside[..., 5, 5, 5] = 7
    found, other = compute.part(blank, (1, 1, 2, 2, 2)), compute.part(beside, (1, 1, 2, 2, 2))
    assert other is not None
    expected = np.full((1, 1, 2, 2, 2), 0.1, np.float32) if found is None else found
    assert expected[0, 0, 0].tobytes() == other[0, 0, 0].tobytes()


def test_ledgers_of_all_levels_are_complete_and_merged(tmp_path: Path) -> None:
    run = config(tmp_path, pyramid=[1, 2, 4])
    fusestack.run(run)
    for stage in fusestack.plan(run).images[0].stages:
        assert ledger_of(stage).complete
        assert sorted(path.name for path in Path(ledger_of(stage).path).iterdir()) == ["all", "stored"]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_task_of_several_levels_needs_no_more_memory_than_is_declared(dtype: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (96, 260, 330)).astype(dtype)
    tifffile.imwrite(tmp_path / "tile.tif", pixels, photometric="minisblack")
    run = {
        "version": 1,
        "input": {"views": [{"path": str(tmp_path / "tile.tif"), "translation": {"x": 0.4, "y": 0, "z": 0}}]},
        "output": {"path": str(tmp_path / "fused.ome.zarr"), "chunks": 64, "shards": 128, "pyramid": [1, 2, 4]},
    }
    plan = fusestack.plan(run)
    (unit,) = units_of(plan, inspect(plan))
    (tower,) = batches.towers(unit.stages, workers=0, memory=2**40)
    assert len(tower.stages) == 3
    unit.begin()
    for stage in tower.stages:
        stage.compute.warm_up()
    run_batch(tower, [0], "a", "0", 0)  # what is loaded once
    unit.begin(force=True)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    assert run_batch(tower, range(tower.top.grid.count), "b", "0", 0).complete
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak <= batches.tower_bytes(tower.stages)
    assert peak > batches.tower_bytes(tower.stages[1:]) / 10
