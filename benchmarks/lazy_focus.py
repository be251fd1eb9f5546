"""Lazy focus stacking beside a stored run of the same slices, whole processes, in one run.

Twelve slices of 2000 x 3000 pixels in colour with known focus, the default operators. A stored run reads TIFF files;
lazily the slices are a NumPy array, a dask array of one slice a chunk, and one of tiles. Every result is compared.
After a run of each that is not counted, rounds alternate. Medians and ratios are printed, nothing is asserted; memory
is the largest of the process. Then the graph of 20 slices of 20,480 x 20,480 pixels: how long it takes, and its tasks.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

WAYS = ("stored", "numpy", "dask, slices", "dask, tiles")
ONE = """
import hashlib, resource, sys, time
import dask, dask.array as da, numpy as np, fusestack
way, folder = sys.argv[1:]
dask.config.set(scheduler="threads")
stack = np.load(folder + "/stack.npy", mmap_mode="r")
fusestack.focus_stack(np.array(stack[:, :64, :64]))  # loads what is needed
begin = time.perf_counter()
if way == "stored":
    found = fusestack.focus_stack(folder + "/*.tif")
elif way == "numpy":
    found = fusestack.focus_stack(np.array(stack))
else:
    chunks = (1, -1, -1, -1) if way == "dask, slices" else (-1, 1000, 1000, -1)
    found = fusestack.focus_stack(da.from_array(np.array(stack), chunks=chunks, name=False)).compute()
seconds = time.perf_counter() - begin
digest = hashlib.sha256(found.image.values.tobytes() + found.depth.values.tobytes()).hexdigest()
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, digest)
"""


def make(folder: Path, count: int, shape: tuple[int, int]) -> None:
    """Slices of a tilted, textured plane, each in focus in a stripe."""
    rng = np.random.default_rng(0)
    texture = rng.random((*shape, 3), dtype=np.float32)
    blurred = [gaussian_filter(texture, (sigma, sigma, 0)) for sigma in range(4)]
    focus = np.linspace(0, count - 1, shape[1])
    stack = np.empty((count, *shape, 3), np.uint8)
    for k in range(count):
        near = np.minimum(np.abs(focus - k).round().astype(int), len(blurred) - 1)
        for level, image in enumerate(blurred):
            columns = near == level
            stack[k][:, columns] = np.clip(128 + (image[:, columns] - 0.5) * 200, 0, 255)
        tifffile.imwrite(folder / f"slice_{k + 1}.tif", stack[k], photometric="rgb")
    np.save(folder / "stack.npy", stack)


def measured(way: str, folder: Path) -> tuple[float, float, str]:
    """Seconds, MiB and the digest of one run."""
    command = [sys.executable, "-c", ONE, way, str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, memory, digest = answer.stdout.split()
    return float(seconds), float(memory), digest


def graph(side: int) -> None:
    """Print what the graph of a large stack costs."""
    import dask
    import dask.array as da

    import fusestack

    array = da.zeros((20, side, side), dtype=np.uint8, chunks=(20, 1024, 1024))
    begin = time.perf_counter()
    found = fusestack.focus_stack(array)
    built = time.perf_counter()
    (optimized,) = dask.optimize(found.image)
    tasks, tiles = len(optimized.__dask_graph__()), found.image.data.npartitions
    print(
        f"20 x {side} x {side}: built in {built - begin:.2f} s, optimised in {time.perf_counter() - built:.2f} s, "
        f"{tasks} tasks, {tasks / tiles:.1f} for each of {tiles} tiles"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="a few pixels, one round")
    parser.add_argument("--rounds", type=int, default=3)
    toy = (options := parser.parse_args()).toy
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, *((3, (60, 90)) if toy else (12, (2000, 3000))))
        found: dict[str, list[tuple[float, float, str]]] = {way: [] for way in WAYS}
        for number in range(1 if toy else options.rounds + 1):
            for way in WAYS[:2] if toy else WAYS:
                one = measured(way, folder)
                if number or toy:
                    found[way].append(one)
    base = statistics.median(seconds for seconds, _, _ in found["stored"])
    same = {digest for runs in found.values() for _, _, digest in runs}
    for way, runs in found.items():
        if runs:
            seconds, memory = (statistics.median(run[i] for run in runs) for i in (0, 1))
            print(f"{way:14} {seconds:7.2f} s  {seconds / base:5.2f} times stored  {memory:7.0f} MiB")
    print("all results are the same" if len(same) == 1 else f"{len(same)} different results")
    graph(2048 if toy else 20480)


if __name__ == "__main__":
    main()
