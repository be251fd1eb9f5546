"""Batches: every block exactly once, sizes after measured time, failed blocks again by themselves."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.model.stage import BlockResult
from fusestack.taskgraph.queue import Batch, BlockQueue


def result(block: int, seconds: float = 0.01, error: str | None = None) -> BlockResult:
    return BlockResult(block, seconds, 1, 1, error)


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 300)), max_size=8),
    st.integers(1, 16),
    st.floats(1e-5, 10),
)
def test_every_block_is_handed_out_once(runs: list[tuple[int, int]], workers: int, seconds: float) -> None:
    start, ranges = 0, []
    for gap, length in runs:
        ranges.append(range(start + gap, start + gap + length))
        start += gap + length
    queue = BlockQueue(ranges, workers=workers, batch_seconds=1.0, retries=0)
    seen: list[int] = []
    while (batch := queue.take()) is not None:
        seen += batch.blocks
        queue.settle([result(b, seconds) for b in batch.blocks])
    assert seen == [b for r in ranges for b in r]


def test_batches_grow_to_the_wanted_time_and_shrink_at_the_end() -> None:
    queue = BlockQueue([range(100_000)], workers=4, batch_seconds=1.0, retries=0)
    sizes = []
    while (batch := queue.take()) is not None:
        sizes.append(len(batch.blocks))
        queue.settle([result(b, 0.01) for b in batch.blocks])
    assert sizes[:4] == [1, 4, 16, 64]
    assert 95 <= max(sizes) <= 100
    assert sizes[-1] < 20  # no worker is left with a large batch while the others are idle


def test_a_million_blocks_take_no_memory() -> None:
    tracemalloc.start()
    queue = BlockQueue([range(10**6)], workers=4, batch_seconds=1.0, retries=0)
    count = 0
    while (batch := queue.take()) is not None:
        count += len(batch.blocks)
        queue.settle([result(batch.blocks[0], 0.001)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 10**6
    assert peak < 2**20


def test_a_failed_block_comes_back_alone_until_its_retries_are_used_up() -> None:
    queue = BlockQueue([range(3)], workers=1, batch_seconds=100.0, retries=2)
    tries = []
    while (batch := queue.take()) is not None:
        tries += batch.blocks
        queue.settle([result(b, error="no" if b == 1 else None) for b in batch.blocks])
    assert tries.count(0) == tries.count(2) == 1
    assert tries.count(1) == 3
    assert set(queue.failed) == {1}
    assert queue.retried == 2


@pytest.mark.parametrize("died", [False, True])
def test_blocks_of_a_dead_worker_are_tried_while_nothing_else_runs(died: bool) -> None:
    queue = BlockQueue([range(2)], workers=1, batch_seconds=1.0, retries=1)
    first = queue.take()
    assert first is not None
    queue.settle([result(first.blocks[0], error="no")], worker_died=died)
    assert queue.take() == Batch((0,), alone=died)
