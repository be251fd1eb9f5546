"""Planning of 20,000 tiles and a million blocks: seconds and peak memory of `fusestack plan` as a process.

The tiles are real setups of a BDV-HDF5 project, without pixels: planning must not read any.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

TILE = (600, 512, 512)


def make_project(folder: Path, count: int) -> None:
    """Write a project of a square of overlapping tiles."""
    across = int(np.ceil(count**0.5))
    setups, registrations = [], []
    with h5py.File(folder / "dataset.h5", "w", libver="latest") as file:
        for number in range(count):
            group = file.create_group(f"s{number:02d}")
            group["resolutions"] = np.ones((1, 3))
            group["subdivisions"] = np.full((1, 3), 64, dtype=np.int32)
            file.create_dataset(f"t00000/s{number:02d}/0/cells", shape=TILE, dtype="<i2", chunks=(64, 64, 64))
            y, x = divmod(number, across)
            setups.append(
                f"<ViewSetup><id>{number}</id><size>{TILE[2]} {TILE[1]} {TILE[0]}</size><attributes>"
                f"<channel>0</channel><tile>{number}</tile><angle>0</angle><illumination>0</illumination>"
                "</attributes></ViewSetup>"
            )
            registrations.append(
                f'<ViewRegistration timepoint="0" setup="{number}"><ViewTransform type="affine">'
                f"<affine>1 0.001 0 {x * 460.3} 0 1 0 {y * 460.7} 0 0 1 {number % 7}</affine>"
                "</ViewTransform></ViewRegistration>"
            )
    (folder / "dataset.xml").write_text(
        '<SpimData version="0.2"><BasePath type="relative">.</BasePath><SequenceDescription>'
        '<ImageLoader format="bdv.hdf5"><hdf5 type="relative">dataset.h5</hdf5></ImageLoader>'
        f"<ViewSetups>{''.join(setups)}</ViewSetups>"
        '<Timepoints type="pattern"><integerpattern>0</integerpattern></Timepoints></SequenceDescription>'
        f"<ViewRegistrations>{''.join(registrations)}</ViewRegistrations></SpimData>"
    )
    (folder / "fuse.yaml").write_text(
        "version: 1\ninput: {project: dataset.xml}\n"
        "output: {path: fused.ome.zarr, chunks: 64, shards: {x: 128, y: 128, z: 192}, pyramid: none}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="a hundred tiles, once")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, 100 if arguments.toy else 20_000)
        seconds, graphs = [], []
        for _ in range(1 if arguments.toy else 3):
            start = time.perf_counter()
            command = [
                sys.executable,
                "-m",
                "fusestack",
                "plan",
                str(folder / "fuse.yaml"),
                "--json",
                "--quiet",
                "--no-probe",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            script = "import sys, fusestack, pickle; print(len(pickle.dumps(fusestack.graph(sys.argv[1]).dask)))"
            command = [sys.executable, "-c", script, str(folder / "fuse.yaml")]
            size = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            graphs.append(time.perf_counter() - start)
        facts = json.loads(done.stdout.splitlines()[-1])
        (image,) = facts["images"]
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"views                  {facts['views']:>12,}")
        print(f"blocks                 {image['blocks']:>12,}")
        print(f"seconds (median)       {np.median(seconds):>12.1f}   at most 20")
        print(f"graph, seconds         {np.median(graphs):>12.1f}   at most 20; pickled {size / 2**20:.1f} MiB")
        print(f"peak memory, MiB       {peak:>12.0f}   at most 477 (500 MB)")


if __name__ == "__main__":
    main()
