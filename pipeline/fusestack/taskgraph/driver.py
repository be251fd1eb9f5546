"""The loop that drives one stage: queue -> executor -> ledger, with a window of batches under way."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fusestack.taskgraph.events import BlocksEnded, StageEnded
from fusestack.taskgraph.queue import BlockQueue

if TYPE_CHECKING:
    from fusestack.model.stage import BlockResult, Stage
    from fusestack.taskgraph.events import Listener
    from fusestack.taskgraph.executor import Executor
    from fusestack.taskgraph.ledger import Ledger


@dataclass(frozen=True)
class StageOutcome:
    """What became of a stage: `failed` maps blocks to their last result."""

    seconds: float
    retries: int
    bytes_written: int
    failed: dict[int, BlockResult] = field(default_factory=dict)


def run_stage(stage: Stage, executor: Executor, ledger: Ledger, *, retries: int, listener: Listener) -> StageOutcome:
    """Do what the ledger says is missing; tick off every finished block before the next batch is awaited."""
    start = time.perf_counter()
    queue = BlockQueue(
        ledger.missing(), workers=executor.workers, batch_seconds=executor.batch_seconds, retries=retries
    )
    executor.begin(stage)
    written = 0
    running_alone = False
    while True:
        while executor.pending < executor.window and not running_alone:
            batch = queue.take()
            if batch is None:
                break
            if batch.alone and executor.pending:
                queue.put_back(batch)
                break
            executor.submit(batch)
            running_alone = batch.alone
        if not executor.pending:
            break
        outcome = executor.collect()
        running_alone = False
        ledger.record(r.block for r in outcome.results if r.error is None)
        queue.settle(outcome.results, worker_died=outcome.worker_died)
        written += sum(r.bytes_written for r in outcome.results)
        listener(BlocksEnded(stage.name, tuple(outcome.results), stage.target.image.itemsize))
    seconds = time.perf_counter() - start
    listener(StageEnded(stage.name, seconds, len(queue.failed), queue.retried))
    return StageOutcome(seconds, queue.retried, written, queue.failed)
