"""Speed of the kernels: Mvoxel/s of output, median of several runs, source boxes copied each time.

Run ``python benchmarks/kernels.py [--toy]``; nothing is asserted about time.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels import downsample, fuse, views

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

THREADS = 2
RANGE = 40.0


def mosaic(tile: tuple[int, int, int], linear: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel-to-world affines of 2x2 tiles that overlap by a tenth, at subpixel places; ends of the world."""
    affines = []
    for y, x in itertools.product((0, 1), (0, 1)):
        place = (0.3 * x, y * 0.9 * tile[1] + 0.37 * x, x * 0.9 * tile[2] + 0.61 * y)
        affines.append(np.column_stack([linear, place]))
    corners = np.array(list(itertools.product(*((0, n - 1) for n in tile))))
    world = np.concatenate([corners @ a[:, :3].T + a[:, 3] for a in affines])
    return np.array(affines), np.array([np.ceil(world.min(axis=0)), np.floor(world.max(axis=0))])


def invert(affines: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.linalg.inv(affines[:, :, :3])
    return np.concatenate([linear, -linear @ affines[:, :, 3:]], axis=2)


def turned() -> NDArray[np.float64]:
    """1.5 degrees about z, y and x, and some shear."""
    linear = np.eye(3)
    for axis in range(3):
        i, j = (n for n in range(3) if n != axis)
        turn = np.eye(3)
        cosine, sine = np.cos(np.radians(1.5)), np.sin(np.radians(1.5))
        turn[i, i] = turn[j, j] = cosine
        turn[i, j], turn[j, i] = -sine, sine
        linear = linear @ turn
    return linear + np.array([[0, 0, 0], [0, 0, 0.01], [0.005, 0.01, 0]])


def fuse_all(
    tiles: list[NDArray[Any]],
    affines: NDArray[np.float64],
    world: NDArray[np.float64],
    block: tuple[int, int, int],
    dtype: str,
    pool: ThreadPoolExecutor,
    method: fuse.Method = "average",
    *,
    weights: bool = False,
) -> float:
    """Fuse the whole mosaic, with content-based weights on nodes four pixels apart or without; Mvoxel/s."""
    shape = (world[1] - world[0] + 1).astype(int)
    output_to_level = invert(affines)
    output_to_level[:, :, 3] += output_to_level[:, :, :3] @ world[0]
    table = views.pack_views(output_to_level, [t.shape for t in tiles], RANGE)
    nodes = views.pack_views(output_to_level / 4, [[-(-n // 4) + 1 for n in t.shape] for t in tiles], borders=-1.0)

    def one(origin: tuple[int, ...]) -> None:
        out = np.empty([min(b, n - o) for o, b, n in zip(origin, block, shape, strict=True)], tiles[0].dtype)
        boxes = views.source_boxes(table, origin, out.shape)
        placed, length = views.place_views(table, boxes)
        touching = np.flatnonzero((boxes[:, 1] > boxes[:, 0]).all(axis=1))
        pixels = np.empty(length, dtype)
        for view, i in zip(placed, touching, strict=True):
            (z0, y0, x0), (z1, y1, x1) = boxes[i]
            views.source_part(pixels, view)[...] = tiles[i][z0:z1, y0:y1, x0:x1]
        contrast = None
        if weights:
            near, count = views.place_views(nodes[touching], views.source_boxes(nodes[touching], origin, out.shape))
            contrast = np.ones(count, np.float32), near
        fuse.fuse_block(pixels, placed, origin, out, method=method, contrast=contrast)

    origins = list(itertools.product(*(range(0, n, b) for n, b in zip(shape, block, strict=True))))
    started = time.perf_counter()
    list(pool.map(one, origins))
    return float(shape.prod() / (time.perf_counter() - started) / 1e6)


def halve_all(tile: NDArray[Any], pool: ThreadPoolExecutor) -> float:
    """Halve an image along all axes; Mvoxel/s of input."""
    depth = 32
    parts = [tile[z : z + depth] for z in range(0, len(tile), depth)]
    started = time.perf_counter()
    list(pool.map(lambda p: downsample.block_mean(p, (2, 2, 2), tuple(-(-n // 2) for n in p.shape)), parts))
    return tile.size / (time.perf_counter() - started) / 1e6


def report(name: str, once: Callable[[], float], repeats: int) -> None:
    once()
    print(f"{name:<52}{statistics.median(once() for _ in range(repeats)):8.0f} Mvoxel/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="tiny images, one repeat")
    toy = parser.parse_args().toy
    tile, block, repeats = ((12, 40, 40), (8, 16, 16), 1) if toy else ((128, 512, 512), (128, 256, 256), 5)
    noise = np.random.default_rng(0)
    tiles = [noise.integers(0, 4000, tile, dtype=np.uint16) for _ in range(4)]
    with ThreadPoolExecutor(THREADS) as pool:
        for name, linear in (("translation", np.eye(3)), ("rotation and shear", turned())):
            affines, world = mosaic(tile, linear)
            for dtype in ("uint16", "float32"):
                fuse.warm_up(dtype, "uint16")
                report(
                    f"fuse, {name}, {dtype} buffer, {THREADS} threads",
                    lambda a=affines, w=world, d=dtype: fuse_all(tiles, a, w, block, d, pool),
                    repeats,
                )
            for method in ("average", "max", "lowest_view", "highest_view", "closest_pixel"):
                report(
                    f"{method}, {name}, uint16",
                    lambda a=affines, w=world, m=method: fuse_all(tiles, a, w, block, "uint16", pool, m),
                    repeats,
                )
            report(
                f"average with content-based weights, {name}, uint16",
                lambda a=affines, w=world: fuse_all(tiles, a, w, block, "uint16", pool, weights=True),
                repeats,
            )
        report(f"halve, uint16, {THREADS} threads (input voxels)", lambda: halve_all(tiles[0], pool), repeats)


if __name__ == "__main__":
    main()
