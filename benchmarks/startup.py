"""Start of the commands that compute nothing: medians of whole processes, at most 0.5 s."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fusestack.simulate import simulate_acquisition


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="once each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate_acquisition(folder, tile_shape=(16, 24, 24))
        (folder / "fuse.yaml").write_text("version: 1\ninput: {project: dataset.xml}\noutput: {path: fused.ome.zarr}\n")
        for words in (["--help"], ["validate", "fuse.yaml"], ["plan", "fuse.yaml"]):
            seconds = []
            for _ in range(1 if arguments.toy else 11):
                start = time.perf_counter()
                command = [sys.executable, "-m", "fusestack", *words]
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
                seconds.append(time.perf_counter() - start)
            print(f"fusestack {' '.join(words):20} {np.median(seconds):6.2f} s")


if __name__ == "__main__":
    main()
