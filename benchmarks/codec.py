"""Fusion beside the bare codec work of the same bytes, in one process, on two threads.

Four overlapping tiles as in ``run_vs_copy.py``, shifted and rotated. *Codec* decodes every chunk of the input, encodes
every chunk of the output and writes the shards, by numcodecs and nothing else. *Fuse* computes and writes every block
of level 0. *Graph* runs the graph of the plan, with all levels, as `fusestack run` does; its codec work is that of
level 0. *Mean* is the kernel of the next level, on pixels in memory. Rounds alternate; medians and ratios are
printed, nothing is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numcodecs import Blosc, blosc

import fusestack
from fusestack import kernels
from fusestack.running.inspection import inspect
from fusestack.running.units import units_of
from fusestack.taskgraph.clusters import Threads
from fusestack.taskgraph.rounds import run_units

sys.path.insert(0, str(Path(__file__).parent))
from methods import turned
from run_vs_copy import make_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THREADS = 2


def seconds(work: Callable[[Any], object], jobs: Iterable[Any]) -> tuple[float, float]:
    """Do all jobs on the threads; seconds on the clock, and of the processors."""
    start, busy = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, jobs))
    return time.perf_counter() - start, time.process_time() - busy


def stored_chunks(path: str) -> list[bytes]:
    """Every encoded chunk of a sharded array."""
    array = zarr.open_array(path, mode="r")
    counts = tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))
    found = []
    for file in sorted(p for p in Path(path).rglob("*") if p.is_file() and p.name != "zarr.json"):
        data = file.read_bytes()
        table = np.frombuffer(data[-4 - 16 * int(np.prod(counts)) : -4], "<u8").reshape(-1, 2)
        found += [data[int(a) : int(a + n)] for a, n in table if n < 2**63]
    return found


def shards_of(path: Path) -> list[list[Any]]:
    """Chunks of every shard of an array as pixels, padded."""
    array = zarr.open_array(path, mode="r")
    grown = tuple(-(-n // c) * c for n, c in zip(array.shape, array.chunks, strict=True))
    pixels = np.zeros(grown, array.dtype)
    pixels[tuple(slice(n) for n in array.shape)] = array[:]
    shards = []
    for start in itertools.product(*(range(0, n, s) for n, s in zip(grown, array.shards, strict=True))):
        shard = pixels[tuple(slice(a, a + s) for a, s in zip(start, array.shards, strict=True))]
        cuts = itertools.product(*(range(0, n, c) for n, c in zip(shard.shape, array.chunks, strict=True)))
        places = (tuple(slice(a, a + c) for a, c in zip(cut, array.chunks, strict=True)) for cut in cuts)
        shards.append([np.ascontiguousarray(shard[place]) for place in places])
    return shards


def codec_work(encoded: list[bytes], shards: list[list[Any]], folder: Path) -> tuple[float, float]:
    """Decode, encode and write; each thread decodes into one buffer."""
    blosc.use_threads = False
    codec = Blosc("zstd", 1, Blosc.BITSHUFFLE)
    target = folder / "bare"
    target.mkdir(exist_ok=True)
    share = -(-len(encoded) // len(shards))
    sizes = [int.from_bytes(data[4:8], "little") for data in encoded]
    buffers: dict[int, Any] = {}

    def work(number: int) -> None:
        buffer = buffers.setdefault(threading.get_ident(), np.empty(max(sizes), np.uint8))
        mine = slice(number * share, (number + 1) * share)
        for data, size in zip(encoded[mine], sizes[mine], strict=True):
            blosc.decompress(data, buffer[:size])
        with (target / str(number)).open("wb") as file:
            file.writelines([codec.encode(chunk) for chunk in shards[number]])

    return seconds(work, range(len(shards)))


def batches(grid: Any) -> list[list[int]]:
    """Blocks of level 0 under each block of the next level, which is what a task is."""
    counts = [-(-n // b) for n, b in zip(grid.shape, grid.block, strict=True)]
    parents: dict[tuple[int, ...], list[int]] = {}
    for number, index in enumerate(np.ndindex(*counts)):
        parents.setdefault(tuple(i // 2 for i in index), []).append(number)
    return list(parents.values())


def fuse(stage: Any) -> tuple[float, float]:
    """Compute and write every block of a stage."""
    writer = stage.target.open()

    def work(numbers: list[int]) -> None:
        for number in numbers:
            box = stage.grid.box(number)
            pixels = stage.compute(box)
            if pixels is not None:
                writer.write(0, box, pixels)

    return seconds(work, batches(stage.grid))


def graph(plan: Any) -> tuple[float, float]:
    """Run the graph of a plan from nothing, with all levels."""
    units = units_of(plan, inspect(plan, force=True), force=True)
    for unit in units:
        unit.begin(force=True)
    start, busy = time.perf_counter(), time.process_time()
    with Threads(THREADS) as backend:
        ended, _ = run_units(units, backend, memory=plan.resources.block_bytes, retries=0, listener=lambda event: None)
    if not all(one.complete for one in ended):
        raise RuntimeError("the graph is not complete")
    return time.perf_counter() - start, time.process_time() - busy


def mean_rates(shape: tuple[int, int, int], rounds: int) -> None:
    """Print Mvoxel/s of the mean of blocks, on one thread."""
    rng = np.random.default_rng(0)
    for dtype, factors in itertools.product(("uint8", "uint16", "float32"), ((2, 2, 2), (1, 2, 2))):
        pixels = rng.integers(0, 250, shape).astype(dtype)
        small = tuple(n // f for n, f in zip(shape, factors, strict=True))
        kernels.downsample.block_mean(pixels, factors, small)
        took = []
        for _ in range(rounds):
            start = time.perf_counter()
            kernels.downsample.block_mean(pixels, factors, small)
            took.append(time.perf_counter() - start)
        print(f"  mean {dtype:8} {factors}  {pixels.size / 1e6 / np.median(took):8.0f} Mvoxel/s, one thread")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="tiny tiles, one round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shape", type=int, nargs=3, default=(127, 512, 512), metavar=("Z", "Y", "X"))
    arguments = parser.parse_args()
    shape = (16, 40, 48) if arguments.toy else tuple(arguments.shape)
    rounds = 1 if arguments.toy else arguments.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiles = make_tiles(folder, shape)
        encoded = [data for path, _ in tiles for data in stored_chunks(path)]
        for placed, config in {"shifted": folder / "fuse.yaml", "turned": turned(tiles, folder)}.items():
            plan = fusestack.plan(config, ["output.pyramid=none", f"execution.workers={THREADS}"])
            stage = plan.images[0].stages[0]
            stage.target.open().create()
            stage.compute.warm_up()
            fuse(stage)
            shards = shards_of(Path(stage.target.image.path) / "0")
            path = folder / f"{placed}_levels.ome.zarr"
            whole = fusestack.plan(config, [f"execution.workers={THREADS}", f"output.path={path}"])
            graph(whole)
            took = np.array([(codec_work(encoded, shards, folder), fuse(stage), graph(whole)) for _ in range(rounds)])
            voxels, blocks = np.prod(stage.target.image.shape) / 1e6, stage.grid.count
            print(f"{placed}: {voxels:.0f} Mvoxel, {blocks} blocks")
            for number, clock in enumerate(("wall", "processors")):
                codec, fused, all_levels = np.median(took[:, :, number], axis=0)
                ratio = np.median(took[:, 1:, number] / took[:, :1, number], axis=0)
                print(
                    f"  {clock:10}  codec {codec:.2f} s  fuse {fused:.2f} s  graph {all_levels:.2f} s  "
                    f"fuse / codec {ratio[0]:.2f}  graph / codec {ratio[1]:.2f}"
                )
    mean_rates(shape, rounds)


if __name__ == "__main__":
    main()
