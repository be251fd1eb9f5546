"""How close focus stacking comes to the truth, beside enfuse and beside the best slice at each pixel.

Scenes are simulated (``fusestack.simulate.SCENES``: slopes, hairs, bristles, highlights, steps, weak texture, flicker,
a black slice), with as many seeds as wanted, or read from folders that hold ``s*.tif``, ``truth.tif`` and
``depth.tif``. A row a scene: peak signal-to-noise ratio in decibel and structural similarity of each program, then how
far depths are off in slices (mean, without what is said to be unknown). Nothing is asserted. Where enfuse is not
installed, our own figures are printed alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from skimage.metrics import structural_similarity

import fusestack
from fusestack.simulate import SCENES, MacroStack, best_choice, decibels_of_picture, simulate_macro

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

ENFUSE = ["enfuse", "--contrast-weight=1", "--exposure-weight=0", "--saturation-weight=0", "--hard-mask"]
BORDER = 12


def of_enfuse(stack: MacroStack) -> NDArray[np.float32]:
    """Picture of enfuse, 0..1."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for k, one in enumerate(stack.slices):
            tifffile.imwrite(folder / f"s{k:03d}.tif", np.rint(one * 65535).astype(np.uint16), photometric="rgb")
        names = sorted(map(str, folder.glob("s*.tif")))
        subprocess.run([*ENFUSE, "-o", str(folder / "e.tif"), *names], check=True, capture_output=True)
        return tifffile.imread(folder / "e.tif")[..., :3] / np.float32(65535)


def likeness(picture: NDArray[np.float32], truth: NDArray[np.float32]) -> tuple[float, float]:
    """Decibel and structural similarity, without a border."""
    inner = (slice(BORDER, -BORDER),) * 2
    alike = structural_similarity(picture[inner], truth[inner], channel_axis=-1, data_range=1)
    return decibels_of_picture(picture, truth, BORDER), float(alike)


def read_scene(folder: Path) -> MacroStack:
    """A scene that is stored."""
    pixels = np.stack([tifffile.imread(path) for path in sorted(folder.glob("s[0-9]*.tif"))])
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    truth, depth = (tifffile.imread(folder / f"{name}.tif").astype(np.float32) for name in ("truth", "depth"))
    return MacroStack((pixels / scale).astype(np.float32), truth, depth)


def scenes(folders: Sequence[Path], seeds: int, size: int) -> Iterator[tuple[str, MacroStack]]:
    """Names and scenes."""
    for folder in folders:
        yield folder.name, read_scene(folder)
    for seed in range(0 if folders else seeds):
        for name in SCENES:
            yield f"{name} {seed}", simulate_macro(name, size=size, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="scenes that are stored, instead of simulated ones")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--toy", action="store_true", help="one seed of small scenes")
    arguments = parser.parse_args()
    seeds, size = (1, 96) if arguments.toy else (arguments.seeds, arguments.size)
    has_enfuse = bool(shutil.which("enfuse"))
    if not has_enfuse:
        print("enfuse is not installed and was not measured (Debian package enfuse)")
    behind: list[str] = []
    print(f"{'':14s}{'multiscale':>16s}{'masks':>16s}{'enfuse':>16s}{'best slice':>16s}   depth: multiscale, masks")
    for name, stack in scenes(arguments.folders, seeds, size):
        pixels = np.rint(stack.slices * 65535).astype(np.uint16)
        made = {method: fusestack.focus_stack(pixels, method=method) for method in ("multiscale", "masks")}
        found = {method: likeness(one.image.values / np.float32(65535), stack.truth) for method, one in made.items()}
        if has_enfuse:
            found["enfuse"] = likeness(of_enfuse(stack), stack.truth)
            if any(ours < theirs for ours, theirs in zip(found["multiscale"], found["enfuse"], strict=True)):
                behind.append(name)
        found["best"] = likeness(best_choice(stack), stack.truth)
        inner = (slice(BORDER, -BORDER),) * 2
        off = [float(np.nanmean(np.abs(one.depth.values - stack.depth)[inner])) for one in made.values()]
        cells = [found.get(key) for key in ("multiscale", "masks", "enfuse", "best")]
        text = "".join("               -" if one is None else f"{one[0]:9.2f} {one[1]:.4f}" for one in cells)
        print(f"{name:14s}{text}   {off[0]:.3f}, {off[1]:.3f}", flush=True)
    if has_enfuse:
        print(f"behind enfuse in decibel or likeness: {', '.join(behind) or 'nowhere'}")


if __name__ == "__main__":
    main()
