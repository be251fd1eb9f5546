"""Focus stacking of seven photographs beside enfuse, whole processes, in one run.

The photographs (``pcb_001.jpg`` and so on) are laid over one another, cut to what all of them show, brought to a size
(2000 x 1500 pixels) and stored as uncompressed 8-bit RGB TIFF, or as JPEG. That is not timed, and needs scikit-image.
More slices than there are photographs go through them forth and back. Where OpenCV is not installed, they are only
shifted, not scaled; where enfuse is not, our own figures are printed alone.

After a run of each that is not counted, rounds alternate; every run of ours starts in an empty folder, so that nothing
is taken from an earlier one. Medians and ratios are printed, nothing is asserted. Memory is the sum over the processes
of a run, looked at every 20 ms.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import tifffile
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PHOTOGRAPHS = Path(__file__).parents[2] / "shared" / "data" / "pcb"
SIZE = "2000x1500"
ENFUSE = ["enfuse", "--contrast-weight=1", "--exposure-weight=0", "--saturation-weight=0", "--hard-mask"]
OPTIONS = {
    "set 1": "--fft --darkness=w10 --maskfft --cutwave --cutbg --cutalpha=p-25,P150",
    "set 2": "--blur=s0.3,S0.6 --blur=s1,S2 --blur=s2,S3 --saturation=w25,level --maskwave=p5 --maskstat=r6,Mean "
    "--masklevel=t5 --cutless=p20 --cutwave=p75 --cutmorph=r3,R1,Erode",
    "default": None,
}


@dataclass(frozen=True)
class Measured:
    """One run of a program: wall time, largest memory of its process tree, largest loss of free disk space."""

    seconds: float
    memory: int
    disk: int


def measured(command: list[str], folder: Path, interval: float = 0.02) -> Measured:
    """Run a command in a folder, and watch the memory of all its processes and the free space of the disk."""
    stop = threading.Event()
    memory, free = [0], [shutil.disk_usage(folder).free]

    def watch(process: psutil.Process) -> None:
        while not stop.wait(interval):
            total = 0
            try:
                for one in [process, *process.children(recursive=True)]:
                    total += one.memory_info().rss
            except psutil.Error:
                continue  # one has ended meanwhile: look again
            memory.append(total)
            free.append(shutil.disk_usage(folder).free)

    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        watcher = threading.Thread(target=watch, args=(psutil.Process(child.pid),))
        watcher.start()
        try:
            text, _ = child.communicate()
        finally:
            seconds = time.perf_counter() - start
            stop.set()
            watcher.join()
    if child.returncode:
        sys.exit(f"{' '.join(command)}\nended with {child.returncode}:\n{text[-4000:]}")
    return Measured(seconds, max(memory), free[0] - min(free))


def shift_between(reference: NDArray[np.float32], image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Phase correlation to whole pixels; the affine, x before y, from the reference to the image."""
    from skimage.registration import phase_cross_correlation

    window = np.outer(*(np.hanning(n) for n in reference.shape))
    (y, x), *_ = phase_cross_correlation(reference * window, image * window, normalization="phase")
    return np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]], dtype=np.float64)


def affine_between(reference: NDArray[np.float32], image: NDArray[np.float32]) -> NDArray[np.float64]:
    """OpenCV's enhanced correlation coefficient, begun at the shift; falls back to the shift without OpenCV."""
    start = shift_between(reference, image)
    try:
        import cv2
    except ImportError:
        return start
    enough = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-6)
    begin = start[:2].astype(np.float32)
    _, found = cv2.findTransformECC(reference, image, begin, cv2.MOTION_AFFINE, enough, None, 5)
    return np.vstack([found, [0, 0, 1]]).astype(np.float64)


