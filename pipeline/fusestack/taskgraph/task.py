"""The only thing a worker does: compute blocks of a stage and write them."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING

from fusestack.model.errors import OutputError
from fusestack.model.stage import BlockResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.stage import ImageWriter, Stage


def run_batch(stage: Stage, blocks: Sequence[int]) -> list[BlockResult]:
    """Compute and write blocks one after another; a failure becomes a value and the batch goes on.

    A stage computes None for a block that holds nothing but the fill value; such a block is not written. Where the
    store refuses, the batch ends: the results are those of the blocks up to there.
    """
    writer = stage.target.open()
    results = []
    for block in blocks:
        results.append(_run_block(stage, writer, block))
        if results[-1].hopeless:
            break
    return results


def _run_block(stage: Stage, writer: ImageWriter, block: int) -> BlockResult:
    box = stage.grid.box(block)
    start = time.perf_counter()
    written = 0
    try:
        pixels = stage.compute(box)
        if pixels is not None:
            written = writer.write(stage.target.level, box, pixels)
    except Exception as error:  # a worker must survive any block; the driver decides what to do
        return BlockResult(
            block,
            time.perf_counter() - start,
            box.size,
            written,
            error=str(error) or type(error).__name__,
            details=traceback.format_exc(),
            hopeless=isinstance(error, OutputError),
        )
    return BlockResult(block, time.perf_counter() - start, box.size, written)
