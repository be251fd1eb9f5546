"""Small focus stacks: a textured surface whose depth is known, seen slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import fusestack
from fusestack.planning.plan import Plan
from fusestack.running.runner import RunReport

SET_1 = "--fft --darkness=w10 --maskfft --cutwave --cutbg --cutalpha=p-25,P150"
SET_2 = (
    "--blur=s0.3,S0.6 --blur=s1,S2 --blur=s2,S3 --saturation=w25,level --maskwave=p5 --maskstat=r6,Mean "
    "--masklevel=t5 --cutless=p20 --cutwave=p75 --cutmorph=r3,R1,Erode"
)


def section(chain: str) -> dict[str, Any]:
    """Keys of the section ``focus`` for an option string; ``masks``: method masks, with its preset."""
    if chain == "masks":
        return {"method": "masks"}
    return {"options": chain} if chain else {}


def scene(
    shape: tuple[int, int] = (90, 130), slices: int = 5, colours: int = 3, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Slices [k, y, x, colour] 0..1, the sharp image [y, x, colour], the depth in slices [y, x]."""
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.random((*shape, colours)), (0.7, 0.7, 0))
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    texture[:, shape[1] // 3 : shape[1] // 3 + 3] = 1  # a bright stripe: sums that slide would show beside it
    y, x = np.mgrid[: shape[0], : shape[1]]
    depth = (slices - 1) * (0.5 + 0.45 * np.sin(x / shape[1] * 4) * np.cos(y / shape[0] * 3))
    blurred = [gaussian_filter(texture, (sigma, sigma, 0)) for sigma in np.arange(0, slices + 0.5, 0.5)]
    stack = np.empty((slices, *shape, colours))
    for k in range(slices):
        place = np.abs(depth - k) / 0.5
        low = np.clip(place.astype(int), 0, len(blurred) - 2)
        f = (place - low)[..., None]
        lower, upper = (
            np.choose(low[..., None], [b[..., :] for b in blurred[i : len(blurred) - 1 + i]]) for i in (0, 1)
        )
        stack[k] = (1 - f) * lower + f * upper
    return np.clip(stack, 0, 1), texture, depth


def write(
    folder: Path, stack: NDArray[Any], dtype: str = "uint8", suffix: str = ".tif", *, raw: bool = False
) -> list[str]:
    """Store slices as pictures; compressed ones are decoded once, and stored, raw ones are not. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    full = 1.0 if dtype == "float32" else float(np.iinfo(dtype).max)
    paths = []
    for k, plane in enumerate(stack):
        path = folder / f"slice_{k + 1}{suffix}"
        pixels = plane.astype(np.float32) if dtype == "float32" else np.floor(plane * full + 0.5).astype(dtype)
        kind = "minisblack" if pixels.shape[-1] == 1 else "rgb"
        plain = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        tifffile.imwrite(path, plain, photometric=kind, compression=None if raw else "zlib", rowsperstrip=16)
        paths.append(str(path))
    return paths


def config(paths: list[str], folder: Path, **focus: Any) -> dict[str, Any]:
    """A configuration whose outputs lie in `folder`."""
    output = {"path": str(folder / "sharp.tif"), "depth": str(folder / "depth.tif"), "mask": str(folder / "mask.tif")}
    output |= focus.pop("output", {})
    return {"version": 1, "input": {"images": paths}, "focus": {**focus, "output": output}, "execution": {"workers": 2}}


def run(paths: list[str], folder: Path, **focus: Any) -> tuple[Plan, RunReport]:
    """Plan and run."""
    plan = fusestack.plan(config(paths, folder, **focus))
    return plan, fusestack.run(plan)


def computed(report: RunReport) -> list[str]:
    """Names of the stages that had something to do."""
    return [stage.stage for stage in report.stages if stage.computed]
