"""How well slices that moved are aligned, and how quickly, beside ``align_image_stack`` of Hugin.

First, simulated scenes (``fusestack.simulate.SCENES``) whose slices moved by up to 20 pixels, 2 degrees and 5 %: by how
many pixels the worst corner of each slice is off (median and worst slice), and how far the focus-stacked picture is
from the truth in decibel, beside the picture of slices that are put back by the true motions, and of slices that did
not move. Then, for a folder of photographs (or a simulated stack of 2,048 x 1,536 x 7), the time in which each program
writes aligned slices: whole processes, in turn. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

import fusestack
from fusestack.focus.aligning.alignment import Alignment, SliceMotion, alignments_file, alignments_of
from fusestack.simulate import SCENES, decibels_of_picture, simulate_macro
from fusestack.simulate.shaken import as_shaken, corners_off, shaken_motions

if TYPE_CHECKING:
    from numpy.typing import NDArray

BORDER = 12


def stacked(slices: NDArray[np.float32], align: object) -> tuple[NDArray[np.float64], Alignment | None]:
    """Picture 0..1 and the alignment."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for k, one in enumerate(slices):
            pixels = np.rint(one * 65535).astype(np.uint16)
            tifffile.imwrite(folder / f"s{k:03d}.tif", pixels, photometric="rgb")
        config = {
            "version": 1,
            "input": {"images": str(folder / "s*.tif")},
            "focus": {"align": align, "output": {"path": str(folder / "out.tif")}},
        }
        fusestack.run(config, progress=False)
        kept = list(folder.glob("cache.fusestack/align-*/transforms.json"))
        found = alignments_of(kept[0].read_bytes(), str(kept[0]))[0][0] if kept else None
        return tifffile.imread(folder / "out.tif")[..., :3] / 65535, found


def scene_row(name: str, seed: int, size: int) -> None:
    """Print how one scene comes out."""
    stack = simulate_macro(name, size=size, seed=seed)
    count = len(stack.slices)
    true = shaken_motions(count, (size, size), seed)
    moved = as_shaken(stack.slices, true)
    made, found = stacked(moved, True)
    assert found is not None
    off = corners_off([one.matrix for one in found.slices], true, found.reference, (size, size))
    back = np.linalg.inv(true[found.reference])
    slices = tuple(SliceMotion(str(k), back @ one, np.ones(3)) for k, one in enumerate(true))
    known = Alignment("true", found.reference, (size, size), slices)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_bytes(alignments_file([known], "simulated"))
        best, _ = stacked(moved, {"transforms": file.name})
    still, _ = stacked(stack.slices, False)
    decibels = []
    for picture, cut in ((made, found.covered()), (best, known.covered()), (still, found.covered())):
        top, bottom, left, right = cut
        place = true[found.reference] @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])

        def seen(image: NDArray[np.floating], place: NDArray[np.float64] = place, shape=(bottom - top, right - left)):
            return as_shaken(image[None], [place])[0][: shape[0], : shape[1]]

        own = seen(picture) if picture is still else picture
        decibels.append(decibels_of_picture(own, seen(stack.truth), BORDER))
    text = "".join(f"{one:10.2f}" for one in decibels)
    print(f"{name + ' ' + str(seed):14s}{np.median(off):10.2f}{off.max():10.2f}{text}", flush=True)


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds on the clock, and of processors."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def simulated_photographs(folder: Path, count: int, size: tuple[int, int]) -> None:
    """JPEG files of slices that moved."""
    from PIL import Image

    side = min(512, max(size))
    scene = simulate_macro("relief", size=side, seed=0).slices
    chosen = scene[np.linspace(0, len(scene) - 1, count).round().astype(int)]
    tiles = [-(-n // side) for n in (size[1], size[0])]
    slices = np.tile(chosen, (1, *tiles, 1))[:, : size[1], : size[0]]
    for k, one in enumerate(as_shaken(slices, shaken_motions(count, size))):
        Image.fromarray(np.rint(one * 255).astype(np.uint8)).save(folder / f"s{k:03d}.jpg", quality=95)


def speed(images: Path | None, repeats: int, *, toy: bool) -> None:
    """Print times of both programs."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if images is None:
            images = folder / "in"
            images.mkdir()
            simulated_photographs(images, 3 if toy else 7, (192, 144) if toy else (2048, 1536))
        files = sorted(
            str(path) for path in images.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".tif", ".png")
        )
        config = folder / "align.yaml"
        config.write_text(
            f"version: 1\ninput: {{images: {[*files]!r}}}\nfocus:\n  align: true\n  masks: []\n  background: [max]\n"
            "  output: {path: out.tif, slices: aligned}\n"
        )
        programs = {"fusestack": [str(Path(sys.executable).with_name("fusestack")), "--quiet", "run", str(config)]}
        if shutil.which("align_image_stack"):
            programs["align_image_stack"] = ["align_image_stack", "-m", "-a", "aligned_", *files]
        else:
            print("align_image_stack is not installed and was not measured (Debian package hugin-tools)")
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for number in range(repeats):
            for name, command in programs.items():
                own = folder / f"{name}{number}"
                own.mkdir()
                if name == "fusestack":
                    shutil.copy(config, own)
                    command = [*command[:-1], str(own / config.name)]
                times[name].append(timed(command, own))
        for name, found in times.items():
            wall, cpu = (statistics.median(one[i] for one in found) for i in (0, 1))
            print(f"{name:18s}{wall:8.1f} s, {cpu:8.1f} s of processors ({len(files)} slices, median of {repeats})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="?", type=Path, help="folder of photographs, for the times")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--toy", action="store_true", help="one small scene, small photographs, once")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    scenes = ["relief"] if arguments.toy else list(SCENES)
    print(f"{'':14s}{'corners':>10s}{'worst':>10s}{'aligned':>10s}{'true':>10s}{'unmoved':>10s}   pixels, decibel")
    for seed in range(1 if arguments.toy else arguments.seeds):
        for name in scenes:
            scene_row(name, seed, 128 if arguments.toy else arguments.size)
    speed(arguments.images, 1 if arguments.toy else arguments.repeats, toy=arguments.toy)


if __name__ == "__main__":
    main()
