"""Whole processes that compute little or nothing: medians, and ratios to a Python that only imports NumPy.

Kernels are compiled before, and Python may keep its bytecode, as it does for users.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from fusestack.simulate import simulate_acquisition

SHAPE = (20, 64, 64)
ROUNDS = 11


def timed(command: list[str], folder: Path) -> float:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="once each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate_acquisition(folder, tile_shape=(16, 24, 24))
        tifffile.imwrite(folder / "tile.tif", np.random.default_rng(0).integers(1, 2000, SHAPE).astype(np.uint16))
        for stem, source in (("project", "project: dataset.xml"), ("tile", "views: [{path: tile.tif}]")):
            text = f"version: 1\ninput: {{{source}}}\noutput: {{path: {stem}.ome.zarr}}\n"
            (folder / f"{stem}.yaml").write_text(text)
        for number in range(7):
            photograph = np.random.default_rng(number).integers(0, 255, (150, 200, 3), np.uint8)
            tifffile.imwrite(folder / f"slice_{number}.tif", photograph, photometric="rgb")
        text = "version: 1\ninput: {images: slice_*.tif}\nfocus: {output: {path: sharp.tif, depth: depth.tif}}\n"
        (folder / "photographs.yaml").write_text(text)
        program = [sys.executable, "-m", "fusestack"]
        commands = {
            "import numpy": [sys.executable, "-c", "import numpy"],
            "dask's threaded scheduler": [sys.executable, "-c", "import numpy, dask.threaded, dask.highlevelgraph"],
            "--help": [*program, "--help"],
            "validate": [*program, "validate", "project.yaml"],
            "plan": [*program, "plan", "project.yaml"],
            "run 20 x 64 x 64 (0.7 s)": [*program, "run", "tile.yaml", "--quiet", "--force"],
            "run 7 photographs": [*program, "run", "photographs.yaml", "--quiet", "--force"],
            "run, nothing to do (0.4 s)": [*program, "run", "tile.yaml", "--quiet"],
        }
        for command in () if arguments.toy else commands.values():
            timed(command, folder)  # compiles kernels and bytecode
        seconds: dict[str, list[float]] = {key: [] for key in commands}
        for _ in range(1 if arguments.toy else ROUNDS):
            for key, command in commands.items():
                seconds[key].append(timed(command, folder))
    unit = np.median(seconds["import numpy"])
    print(f"medians of {len(seconds['plan'])} whole processes, and beside 'import numpy'")
    for key, values in seconds.items():
        print(f"  {key:28} {np.median(values):6.2f} s {np.median(values) / unit:6.1f}")


if __name__ == "__main__":
    main()
