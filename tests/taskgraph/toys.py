"""Stages without images: they count how often each block was computed, and fail, die or wait on command."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.model.image import Codec, ImageSpec, Level
from fusestack.model.stage import Compute, Stage, Target, Written
from fusestack.taskgraph.clusters import Backend
from fusestack.taskgraph.events import Event, Listener
from fusestack.taskgraph.ledger import Ledger, runs_of
from fusestack.taskgraph.rounds import StageOutcome, run_units
from fusestack.taskgraph.units import Ended, Unit

GREEDY_BYTES, GREEDY_SECONDS, HOARD_SECONDS = 600 * 2**20, 1.5, 15
"""A hoard is held until somebody notices, also on a busy machine."""


@dataclass(frozen=True)
class ToyCompute(Compute):
    """Value = global index; faults per block and try: ``fail``, ``die``, ``hang``, ``greedy``, ``hoard``, ``ok`` ..."""

    folder: str
    grid: Grid
    faults: dict[int, tuple[str, ...]]
    seconds: float = 0.0

    def __call__(self, box: Box) -> np.ndarray[Any, Any] | None:
        block = self.grid.number([a // b for a, b in zip(box.start, self.grid.block, strict=True)])
        tries = tries_of(self.folder, block)
        Path(self.folder, f"{block}.{tries}.try").touch()
        time.sleep(self.seconds)
        fate = dict(enumerate(self.faults.get(block, ()))).get(tries, "ok")
        if fate == "fail":
            raise ValueError(f"fault in block {block}")
        if fate == "refuse":
            raise OutputError("disk full")
        if fate == "die":
            os._exit(9)
        if fate == "hang":
            time.sleep(3600)
        if fate in ("greedy", "hoard"):
            room = np.ones(GREEDY_BYTES, np.uint8)
            time.sleep(GREEDY_SECONDS if fate == "greedy" else HOARD_SECONDS)
            del room
        if fate == "empty":
            return None
        return np.full(box.shape, block, dtype=np.uint16)

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        return 1000


def tries_of(folder: str, block: int) -> int:
    return len(list(Path(folder).glob(f"{block}.*.try")))


class ToyWriter:
    """One small file per block."""

    def __init__(self, spec: ImageSpec, work: str) -> None:
        self.folder = Path(spec.path)

    def create(self) -> None:
        pass

    def write(self, level: int, box: Box, pixels: np.ndarray[Any, Any]) -> Written:
        path = self.folder / ("-".join(map(str, box.start)) + ".json")
        path.write_text(json.dumps([int(pixels.flat[0]), list(pixels.shape)]))
        return Written(pixels.nbytes)


def toy_stage(folder: Path, blocks: int, faults: dict[int, tuple[str, ...]] | None = None, seconds: float = 0) -> Stage:
    shape = (1, 1, 1, 1, 4 * blocks - 1)
    grid = Grid(shape, (1, 1, 1, 1, 4))
    (folder / "tries").mkdir(exist_ok=True, parents=True)
    (folder / "out").mkdir(exist_ok=True)
    level = Level((1, 1, 1), shape, grid.block, None, grid.block)
    image = ImageSpec(
        str(folder / "out"), "toy", "uint16", (level,), Codec(), (1, 1, 1), (0, 0, 0), None, (0,), (), 0.0
    )
    target = Target("tests.taskgraph.toys:ToyWriter", image, 0, str(folder / "work"))
    compute = ToyCompute(str(folder / "tries"), grid, faults or {}, seconds)
    return Stage("toy", grid, compute, target, "f" * 64, 1000)


def written(folder: Path) -> dict[int, int]:
    """Value of every block's file by the block's start."""
    values = {}
    for path in (folder / "out").glob("*.json"):
        value, _ = json.loads(path.read_text())
        values[int(path.stem.split("-")[-1]) // 4] = value
    return values


def toy_unit(stage: Stage) -> Unit:
    """A unit whose end counts how often it was called."""
    return Unit((stage,), begin, partial(end, stage.target.work))


def begin(**_: bool) -> None:
    pass


def end(work: str) -> str:
    path = Path(work, "ends")
    path.mkdir(parents=True, exist_ok=True)
    (path / str(len(list(path.iterdir())))).touch()
    return work


def drive(
    stages: list[Stage], backend: Backend, retries: int = 3, memory: int = 2**40, listener: Listener | None = None
) -> tuple[dict[str, StageOutcome], list[Event], list[Ended]]:
    """Run some stages to their end; outcomes by their names."""
    events: list[Event] = []
    units = [toy_unit(stage) for stage in stages]

    def listen(event: Event) -> None:
        events.append(event)
        if listener is not None:
            listener(event)

    ended, found = run_units(units, backend, memory=memory, retries=retries, listener=listen)
    return {stage.name: found[stage.key] for stage in stages}, events, ended


def missing(ledger: Ledger) -> list[range]:
    """Runs of blocks that are not ticked off."""
    return runs_of(np.flatnonzero(~ledger.done))