def placed(photographs: Sequence[Image.Image]) -> list[NDArray[np.float64]]:
    """Affines from the middle photograph to every one, neighbour by neighbour; a pixel's centre is at a half."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    grey = [np.asarray(p.convert("L").reduce(2), dtype=np.float32) / 255 for p in photographs]
    double = np.diag([2.0, 2, 1])
    middle = len(grey) // 2
    affines = {middle: np.eye(3)}
    for step in (1, -1):
        for k in range(middle + step, len(grey) if step > 0 else -1, step):
            found = half @ affine_between(grey[k - step], grey[k]) @ np.linalg.inv(half)
            affines[k] = double @ found @ np.linalg.inv(double) @ affines[k - step]
    return [affines[k] for k in range(len(grey))]


def common_area(
    affines: Sequence[NDArray[np.float64]], size: tuple[int, int], wanted: tuple[int, int]
) -> tuple[float, float, float]:
    """Left, top and scale of the largest area of the wanted shape that all photographs show."""
    width, height = size
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]], dtype=np.float64)
    seen = np.array([(np.linalg.inv(affine) @ corners)[:2] for affine in affines])  # photograph, x y, corner
    left, right = seen[:, 0, ::2].max(), seen[:, 0, 1::2].min()
    top, bottom = seen[:, 1, :2].max(), seen[:, 1, 2:].min()
    scale = min((right - left) / wanted[0], (bottom - top) / wanted[1])
    return (left + right - scale * wanted[0]) / 2, (top + bottom - scale * wanted[1]) / 2, scale


def write_photographs(
    source: Path, folder: Path, size: tuple[int, int], count: int | None = None, *, jpeg: bool = False
) -> None:
    """Store the photographs, aligned and cut, as TIFF or JPEG; forth and back until there are so many."""
    paths = sorted(source.glob("pcb_*.jpg"))
    if not paths:
        sys.exit(f"{source}: no photographs pcb_*.jpg here; name their folder, or try --toy, which makes some")
    photographs = [Image.open(path).convert("RGB") for path in paths]
    affines = placed(photographs)
    left, top, scale = common_area(affines, photographs[0].size, size)
    to_reference = np.array([[scale, 0, left], [0, scale, top], [0, 0, 1]])
    turns = itertools.cycle([*range(len(paths)), *range(len(paths) - 2, 0, -1)])
    for number, k in enumerate(itertools.islice(turns, count or len(paths))):
        numbers = tuple((affines[k] @ to_reference)[:2].ravel())
        aligned = photographs[k].transform(size, Image.Transform.AFFINE, numbers, Image.Resampling.BICUBIC)
        if jpeg:
            aligned.save(folder / f"slice_{number:04}.jpg", quality=92)
        else:
            tifffile.imwrite(folder / f"slice_{number:04}.tif", np.asarray(aligned), photometric="rgb")
    away = max(np.abs((a - np.eye(3)) @ [*photographs[0].size, 1]).max() for a in affines)
    if not importlib.util.find_spec("cv2"):
        print("OpenCV is not installed: the photographs are shifted over one another, but not scaled")
    print(f"aligned {len(paths)} photographs: moved by up to {away:.1f} pixels, {1 / scale:.3f} x their size")


def write_toy(folder: Path) -> None:
    """Three small colour slices: each is sharp in a third of its width."""
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    for number in range(3):
        pixels = np.stack([sharp.resize((160, 120)) if k == number else _soft(sharp) for k in range(3)])
        third = np.minimum(np.arange(160) * 3 // 160, 2)
        picked = pixels[third, :, np.arange(160)].swapaxes(0, 1)
        tifffile.imwrite(folder / f"slice_{number}.tif", np.ascontiguousarray(picked), photometric="rgb")


def _soft(image: Image.Image) -> Image.Image:
    return image.reduce(4).resize(image.size, Image.Resampling.BICUBIC)


def our_command(folder: Path, images: Path, options: str | None) -> list[str]:
    """Write a configuration into a folder; the command that runs it."""
    focus = {"output": {"path": "out.tif", "depth": "depth.tif"}} | ({"options": options} if options else {})
    config = {
        "version": 1,
        "input": {"images": str(images / "slice_*")},
        "focus": focus,
        "execution": {"workers": 2},
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    return [sys.executable, "-m", "fusestack", "run", "config.yaml", "--quiet"]


def one_run(name: str, images: Path) -> Measured:
    """Run a program in a folder of its own, which is deleted."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if name == "enfuse":
            return measured([*ENFUSE, "-o", "e.tif", *map(str, sorted(images.glob("slice_*")))], folder)
        return measured(our_command(folder, images, OPTIONS[name]), folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="?", type=Path, default=PHOTOGRAPHS, help="folder of pcb_*.jpg")
    parser.add_argument("--toy", action="store_true", help="three small synthetic slices, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default=SIZE, help="columns x rows of the slices")
    parser.add_argument("--slices", type=int, help="as many as there are photographs, by default")
    parser.add_argument("--jpeg", action="store_true", help="slices are JPEG; decoding them is timed, too")
    parser.add_argument("--only", nargs="+", choices=["enfuse", *OPTIONS], default=["enfuse", *OPTIONS])
    arguments = parser.parse_args()
    names = list(arguments.only)
    if "enfuse" in names and not shutil.which("enfuse"):
        print("enfuse is not installed and was not measured (Debian package enfuse)")
        names.remove("enfuse")
    rounds = 1 if arguments.toy else arguments.rounds
    with tempfile.TemporaryDirectory() as text:
        images = Path(text)
        if arguments.toy:
            write_toy(images)
        else:
            columns, rows = map(int, arguments.size.split("x"))
            write_photographs(arguments.photographs, images, (columns, rows), arguments.slices, jpeg=arguments.jpeg)
        paths = sorted(images.glob("slice_*"))
        start = time.perf_counter()
        sizes = [np.asarray(Image.open(path)).shape[:2] for path in paths]
        decoding = (time.perf_counter() - start) / len(paths)
        runs: dict[str, list[Measured]] = {name: [] for name in names}
        for number in range(rounds if arguments.toy else 1 + rounds):
            for name in names:
                run = one_run(name, images)
                if number or arguments.toy:  # the first round compiles
                    runs[name].append(run)
    height, width = sizes[0]
    print(f"one slice is decoded in {decoding:.3f} s")
    print(f"{len(sizes)} slices of {width} x {height} RGB, medians of {rounds} whole processes")
    medians = {name: float(np.median([run.seconds for run in found])) for name, found in runs.items()}
    for name, seconds in medians.items():
        peak = np.median([run.memory for run in runs[name]]) / 2**20
        beside = f"  {seconds / medians['enfuse']:6.2f} x enfuse" if "enfuse" in medians else ""
        print(f"  {name:8} {seconds:7.2f} s  {peak:7.0f} MiB  {seconds / len(sizes):7.3f} s a slice{beside}")


if __name__ == "__main__":
    main()
