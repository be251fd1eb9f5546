"""What planning many tiles costs that say themselves where they are: OME-TIFF and OME-Zarr, their metadata alone.

The files are small and real; no pixel is read (``plan --no-probe``). Seconds are those of reading what the files say,
of a whole plan, and of both again in the same process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
import zarr

import fusestack
from fusestack.fusion.stored_tiles import reader_of_file
from fusestack.sources.facts import FactsWanted, all_facts

if TYPE_CHECKING:
    from collections.abc import Callable

PIXELS = np.zeros((3, 16, 16), dtype=np.uint16)
STEP = 0.5


def write_tiff(folder: Path, number: int, y: float, x: float) -> Path:
    """A tile of three planes; positions as microscopes write them, one for each plane."""
    places = {"PositionX": [x] * 3, "PositionY": [y] * 3, "PositionXUnit": ["µm"] * 3, "PositionYUnit": ["µm"] * 3}
    sizes = {"PhysicalSizeX": STEP, "PhysicalSizeY": STEP, "PhysicalSizeZ": 1.0}
    path = folder / f"t{number}.ome.tif"
    metadata = {"axes": "ZYX", **sizes, "Plane": places}
    tifffile.imwrite(path, PIXELS, ome=True, photometric="minisblack", metadata=metadata)
    return path


def write_zarr(folder: Path, number: int, y: float, x: float) -> Path:
    """A tile of two levels."""
    path = folder / f"t{number}.ome.zarr"
    group = zarr.open_group(path, mode="w")
    for level in range(2):
        group.create_array(str(level), shape=[n >> level for n in (4, 16, 16)], dtype="uint16", chunks=(4, 16, 16))
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [2.0**level, STEP * 2**level, STEP * 2**level]},
                {
                    "type": "translation",
                    "translation": [(2**level - 1) / 2, y + (2**level - 1) / 4, x + (2**level - 1) / 4],
                },
            ],
        }
        for level in range(2)
    ]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def measure(kind: str, write: Callable[[Path, int, float, float], Path], count: int) -> None:
    """Print what tiles of one kind cost."""
    across = int(np.ceil(count**0.5))
    with tempfile.TemporaryDirectory() as name:
        paths = [write(Path(name), n, n // across * 7.0, n % across * 7.0) for n in range(count)]
        config = {
            "input": {"views": [{"path": str(path)} for path in paths]},
            "output": {"path": str(Path(name) / "o.ome.zarr")},
        }
        wanted = [FactsWanted(reader_of_file(str(path)), str(path)) for path in paths]
        for label, work in (("what files say", lambda: all_facts(wanted)), ("plan", lambda: fusestack.plan(config))):
            for again in ("", ", again"):
                wall, cpu = time.perf_counter(), time.process_time()
                work()
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                each = f"{1e3 * wall / count:.2f} ms a file, {1e3 * cpu / count:.2f} of a processor"
                print(f"{kind:9} {label + again:24} {wall:8.1f} s  {each}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="fifty tiles of each kind")
    parser.add_argument("--count", type=int, default=20_000, help="tiles of each kind")
    arguments = parser.parse_args()
    for kind, write in (("OME-TIFF", write_tiff), ("OME-Zarr", write_zarr)):
        measure(kind, write, 50 if arguments.toy else arguments.count)


if __name__ == "__main__":
    main()
