"""Writing HDF5 with one and two workers: blocks (compressed by the workers) and the file (put together by one process).

A volume with noise and structure is written block by block by threads, as a run does without its fusion; *blocks* is
until all are there, *file* the end, where compressed chunks are copied into the HDF5 file or its partitions. For
comparison h5py writes the same volume with the same filter, which it runs under its lock. Medians of a few rounds are
printed, nothing is asserted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fusestack.config.output import Output
from fusestack.model.grid import Grid
from fusestack.model.image import Channel, Codec, ImageSpec
from fusestack.planning.layout import cut_levels
from fusestack.writers.bdv_hdf5 import BdvHdf5Writer
from fusestack.writers.hdf5_codec import filters


def spec_of(path: Path, shape: tuple[int, ...], codec: Codec, split: tuple[int, int] | None) -> ImageSpec:
    """An image of one level, cut as a run cuts it."""
    z, y, x = (int(n) for n in Output(path="a.h5").chunks_of_levels[0].zyx)
    return ImageSpec(
        path=str(path),
        name="volume",
        dtype="uint16",
        levels=cut_levels(shape, [(1, 1, 1)], (z, y, x), None, sharded=False, chunks_per_block=4),
        codec=codec,
        pixel_size=(1.0, 1.0, 1.0),
        origin=(0.0, 0.0, 0.0),
        unit=None,
        timepoints=tuple(range(shape[0])),
        channels=tuple(Channel(c, str(c)) for c in range(shape[1])),
        split=split,
    )


def written(spec: ImageSpec, pixels: Any, workers: int, work: Path) -> tuple[float, float, float]:
    """Seconds until all blocks are there, and for the file; share of the processor time of that end."""
    writer = BdvHdf5Writer(spec, str(work))
    writer.create()
    level = spec.levels[0]
    grid = Grid(level.shape, level.block)

    def write(number: int) -> None:
        box = grid.box(number)
        writer.write(0, box, pixels[box.slices])

    start, busy = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(write, range(grid.count)))
    between, shared = time.perf_counter(), time.process_time()
    writer.finish({})
    alone = (time.process_time() - shared) / (time.process_time() - busy)
    return between - start, time.perf_counter() - between, alone


def by_h5py(spec: ImageSpec, pixels: Any) -> float:
    """Seconds of h5py itself."""
    start = time.perf_counter()
    with h5py.File(spec.path, "w") as file:
        for t, c in np.ndindex(spec.shape[:2]):
            chunks = spec.levels[0].chunks[2:]
            file.create_dataset(f"t{t}/c{c}", data=pixels[t, c], chunks=chunks, **filters(spec.codec))
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="a small volume, one round")
    toy = parser.parse_args().toy
    shape = (2, 1, 32, 64, 64) if toy else (2, 1, 128, 512, 512)
    rng = np.random.default_rng(0)
    smooth = np.sin(np.arange(shape[-1]) / 9)[None, :] * np.cos(np.arange(shape[-2]) / 7)[:, None]
    pixels = (1000 + 400 * smooth + rng.normal(0, 20, shape)).astype(np.uint16)
    print(f"{pixels.nbytes / 2**20:.0f} MiB of uint16; seconds (MB/s)")
    cases = {
        "gzip 1": (Codec("gzip", 1), None),
        "gzip 1, partitions": (Codec("gzip", 1), (1, 0)),
        "blosc 1": (Codec("blosc", 1), None),
        "none": (Codec("none", 0), None),
    }
    for name, (codec, split) in cases.items():
        found: dict[int | str, list[tuple[float, float, float]]] = {1: [], 2: [], "h5py": []}
        for _ in range(1 if toy else 3):
            for workers, rounds in found.items():
                with tempfile.TemporaryDirectory() as folder:
                    spec = spec_of(Path(folder) / "a.h5", shape, codec, split)
                    if isinstance(workers, str):
                        rounds.append((by_h5py(spec, pixels), 0.0, 1.0))
                    else:
                        rounds.append(written(spec, pixels, workers, Path(folder) / "work"))
        for workers, rounds in found.items():
            blocks, file, alone = (statistics.median(column) for column in zip(*rounds, strict=True))
            who = "h5py     " if isinstance(workers, str) else f"{workers} workers"
            rate = pixels.nbytes / 1e6 / (blocks + file)
            print(f"{name:<20} {who}  blocks {blocks:.2f}  file {file:.2f}  ({rate:.0f} MB/s), alone {alone:.0%}")
        one, two = (statistics.median(blocks + file for blocks, file, _ in found[n]) for n in (1, 2))
        print(f"{name:<20} two workers are {one / two:.2f} times as fast as one")


if __name__ == "__main__":
    main()
