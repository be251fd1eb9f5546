"""Whether the scores of fusestack tune know what is good: their rank correlation with SSIM, on scenes with known truth.

    python benchmarks/tune.py [--size 256] [--seeds 3]

Many sets of options are tried on every scene of `fusestack.simulate.macro`, as a user would, with the truth besides.
For each scene and seed, and for every score, the Spearman correlation of its order of the sets with that of SSIM (1:
the same order; scores of which less is better are turned round; nan: all sets have the same score). Then how much SSIM
one loses who takes the set that a score likes best, beside the best set there is, and beside a set by chance. And what
24 sets cost that share two generators, beside a run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from scipy.stats import spearmanr

import fusestack
from fusestack.simulate.macro import SCENES, simulate_macro

if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = [
    *(f"--multiscale=l{levels},n{noise}" for levels in (3, 5, 6) for noise in (0.5, 1.5, 5)),
    "--multiscale=s1",
    "--multiscale=s2",
    {"method": "masks"},
    *(f"--blur=s{s},S{2 * s} --maskwave=p{p} --bg=max" for s in (0.5, 1, 3) for p in (0, 30, 100)),
    "--blur=s1,S2 --maskblur=s8 --cutblur=s2 --bg=max",
    "--fft --darkness=w10 --maskfft --cutwave --bg=max",
    "--laplacian --bg=max",
    "--sobel --cutmorph=r3 --bg=max",
    "--statistic=r4 --cutless=p20 --bg=max",
    "--wavelet=p100 --cutwave=p100 --bg=max",
]
SIGN = {"sharpness": 1, "seams": -1, "halo": -1}


def stack_of(folder: Path, options: Sequence[Any], name: str, size: int, seed: int, times: int = 1) -> dict[str, Any]:
    """Write a scene (or some, side by side), and give the configuration that tries all sets on it."""
    scene = simulate_macro(name, size=size // times, seed=seed)
    folder.mkdir(parents=True)
    for k, plane in enumerate([*scene.slices, scene.truth]):
        path = folder / ("truth.tif" if k == len(scene.slices) else f"s{k}.tif")
        plane = np.tile(plane, (times, times, 1))
        tifffile.imwrite(path, (plane * 65535 + 0.5).astype(np.uint16), photometric="rgb")
    tune = {"options": options, "truth": str(folder / "truth.tif")}
    return {
        "version": 1,
        "input": {"images": str(folder / "s?.tif")},
        "focus": {"output": {"path": str(folder / "sharp.tif")}, "tune": tune},
    }


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; nan where all are the same."""
    return float(spearmanr(a, b).statistic) if np.ptp(a) > 0 else float("nan")


def correlations(scenes: Sequence[str], options: Sequence[Any], size: int, seeds: int) -> None:
    """Print a row for each scene and seed, and the means."""
    found: list[list[float]] = []
    print(f"{'scene':12s}  {'rank correlation with SSIM':36s}  SSIM lost by taking what is best by")
    print(f"{'':12s}  {'  '.join(f'{name:>10s}' for name in (*SIGN, *SIGN, 'chance'))}")
    for seed in range(seeds):
        for name in scenes:
            with tempfile.TemporaryDirectory() as folder:
                tuned = fusestack.tune(stack_of(Path(folder, "stack"), options, name, size, seed))
            scores = {key: np.array([one.scores[key] for one in tuned.sets]) for key in (*SIGN, "ssim")}
            ssim = scores["ssim"]
            row = [rank_correlation(sign * scores[key], ssim) for key, sign in SIGN.items()]
            row += [float(ssim.max() - ssim[np.argmax(sign * scores[key])]) for key, sign in SIGN.items()]
            row.append(float(ssim.max() - ssim.mean()))
            found.append(row)
            print(f"{name:10s} {seed}  {'  '.join(f'{value:10.3f}' for value in row)}", flush=True)
    columns = [[one for one in column if one == one] or [float("nan")] for column in zip(*found, strict=True)]
    means, leasts = [float(np.mean(column)) for column in columns], [min(column) for column in columns]
    print(f"{'mean':12s}  {'  '.join(f'{value:10.3f}' for value in means)}")
    print(f"{'least':12s}  {'  '.join(f'{value:10.3f}' for value in leasts[:3])}")


def costs(size: int) -> None:
    """Print what 24 sets cost that share two generators, beside runs of one set."""
    options = "--blur=s1,S2 --fft --maskwave=p50 --cutless=p10 --cutwave=p20 --bg=max"
    vary = {"maskwave.percent": [50, 100], "cutless.percent": [5, 10, 20, 30], "cutwave.percent": [20, 50, 75]}
    with tempfile.TemporaryDirectory() as folder:
        config = stack_of(Path(folder, "stack"), (), "hairs", size, 0, times=4)
        config["focus"] |= {"options": options}
        seconds = []
        for number in range(2):
            start = time.process_time()
            cache = {"path": str(Path(folder, f"cache{number}"))}
            output = {"path": str(Path(folder, f"sharp{number}.tif"))}
            fusestack.run({**config, "focus": {"options": options, "output": output}, "cache": cache})
            seconds.append(time.process_time() - start)
        start = time.process_time()
        fusestack.tune({**config, "focus": {**config["focus"], "tune": {"vary": vary}}})
        whole = time.process_time() - start
    run = min(seconds)
    print(
        f"24 sets that share two generators, {size} x {size} pixels: {whole:.1f} s of processor, {whole / run:.1f} runs"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore", fusestack.FusestackWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="rows and columns of the scenes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--toy", action="store_true", help="a few sets on two small scenes")
    given = parser.parse_args()
    if given.toy:
        correlations(list(SCENES)[:2], OPTIONS[::9], 64, 1)
        costs(256)
    else:
        correlations(list(SCENES), OPTIONS, given.size, given.seeds)
        costs(6 * given.size)
