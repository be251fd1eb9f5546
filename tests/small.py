"""Small projects that tests fuse: sub-pixel, rotated, high dynamic range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

SHAPE = (24, 40, 50)
TURNED = [0.97, -0.2, 0.05, 3.3, 0.21, 0.98, 0.0, 20.7, -0.04, 0.02, 1.1, 2.4]
SHIFTED = [1, 0, 0, 30.4, 0, 1, 0, 0.3, 0, 0, 1, 0.6]


def tiles(folder: Path, dtype: str = "uint16", seed: int = 0) -> list[dict[str, Any]]:
    """Write three overlapping tiles and return them as ``input.views``."""
    folder.mkdir(exist_ok=True, parents=True)
    rng = np.random.default_rng(seed)
    views = []
    for number, affine in enumerate(([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], SHIFTED, TURNED)):
        pixels = rng.integers(1, 200, SHAPE).astype(dtype)
        pixels[:, 10:14] = 250 if dtype == "uint8" else 60000  # a bright stripe beside dark pixels
        if dtype == "float32":
            pixels += rng.random(SHAPE, dtype=np.float32)
            pixels[5:9, 20:25, 30:33] = np.nan
        tifffile.imwrite(folder / f"tile{number}.tif", pixels, photometric="minisblack")
        views.append({"path": str(folder / f"tile{number}.tif"), "affine": list(affine), "tile": number})
    return views


def config(folder: Path, dtype: str = "uint16", **output: Any) -> dict[str, Any]:
    """Configuration of a fused OME-Zarr of small blocks with two levels."""
    settings = {
        "path": str(folder / "fused.ome.zarr"),
        "chunks": {"x": 8, "y": 8, "z": 8},
        "shards": {"x": 16, "y": 16, "z": 8},
        "pyramid": [1, 2],
    }
    return {"version": 1, "input": {"views": tiles(folder, dtype)}, "output": settings | output}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
