"""Stages that read arrays of dask graphs: chunks made once, lost ones fail their blocks alone, memory as declared."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest

from fusestack.model.errors import BlockError, ConfigError
from fusestack.model.geometry import Box
from fusestack.model.graph_array import GraphArray, holding
from fusestack.model.grid import Grid
from fusestack.model.stage import Stage
from fusestack.planning.lazy_pixels import LazyPixels
from fusestack.running.runner import chunks_of
from fusestack.taskgraph.chunks import ChunkTasks, parts_read
from fusestack.taskgraph.clusters import Backend, Cluster, Threads, local_cluster
from fusestack.taskgraph.job import Todo, build_graph
from fusestack.taskgraph.rounds import StageOutcome, run_units
from tests.taskgraph.toys import ToyCompute, toy_stage, toy_unit, tries_of, written


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Backend]:
    root = str(Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
        with local_cluster(2, 1, 2**30) as made:
            yield made


@pytest.fixture(params=["threads", "distributed"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "distributed":
        yield request.getfixturevalue("two_workers")
        return
    with Threads(3) as made:
        yield made


def chunk(pixels: Any, folder: str, faults: dict[int, tuple[str, ...]], block_id: Any = None) -> Any:
    """A chunk whose pixels are their place along x; fails, dies or lies on command."""
    number = block_id[-1]
    tries = tries_of(folder, number)
    Path(folder, f"{number}.{tries}.try").touch()
    fate = dict(enumerate(faults.get(number, ()))).get(tries, "ok")
    if fate == "fail":
        raise KeyError(f"chunk {number} is cursed")
    if fate == "die":
        time.sleep(0.3)  # its neighbours have their turn
        os._exit(9)
    if fate == "short":
        return pixels[..., :-1]
    if fate == "float":
        return pixels.astype(np.float64)
    if fate == "masked":
        return np.ma.masked_equal(pixels, 3)
    return pixels


@dataclass(frozen=True)
class Reader(LazyPixels):
    """Pixels of an array, counted and checked."""

    counted: ToyCompute

    def __call__(self, box: Box) -> np.ndarray[Any, Any]:
        self.counted(box)
        pixels = super().__call__(box)
        assert np.array_equal(pixels.ravel(), np.arange(box.start[-1], box.stop[-1]) % 65536)
        return pixels // 4


def reading(folder: Path, blocks: int, chunks: dict[int, tuple[str, ...]], side: int = 6) -> Stage:
    """A stage of blocks of 4 pixels that reads chunks of 6: half of the chunks are read by two blocks."""
    stage = toy_stage(folder, blocks)
    (folder / "chunks").mkdir()
    whole = dask.array.arange(4 * blocks - 1, chunks=side, dtype="uint16").reshape(1, 1, 1, 1, -1)
    array = whole.map_blocks(chunk, str(folder / "chunks"), chunks, dtype="uint16", meta=np.empty((0,) * 5, "uint16"))
    compute = Reader(GraphArray.of(array), stage.compute)
    return replace(stage, compute=compute, held_bytes=compute.held_bytes(stage.grid))


def drive(stage: Stage, backend: Backend, retries: int = 3) -> tuple[StageOutcome, bool]:
    (ended,), found = run_units(
        [toy_unit(stage)],
        backend,
        memory=2**40,
        retries=retries,
        listener=lambda event: None,
        chunks=ChunkTasks.of([stage]),
    )
    return found[stage.key], ended.complete


def made(folder: Path, count: int) -> list[int]:
    return [tries_of(str(folder / "chunks"), number) for number in range(count)]


def test_every_chunk_is_made_once_and_given_to_all_blocks_that_read_it(backend: Backend, tmp_path: Path) -> None:
    outcome, complete = drive(reading(tmp_path, 20, {}), backend)
    assert complete
    assert outcome.retries == 0
    assert written(tmp_path) == {block: block for block in range(20)}
    assert made(tmp_path, 14) == [1] * 14


def test_a_chunk_that_fails_is_tried_again_and_only_its_blocks_wait_for_it(backend: Backend, tmp_path: Path) -> None:
    stage = reading(tmp_path, 20, {2: ("fail", "fail", "ok"), 9: ("fail",) * 9})
    outcome, complete = drive(stage, backend)
    assert not complete
    assert set(outcome.failed) == {13, 14}  # chunk 9 is pixels 54 to 59
    failure = outcome.failed[13]
    assert "KeyError: 'chunk 9 is cursed'" in failure.error
    assert "raise KeyError" in failure.details
    assert written(tmp_path) == {block: block for block in range(20) if block not in (13, 14)}
    tries = made(tmp_path, 14)
    assert tries[2] == 3
    assert tries[9] == 4
    assert tries[5] == 1  # what no failed block reads is not made again
    # running again goes on with what is missing, and with the chunks of that alone
    healthy = reading(tmp_path / "again", 20, {})
    again = replace(healthy, target=stage.target)
    outcome, complete = drive(again, backend)
    assert complete
    assert outcome.computed == 2
    assert set(written(tmp_path)) == set(range(20))
    assert made(tmp_path / "again", 14) == [1 if number in (8, 9) else 0 for number in range(14)]


@pytest.mark.parametrize(
    ("lie", "says"), [("short", "its array says 1 x 1 x 1 x 1 x 6"), ("float", "astype"), ("masked", "filled")]
)
def test_a_chunk_that_is_not_what_its_array_says_is_refused(lie: str, says: str, tmp_path: Path) -> None:
    stage = reading(tmp_path, 6, {1: (lie,) * 9})
    with Threads(2) as backend:
        outcome, complete = drive(stage, backend, retries=0)
    assert not complete
    assert set(outcome.failed) == {1, 2}
    assert says in outcome.failed[1].error
    assert set(written(tmp_path)) == {0, 3, 4, 5}


def test_a_chunk_that_kills_its_worker_fails_its_blocks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    stage = reading(tmp_path, 6, {3: ("die",) * 9}, side=4)
    with local_cluster(2, 1, 2**30) as backend:
        outcome, complete = drive(stage, backend, retries=1)
    assert not complete
    assert set(outcome.failed) == {3}
    assert "the worker died" in outcome.failed[3].error
    assert written(tmp_path) == {block: block for block in range(6) if block != 3}


def test_a_task_makes_one_block_and_gets_no_more_than_its_chunks(tmp_path: Path) -> None:
    stage = reading(tmp_path, 100, {})
    missing = {stage.key: np.ones(100, bool)}
    chunks = ChunkTasks.of([stage])
    assert chunks is not None
    graph = build_graph([toy_unit(stage)], Todo(missing, missing), workers=1, memory=2**40, chunks=chunks)
    assert [list(blocks) for _, blocks in graph.batches.values()] == [[block] for block in range(100)]
    for key, (_, (block,)) in graph.batches.items():
        read = [one for one in graph.tasks[key].dependencies if one in graph.chunks]
        assert len(read) == len(parts_read(stage, [block])) == len({4 * block // 6, min(4 * block + 3, 398) // 6})


def test_persisted_chunks_are_used_and_those_of_another_client_are_refused(
    two_workers: Backend, tmp_path: Path
) -> None:
    stage = reading(tmp_path, 12, {})
    assert isinstance(two_workers, Cluster)
    kept = two_workers.client.persist(stage.compute.array.collection)
    there = replace(stage, compute=replace(stage.compute, array=GraphArray.of(kept)))
    assert drive(there, two_workers)[1]
    assert made(tmp_path, 8) == [1] * 8
    plan: Any = type("Plan", (), {"stages": (there,)})
    assert chunks_of(plan, two_workers) is not None
    assert chunks_of(plan, None) is None
    with Threads(1) as threads, pytest.raises(ConfigError, match="give client="):
        chunks_of(plan, threads)


def test_a_persisted_chunk_that_has_failed_fails_its_blocks(two_workers: Backend, tmp_path: Path) -> None:
    from distributed import wait

    stage = reading(tmp_path, 12, {2: ("fail",) * 9})
    assert isinstance(two_workers, Cluster)
    kept = two_workers.client.persist(stage.compute.array.collection)
    with two_workers.client.as_current():
        wait(kept)
    there = replace(stage, compute=replace(stage.compute, array=GraphArray.of(kept)))
    outcome, complete = drive(there, two_workers, retries=1)
    assert not complete
    assert set(outcome.failed) == {3, 4}
    assert "chunk 2 is cursed" in outcome.failed[3].error
    assert "persist the array again" in outcome.failed[3].error
    assert set(written(tmp_path)) == set(range(12)) - {3, 4}


def test_a_plan_that_was_sent_has_left_its_arrays_behind(tmp_path: Path) -> None:
    import pickle

    stage = pickle.loads(pickle.dumps(reading(tmp_path, 3, {})))
    with pytest.raises(ConfigError, match="make it where it is used"):
        ChunkTasks.of([stage])


@pytest.mark.parametrize("chunks", [(1, 1, 7, 33, 20), (2, 1, 50, 50, 50), (1, 1, 16, 32, 32)])
def test_what_is_held_for_a_block_is_what_its_stage_declares(chunks: tuple[int, ...]) -> None:
    array = dask.array.zeros((2, 1, 40, 90, 100), chunks=chunks, dtype="uint16")
    compute = LazyPixels(GraphArray.of(array))
    grid = Grid(array.shape, (1, 1, 16, 32, 32))
    most = max(
        sum(np.prod(part.shape) for part in _parts(compute, grid, block).values()) * 2 for block in range(grid.count)
    )
    assert compute.held_bytes(grid) == most == super(LazyPixels, compute).held_bytes(grid)


def _parts(compute: LazyPixels, grid: Grid, block: int) -> dict[Any, Any]:
    stage = type("Read", (), {"compute": compute, "grid": grid})
    return parts_read(stage, [block])  # type: ignore[arg-type]


def test_putting_a_block_together_takes_no_more_than_is_declared() -> None:
    array = dask.array.zeros((1, 1, 64, 300, 300), chunks=(1, 1, 30, 130, 170), dtype="uint16")
    compute = LazyPixels(GraphArray.of(array))
    grid = Grid(array.shape, (1, 1, 64, 256, 256))
    parts = _parts(compute, grid, 0)
    tracemalloc.start()
    held = {array.name: [(part.start, np.zeros(part.shape, "uint16")) for part in parts.values()]}
    with holding(held):
        compute(grid.box(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    declared = compute.held_bytes(grid) + compute.peak_bytes(grid.block)
    assert declared / 2 < peak <= declared


def test_an_error_names_the_block_and_the_cause(tmp_path: Path) -> None:
    from fusestack.taskgraph.units import failed_blocks

    stage = reading(tmp_path, 4, {0: ("fail",) * 9})
    with Threads(1) as backend:
        outcome, _ = drive(stage, backend, retries=0)
    error = failed_blocks(list(outcome.failed.values()))
    assert isinstance(error, BlockError)
    assert "its chunk at (0, 0, 0, 0, 0) could not be made: KeyError: 'chunk 0 is cursed'" in str(error)
    assert "raise KeyError" in error.tracebacks[0]
