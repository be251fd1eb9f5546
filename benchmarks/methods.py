"""Every fusion type beside the plain one (average without weights), in one run.

Four overlapping tiles as in ``run_vs_copy.py`` are fused by ``fusestack run``, a whole process each, on two workers;
once from shifted and once from rotated tiles, and in the kernel alone. Rounds alternate; medians and ratios are
printed, nothing is asserted. ``--shape 560 560 560`` makes about 1000^3 voxels in z and a little more in the plane.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr

sys.path.insert(0, str(Path(__file__).parent))
from run_vs_copy import make_tiles, timed

METHODS = {
    "average": {"blending": False},
    "average, blending": {},
    "max": {"method": "max"},
    "lowest view": {"method": "lowest_view"},
    "highest view": {"method": "highest_view"},
    "closest pixel": {"method": "closest_pixel"},
    "mask": {"method": "mask"},
    "nearest": {"blending": False, "interpolation": "nearest"},
    "bigstitcher numerics": {"numerics": "bigstitcher"},
    "content": {"blending": False, "content_based": True},
    "content, blending": {"content_based": True},
    "content, bigstitcher numerics": {"content_based": True, "numerics": "bigstitcher"},
}


def turned(tiles: list[tuple[str, tuple[float, float, float]]], folder: Path) -> Path:
    """Configuration of the same tiles, rotated by a degree."""
    views = [
        {"path": path, "tile": n, "affine": [0.9998, -0.0175, 0, x, 0.0175, 0.9998, 0, y, 0, 0.002, 1, z]}
        for n, (path, (z, y, x)) in enumerate(tiles)
    ]
    config = {"version": 1, "input": {"views": views}, "output": {"path": str(folder / "turned.ome.zarr")}}
    (folder / "turned.yaml").write_text(json.dumps(config))
    return folder / "turned.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="tiny tiles, two methods, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 512, 512), metavar=("Z", "Y", "X"))
    parser.add_argument("--only", nargs="*", default=list(METHODS), help="names of methods")
    arguments = parser.parse_args()
    shape = (16, 40, 48) if arguments.toy else tuple(arguments.shape)
    wanted = ["average", "content, blending"] if arguments.toy else arguments.only
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configs = {"shifted": folder / "fuse.yaml"}
        tiles = make_tiles(folder, shape)
        if not arguments.toy:
            configs["turned"] = turned(tiles, folder)
        for placed, config in configs.items():
            common = ["--quiet", "--force", "--set", "execution.workers=2", "--set", "output.pyramid=none"]
            commands = {
                key: [
                    *(sys.executable, "-m", "fusestack", "run", str(config), *common),
                    *(text for k, v in METHODS[key].items() for text in ("--set", f"fusion.{k}={json.dumps(v)}")),
                ]
                for key in wanted
            }
            seconds: dict[str, list[float]] = {key: [] for key in commands}
            for number in range(1 if arguments.toy else 1 + arguments.rounds):
                for key, command in commands.items():
                    took = timed(command)
                    if number or arguments.toy:  # the first round compiles
                        seconds[key].append(took)
            output = folder / ("fused.ome.zarr" if placed == "shifted" else "turned.ome.zarr")
            voxels = zarr.open_array(output / "0", mode="r").size
            print(f"{placed} tiles, {voxels / 1e6:.0f} Mvoxel, medians of {arguments.rounds} whole processes")
            plain = np.median(seconds[wanted[0]])
            for key, values in seconds.items():
                took = np.median(values)
                print(f"  {key:30} {took:7.2f} s  {voxels / 1e6 / took:7.1f} Mvoxel/s  {took / plain:5.2f} x plain")


if __name__ == "__main__":
    main()
