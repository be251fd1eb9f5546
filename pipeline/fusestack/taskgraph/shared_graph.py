"""A graph in a folder, whose tasks any number of processes take without talking to one another: those of a job array.

Whoever takes a task leaves a claim, which only one can, and signs of life. What a task gives is a small file. So a part
that comes late finds what is left, one that is killed has its tasks taken by the others, and nobody compares clocks of
machines: a sign of life is one that changes while it is watched. What a task writes is the same whoever does it, and is
ticked off in the ledgers as always.
"""

from __future__ import annotations

import json
import pickle
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fusestack.storage import is_address, open_folder
from fusestack.taskgraph.results import BatchResult, StageResult
from fusestack.taskgraph.stop import is_stopped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fusestack.taskgraph.job import Key, TaskGraph

_GRAPH = "graph"
_LOOK_SECONDS = 1.0
_LOOK_SECONDS_AT_STORES = 10.0
_BEAT_SECONDS = 10.0
_SILENT_SECONDS = 60.0
_ERRORS_KEPT = 5


@dataclass
class Part:
    """What one process has done of a shared graph, as its signs of life tell."""

    name: str
    where: str
    beat: int = 0
    batches: int = 0
    blocks: int = 0
    bytes: int = 0
    errors: list[str] = field(default_factory=list)


