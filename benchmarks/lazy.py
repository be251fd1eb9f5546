"""Lazy images: seconds to make the graph of a large one and to cut it, a client against a run, and peak memory.

The large image is 20,000 tiles of which no pixel is read. The pixels of the others are read, fused and written twice by
the same worker processes: by `fusestack.run`, and by `fusestack.write` of what `fusestack.fuse` makes.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import zarr
from distributed import Client, LocalCluster

import fusestack
from fusestack.fusion.lazy import compute_of
from fusestack.model.geometry import Affine
from fusestack.model.view import SourceRef, View, ViewId
from fusestack.sources.base import SourceLevel

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray

    from fusestack.running.report import RunReport

TILE = (24, 512, 512)


class Unread:
    """A tile of which no pixel is read."""

    dtype = np.dtype(np.uint16)
    levels = (SourceLevel(TILE, (1.0, 1.0, 1.0), (24, 64, 64)),)

    def __init__(self, path: str, number: int) -> None:
        self.number = number

    def read(self, level: int, box: Any) -> Any:
        """Never called."""
        raise RuntimeError(f"tile {self.number} is read")


def large_views(count: int) -> list[View]:
    """A square of overlapping tiles."""
    across = math.isqrt(count - 1) + 1
    views = []
    for number in range(count):
        y, x = divmod(number, across)
        source = SourceRef(f"{__name__}:Unread", "", (("number", number),))
        place = Affine.translation((number % 5, 460.3 * y, 460.7 * x))
        views.append(View(ViewId(0, number), TILE, place, source, tile=number))
    return views


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that something takes, and what it gives."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def graph_of(count: int) -> None:
    """Make the graph of a large image, and look at a plane and a corner of it; print what it took."""
    views = large_views(count)
    made, image = seconds(lambda: fusestack.fuse(views))
    cut, plane = seconds(lambda: image[0, 0, 3])
    _, corner = seconds(lambda: image[0, 0, 3, :500, :500])
    culled, (graph,) = seconds(lambda: dask.optimize(corner.data))
    layer = image.data.dask.layers[image.data.name]
    print(f"tiles, Gvoxel          {count:>10,} {image.size / 1e9:10.1f}")
    print(f"tasks, and made so far {len(layer):>10,} {len(layer) if layer.is_materialized() else 0:>10,}")
    print(f"design and graph, s    {made:>10.2f}   at most 5")
    print(f"slice of a plane, s    {cut:>10.2f}   at most 1 ({plane.size / 1e9:.1f} Gpixel)")
    print(f"tasks of a corner, s   {culled:>10.2f}   ({len(graph.dask)} tasks)")


def written_config(folder: Path, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Write four tiles that overlap, and say how they are fused."""
    rng = np.random.default_rng(0)
    entries = []
    for number in range(4):
        array = zarr.create_array(
            folder / f"{number}.zarr", shape=shape, dtype="u2", chunks=[min(64, n) for n in shape]
        )
        array[:] = rng.poisson(200, shape)
        y, x = divmod(number, 2)
        place = {"x": 0.9 * shape[2] * x + 0.3, "y": 0.9 * shape[1] * y + 0.2, "z": 0.4 * number}
        entries.append({"path": str(folder / f"{number}.zarr"), "translation": place, "tile": number})
    output = {"path": str(folder / "fused.ome.zarr"), "pyramid": "none"}
    return {"version": 1, "input": {"views": entries}, "output": output}


def on_a_client(config: dict[str, Any], workers: int, repeats: int) -> None:
    """Write the same image by a run and from the lazy image, on the same workers, in turns; print both."""
    place = Path(config["output"]["path"]).with_name("lazy.ome.zarr")
    runs, writes = [], []
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):

        def written() -> RunReport:
            shutil.rmtree(place, ignore_errors=True)
            return fusestack.write(fusestack.fuse(config), place, levels="none", overwrite=True, client=client)

        for _ in range(repeats + 1):
            shutil.rmtree(config["output"]["path"], ignore_errors=True)
            runs.append(seconds(lambda: fusestack.run(config, force=True, client=client))[0])
            took, report = seconds(written)
            assert not report.reused_all
            writes.append(took)
    run, write = np.median(runs[1:]), np.median(writes[1:])  # the first ones compile
    voxels = fusestack.fuse(config).size / 1e6
    print(f"run on a client, s     {run:>10.2f}   ({voxels:.0f} Mvoxel, {workers} workers)")
    print(f"write on the client, s {write:>10.2f}   {write / run:.2f} of the run, at most 1.2")


def peak_of(image: xarray.DataArray) -> None:
    """Compute four of its chunks on one thread; print the memory that takes beside what they need."""
    shown = compute_of(image.data)
    assert shown is not None
    _, _, z, y, x = image.data.chunksize
    region = image[..., z : 2 * z, y : 2 * y, : 4 * x]
    image[0, 0, 0, 0, 0].compute(scheduler="synchronous")  # compiles
    tracemalloc.start()
    region.compute(scheduler="synchronous")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # one block at work, all of them, and the array that they become
    need = shown.compute.peak_bytes(image.data.chunksize) + 2 * region.nbytes
    print(f"part of an image       {region.size / image.size:>10.1%}   ({region.data.npartitions} chunks)")
    print(f"peak, MiB              {peak / 2**20:>10.1f}   {peak / need:.2f} of what they need, at most 1.2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="a hundred tiles, small ones, once")
    toy = parser.parse_args().toy
    graph_of(100 if toy else 20_000)
    with tempfile.TemporaryDirectory() as name:
        config = written_config(Path(name), (32, 64, 64) if toy else (128, 512, 512))
        on_a_client(config, 1 if toy else 2, 1 if toy else 3)
        peak_of(fusestack.fuse(config, chunks=16 if toy else (32, 128, 128)))


if __name__ == "__main__":
    main()
