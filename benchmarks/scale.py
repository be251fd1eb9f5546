"""What a run of 4,000 workers and 10,000,000 blocks costs the client: memory, processor time, the ledger.

Workers are simulated: no pixel is computed or written, but results, ticks and files are those of real tasks. Two jobs,
each as a process of its own: an image with its pyramid, and a chain of stages that read their neighbours, as masks of a
focus stack do. Processor time is that of the client alone; what stands for the workers is not counted. Memory is that
of the whole process at its peak, above what its modules take.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.grid import Grid
from fusestack.model.image import Codec, ImageSpec
from fusestack.model.stage import Along, Compute, Stage, StoredArray, Target, Written
from fusestack.planning.layout import cut_levels
from fusestack.planning.levels import with_pyramid
from fusestack.planning.resources import Resources
from fusestack.running.status import StatusFile
from fusestack.storage import LocalFolder
from fusestack.taskgraph.events import RunStarted, StageStarted
from fusestack.taskgraph.job import tick_name
from fusestack.taskgraph.ledger import Ledger, Ticks, ledger_of, ledger_path, runs_of
from fusestack.taskgraph.results import BatchResult, StageResult
from fusestack.taskgraph.rounds import run_units
from fusestack.taskgraph.units import Ended, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.geometry import Box
    from fusestack.taskgraph.batches import Tower
    from fusestack.taskgraph.clusters import Lose, Take
    from fusestack.taskgraph.job import TaskGraph

SIDE = 128
STORED = Written(1_500_000, 0x89ABCDEF)
"""What a block has stored."""


@dataclass(frozen=True)
class Nothing(Compute):
    """Blocks that nobody computes; of a chain, with neighbours of the stage before."""

    before: StoredArray | None = None

    def __call__(self, box: Box) -> None:
        """Compute nothing."""

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Nothing."""
        return 0

    def reaches(self) -> dict[StoredArray, tuple[Along, ...]]:
        """A few pixels around a block."""
        return {} if self.before is None else {self.before: (*[Along()] * 3, *[Along(1, 16, 16)] * 2)}


@dataclass
class Simulated:
    """Backend whose workers give results without doing anything."""

    workers: int
    outside: float = 0.0
    """Seconds of the processor for what workers do."""
    batches: int = 0
    sent: int = 0
    """Bytes of the graph as it travels."""
    dashboard: str = ""
    hands_over: bool = False
    processes: int = 1
    kept: Counter[str] = field(default_factory=Counter)

    def execute(self, graph: TaskGraph, take: Take, lose: Lose) -> None:
        """Make results in the order of the tasks."""
        for layer in graph.layers.values():  # what a client sends to its scheduler, layer by layer
            self.sent += len(pickle.dumps(layer))
        for key, (tower, tops) in graph.batches.items():
            before = time.process_time()
            answer = pickle.dumps(done_by(tower, tops, tick_name(graph.run, key)))
            self.outside += time.process_time() - before
            self.batches += 1
            take(key, pickle.loads(answer))
        for key in graph.ends:
            take(key, Ended(complete=True))

    def has(self, keys: Any) -> bool:
        """Whether results are kept: none."""
        return False

    def drain(self) -> None:
        """Nothing runs."""

    def __enter__(self) -> Simulated:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def done_by(tower: Tower, tops: Sequence[int], name: str) -> BatchResult:
    """What a task gives, and ticks off."""
    blocks: list[Any] = [np.asarray(tops)]
    for nesting in reversed(tower.nestings[1:]):
        assert nesting is not None
        blocks.insert(0, np.array([child for block in blocks[0].tolist() for child in nesting.children(block)]))
    results = []
    for stage, numbers in zip(tower.stages, blocks, strict=True):
        numbers = sorted(numbers.tolist())
        ticks = Ticks(stage, name)
        for number in numbers:
            ticks.add(number, STORED)
        ticks.flush()
        results.append(StageResult(stage.key, tuple(runs_of(numbers)), 1.0, len(numbers), len(numbers)))
    return BatchResult(tuple(results), tuple(one.stage for one in results))


def nothing(**_: bool) -> None:
    """Neither begins nor ends."""