class SharedGraph:
    """A graph in a folder.

    Parameters
    ----------
    path : str
        Folder or address that all processes see.
    """

    def __init__(self, path: str) -> None:
        self._folder = open_folder(path, scratch="")
        self._interval = _LOOK_SECONDS_AT_STORES if is_address(path) else _LOOK_SECONDS
        self._results: dict[Key, BatchResult] = {}
        self._names: dict[str, Key] = {}
        self._others: dict[str, Any] = {}
        self._ready: set[Any] = set()
        self._claims: dict[str, int] = {}
        self._owners: dict[tuple[str, int], str] = {}
        self._beats: dict[str, tuple[bytes | None, float]] = {}
        self._looked = -float("inf")
        self._lock = threading.RLock()

    @staticmethod
    def keep(path: str, graph: TaskGraph) -> None:
        """Put a graph into a folder."""
        open_folder(path, scratch="").put(_GRAPH, [zlib.compress(pickle.dumps(graph), 1)])

    def parts(self) -> list[Part]:
        """Signs of life of all processes that are at it, or were killed."""
        found = []
        for name in self._entries("parts"):
            with suppress(ValueError, TypeError):
                found.append(Part(**json.loads(self._folder.get(f"parts/{name}") or b"")))
        return found

    def work(self, part: Part, *, share: float, threads: int, retries: int) -> None:
        """Take tasks until none is left, or the run is stopped.

        Parameters
        ----------
        part : Part
            Who takes them; its name is unique.
        share : float
            Where in each layer it begins, from 0 to 1: parts get into one another's way less.
        threads : int
            Tasks at the same time.
        retries : int
            How often a failed batch is tried again here, and a lost one by anybody.
        """
        self._graph: TaskGraph = pickle.loads(zlib.decompress(self._folder.get(_GRAPH) or b""))
        self._names = {_name(key): key for key in self._graph.batches}
        self._works = {tower.top.target.work for tower, _ in self._graph.batches.values()}
        self._part, self._retries = part, retries
        order = self._order(share)
        over = threading.Event()
        self._beat()
        alive = threading.Thread(target=self._live, args=(over,), daemon=True)
        alive.start()
        try:
            takers = [threading.Thread(target=self._take, args=(order,), daemon=True) for _ in range(threads - 1)]
            for taker in takers:
                taker.start()
            self._take(order)
            for taker in takers:
                taker.join()
        finally:
            over.set()
            alive.join()
            with suppress(OSError):  # others then see at once that it has left
                self._folder.delete(f"parts/{part.name}")

    def _order(self, share: float) -> list[Key]:
        """Tasks, layer by layer, each from another place on."""
        layers: dict[str, list[Key]] = {}
        for key in self._graph.batches:
            layers.setdefault(key[0], []).append(key)
        found: list[Key] = []
        for keys in layers.values():
            start = int(share * len(keys))
            found += [*keys[start:], *keys[:start]]
        return found

    def _take(self, order: Sequence[Key]) -> None:
        while not self._stopped():
            key, left = self._next(order)
            if key is not None:
                self._do(key)
            elif left:  # others are at it, and may die
                time.sleep(self._interval)
            else:
                return

    def _stopped(self) -> bool:
        return any(is_stopped(work, self._graph.run) for work in self._works)

    def _next(self, order: Iterable[Key]) -> tuple[Key | None, bool]:
        """A task that is ready and was claimed for this process; whether any is left."""
        with self._lock:
            self._look()
            left = [key for key in order if key not in self._results]
            for key in left:
                if _name(key) not in self._claims and self._is_ready(key) and self._claim(key, 0):
                    return key, True
            for key in left:
                if _name(key) in self._claims and self._is_ready(key) and self._inherit(key):
                    return key, True
            return None, bool(left)

    def _look(self) -> None:
        """Take notice of what others have done; now and then."""
        now = time.monotonic()
        if now - self._looked < self._interval:
            return
        self._looked = now
        for name in self._entries("results"):
            key = self._names.get(name)
            data = None if key is None or key in self._results else self._folder.get(f"results/{name}")
            if key is not None and data:
                self._results[key] = pickle.loads(data)
        self._claims = {}
        for entry in self._entries("claims"):
            name, _, number = entry.rpartition("~")
            self._claims[name] = max(int(number), self._claims.get(name, 0))
        owners = {self._owner(name, number) for name, number in self._claims.items()}
        for owner in owners:
            found = self._folder.get(f"parts/{owner}")
            before, seen = self._beats.get(owner, (b"", now))
            self._beats[owner] = found, now if found != before else seen

    def _owner(self, name: str, number: int) -> str:
        """Who made a claim."""
        if (name, number) not in self._owners:
            self._owners[name, number] = (self._folder.get(f"claims/{name}~{number}") or b"").decode()
        return self._owners[name, number]

    def _entries(self, name: str) -> list[str]:
        return [entry for entry in self._folder.entries(name) if not entry.startswith(".")]

    def _needs(self, key: Any) -> Iterable[Any]:
        needs: frozenset[Any] = self._graph.tasks[key].dependencies
        return needs

    def _is_ready(self, key: Any) -> bool:
        """Whether everything that a task waits for is there."""
        if key in self._ready:
            return True
        ready = all(
            need in self._results if need in self._graph.batches else self._is_ready(need) for need in self._needs(key)
        )
        if ready:
            self._ready.add(key)
        return ready

    def _claim(self, key: Key, number: int) -> bool:
        """Claim a task, if nobody else does."""
        name = _name(key)
        self._claims[name] = number
        return self._folder.create(f"claims/{name}~{number}", self._part.name.encode())

    def _inherit(self, key: Key) -> bool:
        """Claim a task whose owner is silent, or has left."""
        name = _name(key)
        number = self._claims[name]
        owner = self._owner(name, number)
        found, seen = self._beats.get(owner, (b"", time.monotonic()))
        if owner == self._part.name or (found is not None and time.monotonic() - seen < _SILENT_SECONDS):
            return False
        if self._folder.get(f"results/{name}") is not None:
            return False
        if number >= self._retries:
            self._give_up(key, owner)
            return False
        return self._claim(key, number + 1)

    def _do(self, key: Key) -> None:
        """Run a task, again where blocks failed, and leave what it gives."""
        task = self._graph.tasks[key]
        values = {need: self._value(need) for need in task.dependencies}
        for _ in range(1 + self._retries):
            result: BatchResult = task(values)
            if self._stopped():
                return
            hopeless = any(failure.hopeless for _, failure in result.failed)
            if result.complete or not result.failed or hopeless:
                break
        self._leave(key, result)

    def _leave(self, key: Key, result: BatchResult) -> None:
        self._folder.put(f"results/{_name(key)}", [pickle.dumps(result)])
        with self._lock:
            self._results[key] = result
            part = self._part
            part.batches += 1
            part.blocks += sum(len(run) for stage in result.stages for run in stage.done)
            part.bytes += sum(stage.bytes for stage in result.stages)
            part.errors = [*part.errors, *(str(failure) for _, failure in result.failed)][-_ERRORS_KEPT:]

    def _give_up(self, key: Key, owner: str) -> None:
        """Leave a task that every process which took it has died of."""
        from fusestack.model.stage import BlockFailure

        tower, blocks = self._graph.batches[key]
        text = (
            f"{1 + self._retries} jobs that computed it have ended, the last one {owner}; often for want of memory: "
            f"a block needs about {tower.stages[0].peak_bytes / 2**20:,.0f} MiB; see what the jobs printed"
        )
        failed = tuple(BlockFailure(block, tower.top.place(block), text) for block in blocks)
        self._leave(key, BatchResult((StageResult(tower.top.key, (), 0.0, 0, 0, failed),)))

    def _value(self, key: Any) -> Any:
        """What a task gives: another's result, or that of one that only passes something on."""
        with self._lock:
            if key in self._results:
                return self._results[key]
            if key not in self._others:
                task = self._graph.tasks[key]
                self._others[key] = task({need: self._value(need) for need in task.dependencies})
            return self._others[key]

    def _live(self, over: threading.Event) -> None:
        while not over.wait(_BEAT_SECONDS):
            self._beat()

    def _beat(self) -> None:
        with suppress(OSError), self._lock:  # the next one may succeed
            self._part.beat += 1
            self._folder.put(f"parts/{self._part.name}", [json.dumps(self._part.__dict__).encode()])


def _name(key: Key) -> str:
    """Of a task in file names."""
    return f"{key[0]}~{key[1]}".replace("/", "_")
