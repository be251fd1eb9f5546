"""A million blocks that hold nothing, through queue, ledger and each executor: seconds, and memory of the client."""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from fusestack.taskgraph.driver import run_stage
from fusestack.taskgraph.executor import Executor, ProcessExecutor, ThreadExecutor

from fusestack.model.grid import Grid
from fusestack.model.image import Codec, ImageSpec, Level
from fusestack.model.stage import Stage, Target
from fusestack.taskgraph.ledger import Ledger

if TYPE_CHECKING:
    from fusestack.model.geometry import Box


@dataclass(frozen=True)
class Nothing:
    """Every block is empty."""

    def __call__(self, box: Box) -> None:
        """Compute nothing."""

    def warm_up(self) -> None:
        """Nothing to compile."""


def empty_stage(folder: Path, blocks: int) -> Stage:
    """A stage of `blocks` blocks of which none is written."""
    grid = Grid((1, 1, blocks, 1, 1), (1, 1, 1, 1, 1))
    level = Level((1, 1, 1), grid.shape, grid.block, None, grid.block)
    image = ImageSpec(str(folder / "o"), "o", "uint8", (level,), Codec(), (1, 1, 1), (0, 0, 0), None, (0,), (), 0.0)
    target = Target("fusestack.writers.ome_zarr:OmeZarrWriter", image, 0, str(folder))
    return Stage("fuse", grid, Nothing(), target, "0" * 64, 0)


def dask_executor() -> Executor:
    from fusestack.taskgraph.cluster import local_cluster

    return local_cluster(2, 1, 2**31)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="ten thousand blocks, threads only")
    arguments = parser.parse_args()
    blocks = 10_000 if arguments.toy else 1_000_000
    executors = {"threads": lambda: ThreadExecutor(2), "processes": lambda: ProcessExecutor(2), "dask": dask_executor}
    for name in ["threads"] if arguments.toy else executors:
        with tempfile.TemporaryDirectory() as folder, executors[name]() as executor:
            stage = empty_stage(Path(folder), blocks)
            before = psutil.Process().memory_info().rss
            start = time.perf_counter()
            batches = 0

            def count(event: object) -> None:
                nonlocal batches
                batches += 1

            with Ledger(Path(folder) / "ledger.txt", blocks) as ledger:
                run_stage(stage, executor, ledger, retries=3, listener=count)
                assert ledger.complete
            seconds = time.perf_counter() - start
            grown = (psutil.Process().memory_info().rss - before) / 2**20
            done = f"{name:10} {blocks:>10,} blocks {batches:>6,} batches {seconds:6.1f} s"
            print(f"{done}, client grew by {grown:5.0f} MiB")


if __name__ == "__main__":
    main()
