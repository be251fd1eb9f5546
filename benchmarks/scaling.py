"""The graph of one fusion with all levels on one and two threads, and on one and two worker processes; all warm.

Tiles as in ``run_vs_copy.py``. Rounds alternate; medians and ratios are printed, nothing is asserted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import fusestack
from fusestack.running.inspection import inspect
from fusestack.running.units import units_of
from fusestack.taskgraph.clusters import Threads, local_cluster
from fusestack.taskgraph.rounds import run_units

sys.path.insert(0, str(Path(__file__).parent))
from run_vs_copy import make_tiles

if TYPE_CHECKING:
    from fusestack.taskgraph.clusters import Backend


def seconds(config: Path, backend: Backend) -> float:
    """Run everything anew."""
    plan = fusestack.plan(config, [f"execution.workers={backend.workers}"])
    units = units_of(plan, inspect(plan, force=True), force=True)
    for unit in units:
        unit.begin(force=True)
    start = time.perf_counter()
    ended, _ = run_units(units, backend, memory=2**31, retries=0, listener=lambda event: None)
    if not all(one.complete for one in ended):
        raise RuntimeError("the graph is not complete")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="tiny tiles, threads only, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 512), metavar=("Z", "Y", "X"))
    arguments = parser.parse_args()
    shape = (16, 40, 48) if arguments.toy else tuple(arguments.shape)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tiles(folder, shape)
        backends: dict[str, Backend] = {"1 thread": Threads(1), "2 threads": Threads(2)}
        if not arguments.toy:
            backends |= {"1 process": local_cluster(1, 1, 2**32), "2 processes": local_cluster(2, 1, 2**32)}
        took: dict[str, list[float]] = {key: [] for key in backends}
        for number in range(2 if arguments.toy else 1 + arguments.rounds):
            for key, backend in backends.items():
                found = seconds(folder / "fuse.yaml", backend)
                if number:  # the first one warms
                    took[key].append(found)
        for backend in backends.values():
            backend.__exit__()
    medians = {key: float(np.median(values)) for key, values in took.items()}
    for key, value in medians.items():
        print(f"  {key:12} {value:6.2f} s")
    print(f"  1 thread / 2 threads     {medians['1 thread'] / medians['2 threads']:5.2f}   at least 1.8")
    if "2 processes" in medians:
        print(f"  1 process / 2 processes  {medians['1 process'] / medians['2 processes']:5.2f}   at least 1.8")
        print(f"  2 processes / 2 threads  {medians['2 processes'] / medians['2 threads']:5.2f}   at most 1.10")


if __name__ == "__main__":
    main()
