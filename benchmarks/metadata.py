"""What planning many tiles costs that say themselves where they are: OME-TIFF and OME-Zarr, their metadata alone.

The files are small and real; no pixel is read (``plan --no-probe``). Seconds are those of a whole plan of files that
nobody has looked at before, of reading what they say, from the files and from the cache of the user as another process
would, and of a plan after that.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import tifffile
import zarr

import fusestack
from fusestack.fusion.stored_tiles import reader_of_file
from fusestack.sources.facts import FactsWanted, all_facts
from fusestack.sources.known_facts import _MEMORY, _STILL_FOR_LONG, MANY

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
        with mock.patch.dict(os.environ, XDG_CACHE_HOME=f"{name}/cache"):
            if count >= MANY:
                time.sleep(_STILL_FOR_LONG)  # what changed a moment ago is not kept
            report(kind, "plan", count, lambda: fusestack.plan(config))
            report(kind, "plan, kept on disk", count, lambda: (_MEMORY.clear(), fusestack.plan(config)))
            report(kind, "what files say, kept", count, lambda: (_MEMORY.clear(), all_facts(wanted)))
        with mock.patch.dict(os.environ, XDG_CACHE_HOME=f"{name}/other"):
            report(kind, "what files say", count, lambda: (_MEMORY.clear(), all_facts(wanted)))


def report(kind: str, label: str, count: int, work: Callable[[], object]) -> None:
    """Run something and print what it cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    each = f"{1e3 * wall / count:.2f} ms a file, {1e3 * cpu / count:.2f} of a processor"
    print(f"{kind:9} {label:24} {wall:8.1f} s  {each}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="fifty tiles of each kind")
    parser.add_argument("--count", type=int, default=20_000, help="tiles of each kind")
    arguments = parser.parse_args()
    for kind, write in (("OME-TIFF", write_tiff), ("OME-Zarr", write_zarr)):
        measure(kind, write, 50 if arguments.toy else arguments.count)


if __name__ == "__main__":
    main()
