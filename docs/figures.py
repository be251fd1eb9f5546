"""Pictures that are drawn from data; they are in git, and ``python docs/figures.py`` makes them anew."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import fusestack
from fusestack.simulate import simulate_acquisition, simulate_macro
from gallery import DATA, in_colours, save

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[Any]

HERE = Path(__file__).parent


def difference() -> dict[str, Pixels]:
    """Draw one fusion in both `numerics`, and by how much they differ; pixels by name of the picture."""
    with tempfile.TemporaryDirectory() as work:
        simulate_acquisition(work, tile_shape=(16, 96, 96), channels=1)
        box = {"min": {"x": -10, "y": -10, "z": 0}, "max": {"x": 185, "y": 120, "z": 45}}
        found = [
            fusestack.fuse(f"{work}/dataset.xml", numerics=numerics, dtype="float32", bounding_box=box)
            .isel(t=0, c=0, z=20)
            .values
            for numerics in ("exact", "bigstitcher")
        ]
    low, high = np.percentile(found[0], (1, 99.8))
    grey = [np.clip((one - low) / (high - low), 0, 1) for one in found]
    off = np.clip(abs(found[0] - found[1]) / 20, 0, 1)  # white: 20 grey values
    names = ("exact", "bigstitcher", "difference")
    return {
        name: np.asarray(one * 255, np.uint8).repeat(3, 0).repeat(3, 1)
        for name, one in zip(names, (*grey, off), strict=True)
    }


def _beside(*pictures: Pixels, gap: int = 8) -> Pixels:
    """Pictures uint8[y, x, 3] in a row, on white."""
    height = max(len(one) for one in pictures)
    white = np.full((height, gap, 3), 255, np.uint8)
    row: list[Pixels] = []
    for one in pictures:
        padded = np.full((height, one.shape[1], 3), 255, np.uint8)
        padded[: len(one)] = one
        row += [padded, white]
    return np.concatenate(row[:-1], axis=1)


def _colour(pixels: Pixels) -> Pixels:
    return np.repeat(pixels[..., None], 3, axis=2)


def mosaic() -> Pixels:
    """Two tiles as they were recorded, and fused."""
    import tifffile

    tiles = [np.squeeze(tifffile.imread(DATA / "mosaic" / f"tile{n}.tif"))[None] for n in (0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fusestack.FusestackWarning)
        places = [(0.0, 0.0, 0.0), (0.0, 0.0, 832.0)]
        fused = fusestack.fuse(tiles, positions=places, voxel_size=1).values.squeeze()
    low, high = np.percentile(fused, (1, 99.7))

    def grey(pixels: Pixels, width: int) -> Pixels:
        shown = np.asarray(np.clip((pixels - low) / (high - low), 0, 1) * 255, np.uint8)
        size = (width, round(width * shown.shape[0] / shown.shape[1]))
        return _colour(np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.LANCZOS)))

    scale = 0.33
    return _beside(
        *(grey(np.squeeze(tile), round(tile.shape[2] * scale)) for tile in tiles),
        grey(fused, round(fused.shape[1] * scale)),
    )


def focus() -> Pixels:
    """Three slices, the sharp picture, and its depth."""
    stack = simulate_macro("hairs", size=300, seed=1)
    slices = np.asarray(stack.slices * 255 + 0.5, np.uint8)
    found = fusestack.focus_stack(slices)
    depth = in_colours(found.depth.values, len(slices))
    part = np.s_[40:260, 40:260]
    return _beside(slices[1][part], slices[7][part], found.image.values[part], depth[part])


if __name__ == "__main__":
    for name, pixels in (("mosaic", mosaic()), ("focus", focus())):
        save(pixels, HERE / "images" / f"{name}.jpg", quality=85)
        print(HERE / "images" / f"{name}.jpg", (HERE / "images" / f"{name}.jpg").stat().st_size)
    for name, pixels in difference().items():
        Image.fromarray(pixels).save(HERE / "images" / f"{name}.png")