def stages_of(folder: Path, blocks: int, job: str, workers: int) -> tuple[Stage, ...]:
    """Stages of about so many blocks in all."""
    resources = Resources("distributed", workers, 1, 2**33, 0)
    if job == "pyramid":
        along = round((blocks * 7 / 8) ** (1 / 3))
        factors = [(2**n,) * 3 for n in range(8)]
        cut = cut_levels((1, 1, *(along * SIDE,) * 3), factors, (SIDE,) * 3, (SIDE,) * 3, sharded=False)
    else:
        along = round((blocks / 4 / 16) ** 0.5)
        cut = cut_levels(
            (1, 1, 16, along * SIDE, along * SIDE), [(1, 1, 1)], (1, SIDE, SIDE), (1, SIDE, SIDE), sharded=False
        )
    image = ImageSpec(str(folder / "o"), "o", "uint8", cut, Codec(), (1, 1, 1), (0, 0, 0), None, (0,), (), 0.0)
    target = Target("fusestack.writers.ome_zarr:OmeZarrWriter", image, 0, str(folder))
    first = Stage("fuse", Grid(image.shape, cut[0].block), Nothing(), target, "0" * 64, 0)
    if job == "pyramid":
        return with_pyramid(first, resources)
    chain = [first]
    for number in range(1, 4):
        before = chain[-1].array
        made = Stage(f"masks/{number}", first.grid, Nothing(before), target, f"{number}" * 64, 0, (before.key,))
        chain.append(made)
    return tuple(chain)


def client(job: str, blocks: int, workers: int) -> dict[str, Any]:
    """Run a job, and say what it cost."""
    counts: Counter[str] = Counter()
    backend = Simulated(workers)
    idle = _peak()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stages = stages_of(folder, blocks, job, workers)
        total = sum(stage.grid.count for stage in stages)
        status = StatusFile(folder)
        status(RunStarted("o", (), total, 0, workers))
        for stage in stages:
            status(StageStarted(stage.name, "", stage.grid.count, 0, stage.nbytes))
        start = time.process_time()
        ledgers = {stage.key: ledger_of(stage) for stage in stages}
        unit = Unit(stages, nothing, nothing)
        ended, _ = run_units([unit], backend, memory=2**33, retries=3, listener=status, ledgers=ledgers)
        assert all(one.complete for one in ended)
        assert all(ledger.complete for ledger in ledgers.values())
        spent = time.process_time() - start - backend.outside
        driver = _peak() - idle
        del ledgers
        _count_files(counts)
        start = time.process_time()
        for stage in stages:  # what ends the image reads the ledgers, and merges them; a rerun reads them again
            ledger = Ledger(ledger_path(stage.target.work, stage.key), stage.grid.count)
            assert ledger.complete
            ledger.merge()
        ending = time.process_time() - start
        ended_with = dict(counts)
        counts.clear()
        start = time.process_time()
        for stage in stages:
            assert ledger_of(stage).is_merged
        return {
            "blocks": total,
            "batches": backend.batches,
            "graph_bytes": backend.sent,
            "client_ms_per_block": 1e3 * (spent + ending) / total,
            "client_seconds": spent + ending,
            "client_bytes": driver,
            "ending_bytes": _peak() - idle,
            "ledger": ended_with,
            "rerun": dict(counts),
            "rerun_seconds": time.process_time() - start,
        }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _count_files(counts: Counter[str]) -> None:
    """Count what is read from and written to folders from now on."""

    def counting(name: str, amount: Any) -> None:
        real = getattr(LocalFolder, name)

        def counted(self: Any, *arguments: Any) -> Any:
            found = real(self, *arguments)
            counts[name] += 1
            counts[f"{name} bytes"] += amount(found)
            return found

        setattr(LocalFolder, name, counted)

    counting("get", lambda found: len(found or b""))
    counting("put", lambda found: found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="20,000 blocks of 40 workers")
    parser.add_argument("--blocks", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=4_000)
    parser.add_argument("--job", choices=("pyramid", "chain"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    blocks, workers = (20_000, 40) if arguments.toy else (arguments.blocks, arguments.workers)
    if arguments.job:
        print(json.dumps(client(arguments.job, blocks, workers)))
        return
    for job in ("pyramid", "chain"):
        command = [sys.executable, __file__, "--job", job, "--blocks", str(blocks), "--workers", str(workers)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        ledger, rerun = found["ledger"], found["rerun"]
        print(
            f"{job:8} {found['blocks']:>10,} blocks of {workers:,} workers in {found['batches']:,} batches: client "
            f"{found['client_seconds']:.1f} s of processor, {found['client_ms_per_block']:.4f} ms a block, "
            f"{found['client_bytes'] / 1e6:.0f} MB, at the end {found['ending_bytes'] / 1e6:.0f} MB; "
            f"graph {found['graph_bytes'] / 1e6:.0f} MB\n"
            f"{'':8} ledger at the end: {ledger['get']:,} reads of {ledger['get bytes'] / 1e6:.0f} MB, "
            f"{ledger['put']:,} writes of {ledger['put bytes'] / 1e6:.0f} MB; a rerun: {rerun['get']:,} reads of "
            f"{rerun['get bytes'] / 1e6:.0f} MB in {found['rerun_seconds']:.1f} s"
        )


if __name__ == "__main__":
    main()
