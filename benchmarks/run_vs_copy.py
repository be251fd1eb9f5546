"""The whole program beside a plain copy and a peer, on the same tiles, in one run.

Four overlapping tiles (OME-Zarr 0.5, shards, blosc zstd 1 with bit shuffle) at sub-pixel places are

* fused by ``fusestack run``, a whole process from zarr to zarr with pyramid, on two workers;
* compared with a chunk-by-chunk copy of the fused result, all its levels, by zarr-python on one and on two threads;
* fused by multiview-stitcher, where a Python that has it is named: ``--peer /path/to/python``.

Rounds alternate; medians and ratios are printed, nothing is asserted.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

COPY = """
import itertools, sys
from concurrent.futures import ThreadPoolExecutor
import zarr
source, target = zarr.open_group(sys.argv[1], mode="r"), zarr.open_group(sys.argv[2], mode="w")
def copy(job):
    a, b, box = job
    b[box] = a[box]
jobs = []
for name in sorted(source):
    a = source[name]
    b = target.create_array(name, shape=a.shape, dtype=a.dtype, chunks=a.chunks, shards=a.shards,
                            compressors=a.compressors, fill_value=0)
    for start in itertools.product(*(range(0, n, s) for n, s in zip(a.shape, a.shards))):
        jobs.append((a, b, tuple(slice(i, min(i + s, n)) for i, s, n in zip(start, a.shards, a.shape))))
with ThreadPoolExecutor(int(sys.argv[3])) as pool:
    list(pool.map(copy, jobs))
"""

PEER = """
import json, sys
import dask, dask.array as da
from multiview_stitcher import fusion, spatial_image_utils as si
dask.config.set(scheduler="threads", num_workers=2)
tiles, out = json.loads(sys.argv[1]), sys.argv[2]
sims = []
for path, (z, y, x) in tiles:
    pixels = da.from_zarr(path)
    sims.append(si.get_sim_from_array(pixels, dims=["z", "y", "x"], scale={"z": 1, "y": 1, "x": 1},
                                      translation={"z": z, "y": y, "x": x}, transform_key="place"))
fusion.fuse(sims, transform_key="place", output_chunksize=256, output_zarr_url=out)
"""


def make_tiles(folder: Path, shape: tuple[int, int, int]) -> list[tuple[str, tuple[float, float, float]]]:
    """Write smooth structures with camera noise, 2 x 2, about 10 % overlap."""
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    smooth = 300 + 250 * np.sin(x / 17) * np.cos(y / 23) * np.sin(z / 9 + 1)
    places = []
    text = "version: 1\ninput:\n  views:\n"
    for number in range(4):
        pixels = rng.poisson(np.maximum(smooth, 1)).astype(np.uint16)
        path = folder / f"tile{number}.ome.zarr"
        codec = zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
        chunk = tuple(min(c, n) for c, n in zip((64, 128, 128), shape, strict=True))
        shard = tuple(-(-min(s, n) // c) * c for s, n, c in zip((256, 256, 256), shape, chunk, strict=True))
        array = zarr.create_array(path, shape=shape, dtype="u2", chunks=chunk, shards=shard, compressors=[codec])
        array[:] = pixels
        place = (0.4 * number, round(0.9 * shape[1] * (number // 2)) + 0.3, round(0.9 * shape[2] * (number % 2)) + 0.6)
        places.append((str(path), place))
        text += f"  - {{path: {path}, translation: {{x: {place[2]}, y: {place[1]}, z: {place[0]}}}, tile: {number}}}\n"
    (folder / "fuse.yaml").write_text(f"{text}output: {{path: {folder / 'fused.ome.zarr'}}}\n")
    return places


def timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="tiny tiles, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 512, 512), metavar=("Z", "Y", "X"))
    parser.add_argument("--peer", help="a Python that has multiview-stitcher")
    arguments = parser.parse_args()
    shape = (16, 40, 48) if arguments.toy else tuple(arguments.shape)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiles = make_tiles(folder, shape)
        run = [sys.executable, "-m", "fusestack", "run", str(folder / "fuse.yaml"), "--quiet", "--force"]
        processes = ["--set", "execution.scheduler=processes"]
        fused, copy = str(folder / "fused.ome.zarr"), str(folder / "copy.zarr")
        commands = {
            "fusestack run, threads": [*run, "--set", "execution.workers=2"],
            "fusestack run, processes": [*run, "--set", "execution.workers=2", *processes],
            "copy, 1 thread": [sys.executable, "-c", COPY, fused, copy, "1"],
            "copy, 2 threads": [sys.executable, "-c", COPY, fused, copy, "2"],
        }
        if arguments.peer:
            import json

            commands["multiview-stitcher"] = [arguments.peer, "-c", PEER, json.dumps(tiles), str(folder / "peer.zarr")]
        if not arguments.toy:
            timed(run)  # compiles, and warms the page cache
        seconds: dict[str, list[float]] = {key: [] for key in commands}
        for number in range(1 if arguments.toy else arguments.rounds):
            for key, command in commands.items():
                if key == "multiview-stitcher" and number > 1:
                    continue
                shutil.rmtree(copy, ignore_errors=True)
                shutil.rmtree(folder / "peer.zarr", ignore_errors=True)
                seconds[key].append(timed(command))
        voxels = zarr.open_array(folder / "fused.ome.zarr" / "0", mode="r").size
        print(f"{voxels / 1e6:.0f} Mvoxel fused, medians of {arguments.rounds} whole processes")
        for key, values in seconds.items():
            print(f"  {key:26} {np.median(values):7.2f} s  {voxels / 1e6 / np.median(values):8.1f} Mvoxel/s")
        ours = np.median(seconds["fusestack run, threads"])
        for key in ("copy, 1 thread", "copy, 2 threads"):
            print(f"  fusestack / {key:15} {ours / np.median(seconds[key]):6.2f}   at most 1.5")
        if arguments.peer:
            print(
                f"  multiview-stitcher / fusestack {np.median(seconds['multiview-stitcher']) / ours:6.1f}   at least 15"
            )
        else:
            print("  multiview-stitcher was not measured: name a Python that has it with --peer")


if __name__ == "__main__":
    main()
