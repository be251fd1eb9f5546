"""``fusestack view`` of a configuration of 225 tiles, 100 Gvoxel: seconds to the first picture, and for frames.

*page* is from the start of the process to the address of its page, *first picture* until the blocks are there that the
panels show at first. A *frame* is all blocks that a region of 1000 x 1000 pixels of a plane at full resolution touches,
asked for as a browser does; no pixel of it was decoded before, but its files are in the memory of the machine. The
tiles share the files of their chunks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr

FACTORS = ((1, 1, 1), (1, 2, 2), (2, 4, 4), (4, 8, 8), (8, 16, 16))
PANEL = 500
FRAME = 1000
AT_ONCE = 6


def make_tiles(folder: Path, across: int, shape: tuple[int, int, int]) -> Path:
    """Write one tile of noise and structure, links to it as others, and a configuration that names all of them."""
    tile, rng = folder / "tile", np.random.default_rng(0)
    group, datasets = zarr.open_group(tile, mode="w", zarr_format=2), []
    for number, factors in enumerate(FACTORS):
        size = tuple(n // f for n, f in zip(shape, factors, strict=True))
        chunk = tuple(min(n, side) for n, side in zip(size, (32, 256, 256), strict=True))
        keys = {"name": "v2", "separator": "/"}
        array = group.create_array(str(number), shape=size, chunks=chunk, dtype="<u2", chunk_key_encoding=keys)
        index = list(itertools.product(*(range(-(-n // side)) for n, side in zip(size, chunk, strict=True))))
        smooth = np.sin(np.arange(chunk[1]) / 20)[:, None] * np.cos(np.arange(chunk[2]) / 17)
        array[: chunk[0], : chunk[1], : chunk[2]] = 1000 + 200 * smooth + rng.normal(0, 20, chunk)
        first, *others = [tile / str(number) / "/".join(map(str, key)) for key in index]
        for other in others:
            other.parent.mkdir(parents=True, exist_ok=True)
            os.link(first, other)
        datasets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [*factors]}]})
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    lines = []
    for number, (row, column) in enumerate(itertools.product(range(across), repeat=2)):
        path = folder / f"t{number:03}.ome.zarr"
        path.mkdir()
        for entry in tile.iterdir():
            (path / entry.name).symlink_to(entry)
        place = {"x": column * 0.9 * shape[2] + 0.3, "y": row * 0.9 * shape[1] + 0.7, "z": number % 3}
        lines.append(f"    - {json.dumps({'path': path.name, 'translation': place, 'tile': number})}\n")
    config = folder / "fuse.yaml"
    config.write_text(f"version: 1\ninput:\n  views:\n{''.join(lines)}output: {{path: fused.ome.zarr}}\n")
    return config


class Page:
    """What a browser asks a server for."""

    def __init__(self, address: str) -> None:
        origin, _, token = address.rstrip("/").rpartition("/")
        self._data = f"{origin}/data/{token}/0"
        with urllib.request.urlopen(f"{origin}/events/{token}?c=a&gs=") as lines:
            self.state = json.loads(next(line for line in lines if line.startswith(b"data: "))[6:])["s"]
        self.levels = json.loads(self.get(".zattrs"))["multiscales"][0]["datasets"]

    def get(self, key: str) -> bytes:
        """A file or block; empty where there is none."""
        try:
            with urllib.request.urlopen(f"{self._data}/{key}") as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return b""

    def blocks(self, level: int, center: Any, *extents: tuple[float, float, float]) -> list[str]:
        """Keys of the blocks that regions z, y, x around a place touch, in pixels of the level."""
        array = json.loads(self.get(f"{level}/.zarray"))
        found = set()
        for extent in extents:
            ranges = []
            for n, side, c, e in zip(array["shape"][1:], array["chunks"][1:], center, extent, strict=True):
                first, last = max(0, int(c - e / 2)), min(n - 1, int(c + e / 2))
                ranges.append(range(first // side, last // side + 1))
            found |= set(itertools.product(*ranges))
        return [f"{level}/0/{z}/{y}/{x}" for z, y, x in sorted(found)]

    def seconds(self, keys: list[str]) -> float:
        """How long blocks take, asked for side by side."""
        start = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self.get, keys))
        return time.perf_counter() - start

    def first_blocks(self) -> list[str]:
        """Keys of what the panels show at first."""
        scale, places = self.state["crossSectionScale"], self.state["position"][2::-1]
        sizes = [level["coordinateTransformations"][0]["scale"][1:] for level in self.levels]
        number = max([0, *(i for i, size in enumerate(sizes) if size[-1] <= scale)])
        side = [PANEL * scale / s for s in sizes[number]]
        center = [p / s for p, s in zip(places, sizes[number], strict=True)]
        panels = [[1 if axis == flat else n for axis, n in enumerate(side)] for flat in range(3)]
        return self.blocks(number, center, *panels)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="four small tiles, once")
    toy = parser.parse_args().toy
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as name:
        config = make_tiles(Path(name), *((2, (16, 256, 256)) if toy else (15, (106, 2048, 2048))))
        rounds: list[tuple[float, ...]] = []
        frames: list[tuple[float, float]] = []
        for _ in range(1 if toy else 6):
            start = time.perf_counter()
            command = [sys.executable, "-m", "fusestack", "view", str(config), "--quiet"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
                assert process.stdout is not None
                page, server = Page(process.stdout.readline().strip()), psutil.Process(process.pid)
                there = time.perf_counter() - start
                picture = there + page.seconds(page.first_blocks())
                rounds.append((there, picture, busy(server)))
                for number in range(1 if toy else 5):
                    before, center = busy(server), (8, 100, 100) if toy else (53, 2000, 5000 + FRAME * number)
                    seconds = page.seconds(page.blocks(0, center, (1, FRAME, FRAME)))
                    frames.append((seconds, busy(server) - before))
                process.terminate()
        medians = [statistics.median(column) for column in zip(*rounds[0 if toy else 1 :], strict=True)]
        print("page {:.2f} s, first picture {:.2f} s (at most 3), of the processor {:.2f} s".format(*medians))
        medians = [statistics.median(column) for column in zip(*frames, strict=True)]
        print(f"frame of {FRAME} x {FRAME}", "{:.2f} s (at most 0.3), of the processor {:.2f} s".format(*medians))


def busy(server: psutil.Process) -> float:
    """Seconds of the processor."""
    times = server.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
