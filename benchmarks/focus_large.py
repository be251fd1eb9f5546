"""Focus stacking of an OME-Zarr stack that does not fit into memory: peak memory, time, disk, error of the depth map.

The stack is made up block by block: a textured specimen on a smooth, known depth surface, blurred the more the further
a slice lies from it (periodic textures of 2048 pixels, each blurred once, mixed by distance). ``fusestack run`` then
makes the sharp image and the depth map. Memory is the sum over all processes of the run, looked at every 0.5 s.

20 slices of 20000 x 20000 pixels are 8 GB before compression; ``--folder`` says where, and keeps them for the next run.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import zarr

from fusestack.model.grid import Grid
from fusestack.model.image import Channel, Codec, ImageSpec, Level
from fusestack.writers.ome_zarr import OmeZarrWriter

sys.path.insert(0, str(Path(__file__).parent))
from focus import measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Box

PERIOD = 2048
SIGMAS = (0.0, 1.2, 2.4, 4.0, 6.0, 9.0)  # blur in pixels, 0, 1, 2 ... slices away from the specimen
CHUNK = 1024


@dataclass(frozen=True)
class Specimen:
    """A specimen of `size` x `size` pixels, seen in `slices` slices."""

    size: int
    slices: int
    textures: NDArray[np.uint8]

    def depth(self, box: Box) -> NDArray[np.float32]:
        """Slice, counted from 0, that the specimen lies in: y, x of a box t, c, z, y, x; two hills and two valleys."""
        y, x = (
            np.arange(a, b, dtype=np.float32) * (2 * math.pi / self.size)
            for a, b in zip(box.start[3:], box.stop[3:], strict=True)
        )
        wave = 0.5 + 0.45 * np.sin(y + 0.7)[:, None] * np.cos(x - 0.4)[None]
        return wave * (self.slices - 1)

    def pixels(self, box: Box) -> NDArray[np.uint8]:
        """Pixels of a box t, c, z, y, x, of one slice."""
        out = np.empty(box.shape, np.uint8)
        blend(self.textures, self.depth(box), box.start[2], box.start[3], box.start[4], out[0, 0, 0])
        return out


def make_textures(period: int) -> NDArray[np.uint8]:
    """Periodic texture, finer and coarser structures, blurred by each of `SIGMAS`: sigma, y, x."""
    frequency = np.hypot(np.fft.fftfreq(period)[:, None], np.fft.rfftfreq(period)[None]).astype(np.float32)
    noise = np.fft.rfft2(np.random.default_rng(0).standard_normal((period, period), dtype=np.float32))
    noise *= 1 / np.maximum(frequency, 1 / 64) ** 0.7
    noise[0, 0] = 0
    scale = 40 / np.fft.irfft2(noise).std()
    blurred = np.empty((len(SIGMAS), period, period), np.uint8)
    for number, sigma in enumerate(SIGMAS):
        soft = np.fft.irfft2(noise * np.exp(-2 * (math.pi * sigma * frequency) ** 2))
        blurred[number] = np.clip(128.5 + scale * soft, 0, 255)
    return blurred


@numba.njit(nogil=True)
def blend(
    textures: NDArray[np.uint8], depth: NDArray[np.float32], z: int, top: int, left: int, out: NDArray[np.uint8]
) -> None:
    """Mix the two textures whose blur is nearest to that of the distance between slice `z` and the specimen."""
    last, period = len(textures) - 1, textures.shape[1]
    for i in range(out.shape[0]):
        y = (top + i) % period
        for j in range(out.shape[1]):
            x = (left + j) % period
            away = min(abs(depth[i, j] - z), np.float32(last))
            one = min(int(away), last - 1)
            more = away - one
            out[i, j] = int((1 - more) * textures[one, y, x] + more * textures[one + 1, y, x] + 0.5)


def write_stack(specimen: Specimen, path: Path) -> None:
    """Store the stack as OME-Zarr, chunk by chunk, two at a time."""
    shape = (1, 1, specimen.slices, specimen.size, specimen.size)
    block = (1, 1, 1, min(CHUNK, specimen.size), min(CHUNK, specimen.size))
    level = Level((1, 1, 1), shape, block, None, block)
    place: dict[str, Any] = {"pixel_size": (2.0, 0.5, 0.5), "origin": (0.0, 0.0, 0.0), "unit": "micrometer"}
    image = ImageSpec(
        *(str(path), "stack", "uint8", (level,), Codec("zstd", 1)),
        **place,
        timepoints=(0,),
        channels=(Channel(0, "0"),),
    )
    writer = OmeZarrWriter(image, str(path.parent))
    writer.create()
    grid = Grid(shape, block)

    def write(number: int) -> None:
        box = grid.box(number)
        writer.write(0, box, specimen.pixels(box))

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(write, range(grid.count)):
            pass
    writer.finish({"benchmark": [specimen.size, specimen.slices]})


def made_before(specimen: Specimen, path: Path) -> bool:
    """Whether the same stack is there, finished."""
    if not path.exists():
        return False
    marks: Any = zarr.open_group(path, mode="r").attrs.get("fusestack", {})
    return marks == {"benchmark": [specimen.size, specimen.slices]}


def depth_error(specimen: Specimen, path: Path) -> tuple[float, float, float]:
    """Mean distance to the true depth in slices, share of pixels within one slice, share without a depth; by bands."""
    stored = zarr.open_array(path / "0", mode="r")
    grid = Grid((1, 1, 1, specimen.size, specimen.size), (1, 1, 1, 256, specimen.size))
    total, near, known = 0.0, 0, 0
    for number in range(grid.count):
        box = grid.box(number)
        found = stored[(0,) * (stored.ndim - 2) + box.slices[3:]]
        error = np.abs(found - specimen.depth(box))
        error = error[np.isfinite(error)]
        known += error.size
        near += int((error <= 1).sum())
        total += float(error.sum(dtype=np.float64))
    pixels = specimen.size**2
    return total / max(known, 1), near / pixels, 1 - known / pixels


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_config(folder: Path, arguments: argparse.Namespace) -> None:
    focus: dict[str, Any] = {"input": "stack.ome.zarr", "axis": "z"}
    focus["output"] = {"path": "result/sharp.ome.zarr", "depth": "result/depth.ome.zarr"}
    if arguments.options:
        focus["options"] = arguments.options
    execution = {"workers": arguments.workers, "scheduler": arguments.scheduler, "memory": arguments.memory}
    (folder / "config.yaml").write_text(json.dumps({"version": 1, "focus": focus, "execution": execution}))


def benchmark(folder: Path, arguments: argparse.Namespace) -> None:
    """Make the stack, run, measure and print."""
    size, slices = (600, 5) if arguments.toy else (arguments.size, arguments.slices)
    specimen = Specimen(size, slices, make_textures(256 if arguments.toy else PERIOD))
    megapixels = slices * size**2 / 1e6
    stack = folder / "stack.ome.zarr"
    print(f"{slices} slices of {size} x {size} uint8, {megapixels:,.1f} Mpixel")
    if made_before(specimen, stack):
        print(f"stack is there: {folder_bytes(stack) / 2**20:,.0f} MiB")
    else:
        shutil.rmtree(stack, ignore_errors=True)
        start = time.perf_counter()
        write_stack(specimen, stack)
        seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(f"stack made: {seconds:.1f} s, peak {peak:,.0f} MiB, on disk {folder_bytes(stack) / 2**20:,.0f} MiB")
    if arguments.only_stack:
        return
    result = folder / "result"
    shutil.rmtree(result, ignore_errors=True)
    result.mkdir()
    write_config(folder, arguments)
    run = measured([sys.executable, "-m", "fusestack", "run", "config.yaml", "--quiet"], folder, interval=0.5)
    print(f"run: {run.seconds:.1f} s, {megapixels / run.seconds:.2f} Mpixel/s of input")
    print(f"  peak memory of all processes {run.memory / 2**20:,.0f} MiB")
    print(f"  disk: result {folder_bytes(result) / 2**20:,.0f} MiB with its caches; ", end="")
    print(f"at most {run.disk / 2**20:,.0f} MiB less free space than before (other programs included)")
    mean, near, without = depth_error(specimen, result / "depth.ome.zarr")
    print(f"  depth: {mean:.3f} slices off on average, {near:.1%} within one slice, {without:.1%} without a depth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="600 pixels, 5 slices")
    parser.add_argument("--size", type=int, default=20_000, help="width and height in pixels")
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--options", help="imfuse's option string; without it the program's own choice")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", default="threads")
    parser.add_argument("--memory", default="auto", help="execution.memory, per worker")
    parser.add_argument("--folder", type=Path, help="work here and keep everything; a finished stack is used again")
    parser.add_argument("--only-stack", action="store_true", help="make the stack and end")
    arguments = parser.parse_args()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        benchmark(arguments.folder, arguments)
    else:
        with tempfile.TemporaryDirectory() as text:
            benchmark(Path(text), arguments)


if __name__ == "__main__":
    main()
