"""Peak memory of worker processes beside `execution.memory`, for growing projects and more overlapping views."""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr

import fusestack


def make_config(folder: Path, shape: tuple[int, int, int], views: int) -> dict[str, Any]:
    """Write one tile, and use it several times at places that overlap."""
    path = folder / "tile.ome.zarr"
    array = zarr.create_array(path, shape=shape, dtype="u2", chunks=tuple(min(64, n) for n in shape), overwrite=True)
    array[:] = np.random.default_rng(0).poisson(200, shape)
    entries = [
        {"path": str(path), "translation": {"x": 20.3 * n, "y": 10.6 * n, "z": 0.4 * n}, "tile": n}
        for n in range(views)
    ]
    return {"version": 1, "input": {"views": entries}, "output": {"path": str(folder / "fused.ome.zarr")}}


def watch(stop: threading.Event, peaks: dict[int, int]) -> None:
    """Remember the largest memory of every child process that computes."""
    me = psutil.Process()
    while not stop.is_set():
        for child in me.children(recursive=True):
            try:
                if "resource_tracker" not in " ".join(child.cmdline()):
                    peaks[child.pid] = max(peaks.get(child.pid, 0), child.memory_info().rss)
            except psutil.Error:
                continue
        time.sleep(0.005)


def measure(config: dict[str, Any], memory: int) -> tuple[float, float]:
    """Run with two processes; MiB of the largest worker, and what the plan declares for it."""
    settings = ["execution.scheduler=processes", "execution.workers=2", f"execution.memory={memory}"]
    plan = fusestack.plan(config, settings)
    from fusestack.planning.resources import WORKER_BYTES

    declared = WORKER_BYTES + max(stage.peak_bytes for image in plan.images for stage in image.stages)
    peaks: dict[int, int] = {}
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(stop, peaks))
    watcher.start()
    try:
        fusestack.run(plan, force=True)
    finally:
        stop.set()
        watcher.join()
    return max(peaks.values()) / 2**20, declared / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="one small project")
    arguments = parser.parse_args()
    cases = (
        [((64, 128, 128), 2)] if arguments.toy else [((128, 256, 256), 2), ((256, 512, 512), 2), ((256, 512, 512), 12)]
    )
    print("tile (zyx)         views  execution.memory   declared   measured peak of a worker (MiB)")
    for shape, views in cases:
        for memory in (700,) if arguments.toy else (700, 1500):
            with tempfile.TemporaryDirectory() as folder:
                peak, declared = measure(make_config(Path(folder), shape, views), memory * 2**20)
            print(f"{shape!s:18} {views:5} {memory:17} {declared:10.0f} {peak:10.0f}")


if __name__ == "__main__":
    main()
