"""Blocks that hold nothing through the graph: seconds of a million, of a batch, and memory of the client.

A million blocks in about two thousand batches, and as many batches of one block each, on two threads and on two worker
processes of dask.distributed; then the graph alone of an image of a million blocks with its pyramid.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from fusestack.model.grid import Grid
from fusestack.model.image import Codec, ImageSpec
from fusestack.model.stage import Compute, Stage, Target
from fusestack.planning.layout import cut_levels
from fusestack.planning.levels import with_pyramid
from fusestack.planning.resources import Resources
from fusestack.taskgraph.clusters import Threads, local_cluster
from fusestack.taskgraph.job import Todo, build_graph
from fusestack.taskgraph.rounds import run_units
from fusestack.taskgraph.units import Unit

if TYPE_CHECKING:
    from fusestack.model.geometry import Box
    from fusestack.taskgraph.clusters import Backend


@dataclass(frozen=True)
class Nothing(Compute):
    """Every block is empty."""

    def __call__(self, box: Box) -> None:
        """Compute nothing."""

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Nothing."""
        return 0


def empty_stages(folder: Path, blocks: int, side: int, *, levels: int) -> tuple[Stage, ...]:
    """Stages of an image of about `blocks` blocks of `side` pixels along each axis, none of which is written."""
    along = round(blocks ** (1 / 3))
    factors = [(2**n,) * 3 for n in range(levels)]
    cut = cut_levels((1, 1, *(along * side,) * 3), factors, (side,) * 3, (side,) * 3, sharded=False)
    image = ImageSpec(str(folder / "o"), "o", "uint8", cut, Codec(), (1, 1, 1), (0, 0, 0), None, (0,), (), 0.0)
    target = Target("fusestack.writers.ome_zarr:OmeZarrWriter", image, 0, str(folder))
    first = Stage("fuse", Grid(image.shape, cut[0].block), Nothing(), target, "0" * 64, 0)
    return with_pyramid(first, Resources("threads", 2, 1, 2**40, 0))


def nothing(**_: bool) -> None:
    """Neither begins nor ends."""


def through(backend: Backend, folder: Path, blocks: int, side: int, word: str) -> None:
    """Run a stage of empty blocks, and print what it took."""
    stages = empty_stages(folder, blocks, side, levels=1)
    batches = 0

    def count(event: object) -> None:
        nonlocal batches
        batches += 1

    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    ended, _ = run_units([Unit(stages, nothing, nothing)], backend, memory=2**40, retries=0, listener=count)
    seconds = time.perf_counter() - start
    assert all(one.complete for one in ended)
    grown = (psutil.Process().memory_info().rss - before) / 2**20
    each = f"{1e3 * seconds / batches:6.2f} ms a batch"
    print(
        f"{word:12} {stages[0].grid.count:>10,} blocks {batches:>6,} batches {seconds:6.1f} s {each}, "
        f"client grew by {grown:5.0f} MiB"
    )


def built(folder: Path, blocks: int) -> None:
    """Build the graph of a large image with its pyramid, and print what it took."""
    stages = empty_stages(folder, blocks, 256, levels=8)
    missing = {stage.key: np.ones(stage.grid.count, bool) for stage in stages}
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    graph = build_graph([Unit(stages, nothing, nothing)], Todo(missing, missing), workers=2, memory=2**32)
    seconds = time.perf_counter() - start
    grown = (psutil.Process().memory_info().rss - before) / 2**20
    layers = ", ".join(f"{name.rpartition('-')[0]}: {len(layer):,}" for name, layer in graph.layers.items())
    print(f"graph of {sum(s.grid.count for s in stages):,} blocks built in {seconds:.2f} s, {grown:.0f} MiB: {layers}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="ten thousand blocks, threads only")
    arguments = parser.parse_args()
    blocks = 10_000 if arguments.toy else 1_000_000
    backends = {"threads": lambda: Threads(2), "distributed": lambda: local_cluster(2, 1, 2**31)}
    for name in ["threads"] if arguments.toy else backends:
        with backends[name]() as backend:
            for count, side in ((8, 256), (1_728, 256), (blocks, 256)):
                with tempfile.TemporaryDirectory() as folder:
                    through(backend, Path(folder), count, side, name)
    with tempfile.TemporaryDirectory() as folder:
        built(Path(folder), blocks)


if __name__ == "__main__":
    main()
