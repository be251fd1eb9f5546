"""The graph of a job: a layer a stage, a task a batch of blocks, edges by region; and its collection for dask."""

from __future__ import annotations

import pickle
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.taskgraph.batches import beside, cut, towers
from fusestack.taskgraph.chunks import ChunkLayer, parts_read, run_batch_holding
from fusestack.taskgraph.edges import edges
from fusestack.taskgraph.results import LEFT_OUT
from fusestack.taskgraph.tasks import run_batch
from fusestack.taskgraph.turns import run_name
from fusestack.taskgraph.units import all_done, begin_unit, end_unit

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.model.stage import Stage
    from fusestack.taskgraph.batches import Layer, Tower
    from fusestack.taskgraph.chunks import ChunkTasks
    from fusestack.taskgraph.units import Unit

    _Bools: TypeAlias = NDArray[np.bool_]


Key: TypeAlias = "tuple[str, str]"


@dataclass(frozen=True)
class Todo:
    """Which blocks a graph is to make.

    Parameters
    ----------
    missing : mapping of str to bool array
        Blocks of each stage, by its key, that are not there.
    included : mapping of str to bool array
        Those of them that the graph makes; what stands on the others is left out.
    failed : mapping of str to set of int
        Those that failed before.
    abreast : int or None
        Tasks under way at a time, where that is less than there are workers; with 1, each waits for the one before it.
    """

    missing: Mapping[str, _Bools]
    included: Mapping[str, _Bools]
    failed: Mapping[str, set[int]] = field(default_factory=dict)
    abreast: int | None = None


@dataclass(frozen=True)
class TaskGraph:
    """Tasks by key, in layers, and what they are.

    Parameters
    ----------
    layers : mapping of str to mapping
        Tasks of each layer by key; layers are named after stages.
    batches : mapping
        Tower and top blocks of each task that computes.
    ends : tuple of key
        Of the units, in their order.
    run : str
        Name of the run; tasks that see it stopped end.
    chunks : set of key
        Of the tasks that make what batches read of other arrays.
    persisted : bool
        Whether some of these are not made here: they may have failed already.
    """

    layers: Mapping[str, Mapping[Any, Any]]
    batches: Mapping[Key, tuple[Tower, Sequence[int]]]
    ends: tuple[Key, ...]
    run: str
    chunks: frozenset[Any] = frozenset()
    persisted: bool = False

    def holds(self, key: Key, chunk: Any = None) -> bool:
        """Whether a task is given chunks of arrays; or what is made of a certain one."""
        if key not in self.batches or not self.batches[key][0].stages[0].held_bytes:
            return False
        tasks, seen = self.tasks, {key}
        left = [] if chunk is None else [key]
        while left:
            new = {one for one in tasks[left.pop()].dependencies if one in self.chunks} - seen
            left += new
            seen |= new
        return chunk is None or chunk in seen

    @cached_property
    def tasks(self) -> dict[Any, Any]:
        """All tasks."""
        return {key: task for layer in self.layers.values() for key, task in layer.items()}


def build_graph(
    units: Sequence[Unit],
    todo: Todo,
    *,
    workers: int,
    memory: int,
    chunks: ChunkTasks | None = None,
    guarded: bool = True,
    token: str = "",
) -> TaskGraph:
    """Make the graph of what is missing; reads and writes nothing.

    Parameters
    ----------
    units : sequence of Unit
        Each after those that its stages read.
    todo : Todo
    workers : int
        Tasks that run at the same time.
    memory : int
        Bytes for each of them.
    chunks : ChunkTasks or None
        Of the arrays that the stages read.
    guarded : bool
        Whether chunks that cannot be made fail their blocks, as `run` needs it, and are made again in every graph;
        otherwise their tasks are those of the arrays, as whoever composes graphs expects it.
    token : str
        Of the run, without which its tasks write nothing (`fusestack.taskgraph.turns`); empty where it takes no turns.
    """
    return _Builder(units, todo, workers, memory, chunks, guarded, token).graph()


class _Builder:
    """Puts the layers together, one unit after the other."""

    def __init__(
        self,
        units: Sequence[Unit],
        todo: Todo,
        workers: int,
        memory: int,
        chunks: ChunkTasks | None,
        guarded: bool,
        token: str,
    ) -> None:
        self._units, self._todo = units, todo
        self._stages = {stage.key: stage for unit in units for stage in unit.stages}
        self._sharing: dict[Hashable, list[Stage]] = {}
        for stage in self._stages.values():
            if (shared := stage.compute.shares) is not None:
                self._sharing.setdefault(shared, []).append(stage)
        self._workers, self._memory = workers, memory
        self._run = run_name(token)
        self._layers: dict[str, dict[Key, Any]] = {}
        self._batches: dict[Key, tuple[Tower, Sequence[int]]] = {}
        self._towers: dict[str, Tower] = {}
        self._made: dict[str, tuple[str, Layer, int]] = {}
        self._lasts: list[Key] = []
        self._begins: dict[str, Key] = {}
        self._chunks: ChunkLayer | None = None
        if chunks is not None:
            self._chunks = ChunkLayer(chunks, self._run, guarded=guarded, apart=todo.abreast == 1)

    def graph(self) -> TaskGraph:
        begins = [self._begin(unit) for unit in self._units]
        made = [[begin, *self._unit(unit)] for begin, unit in zip(begins, self._units, strict=True)]
        ends = tuple(self._end(unit, keys) for unit, keys in zip(self._units, made, strict=True))
        found: frozenset[Any] = frozenset()
        if self._chunks is not None:
            self._layers |= self._chunks.layers([key for layer in self._layers.values() for key in layer])
            found = frozenset(self._chunks.tasks)
        persisted = self._chunks is not None and self._chunks.persisted
        return TaskGraph(self._layers, self._batches, ends, self._run, found, persisted)

    def _name(self, word: str) -> str:
        # a word with a digit, which dask's dashboard leaves out of the name
        name = f"{word}-0{self._run}"
        while name in self._layers:
            name += "0"
        return name

    def _begin(self, unit: Unit) -> Key:
        """The beginning of a unit, which all tasks that write into it wait for."""
        from dask._task_spec import Task

        begin: Key = (self._name("begin"), "0")
        self._layers[begin[0]] = {begin: Task(begin, begin_unit, unit.begin)}
        self._begins |= {stage.key: begin for stage in unit.stages}
        return begin

    def _unit(self, unit: Unit) -> list[Key]:
        """The tasks of a unit; some may make a part of other units, too."""
        single = bool(self._todo.failed) or self._todo.abreast == 1
        work = [stage for stage in unit.stages if self._is_left(stage)]
        if not single:
            work = [one for stage in work for one in (stage, *self._beside(stage))]
        for tower in towers(work, workers=self._workers, memory=None if single else self._memory):
            self._tower(tower)
        names = dict.fromkeys(self._made[stage.key][0] for stage in unit.stages if stage.key in self._made)
        return [key for name in names for key in self._layers[name] if key in self._batches]

    def _is_left(self, stage: Stage) -> bool:
        """Whether there is something to do, and no task for it yet."""
        return stage.key not in self._made and bool(self._todo.included[stage.key].any())

    def _beside(self, stage: Stage) -> list[Stage]:
        """Stages of other units that are made of the same."""
        others = self._sharing.get(stage.compute.shares, ())
        return [one for one in others if one is not stage and self._is_left(one) and beside(stage, one) is not None]

    def _end(self, unit: Unit, keys: Sequence[Key]) -> Key:
        """The end of a unit: after its tasks, and after those of others that read what it may put elsewhere."""
        from dask._task_spec import Task, TaskRef

        own, mine = {stage.key for stage in unit.stages}, set(keys)
        reads = {name: bool(own & set(tower.stages[0].needs)) for name, tower in self._towers.items()}
        after = [key for key in self._batches if reads[key[0]] and key not in mine]
        whole = not any(self._absent(stage).any() for stage in unit.stages)
        end: Key = (self._name("end"), "0")
        before = [TaskRef(key) for key in (*keys, *after)]
        self._layers[end[0]] = {end: Task(end, end_unit, unit.end, tuple(sorted(own)), whole, len(keys), *before)}
        return end

    def _absent(self, stage: Stage) -> _Bools:
        """Blocks that are neither there nor made by this graph."""
        return self._todo.missing[stage.key] & ~self._todo.included[stage.key]

    def _tower(self, tower: Tower) -> None:
        from dask._task_spec import Task, TaskRef

        missing = [self._todo.included[stage.key] for stage in tower.stages]
        failed = self._todo.failed.get(tower.top.key, ())
        layer = cut(tower, missing, workers=self._workers, failed=failed)
        name = self._name("+".join(stage.name for stage in tower.stages))
        load: Key = (name, "stage")
        payload = zlib.compress(pickle.dumps(tower), 1)
        tasks: dict[Key, Any] = {load: Task(load, load_tower, payload)}
        refs: dict[Key, TaskRef] = {}
        waits = self._waits(tower, layer)
        reads = self._reads(layer)
        begins = dict.fromkeys(self._begins[stage.key] for stage in tower.stages)
        self._layers[name], self._towers[name] = tasks, tower
        for number, blocks in enumerate(layer.batches):
            key = _key(name, number, len(layer.batches))
            needs = [*begins, *waits.get(number, ())]
            abreast = self._todo.abreast or 0
            after = self._lasts[-abreast:][:1] if abreast and len(self._lasts) >= abreast else []
            before = [LEFT_OUT if one is None else refs.setdefault(one, TaskRef(one)) for one in (*needs, *after)]
            arguments = (TaskRef(load), blocks, self._run, tick_name(self._run, key), len(needs))
            if self._chunks is not None and number in reads:
                parts = parts_read(tower.stages[0], reads[number])
                held = [TaskRef(one) for one in self._chunks.keys(parts, *after)]
                tasks[key] = Task(key, run_batch_holding, tuple(parts.values()), *arguments, *held, *before)
            else:
                tasks[key] = Task(key, run_batch, *arguments, *before)
            self._batches[key] = tower, blocks
            self._lasts.append(key)
        for level, stage in enumerate(tower.stages):
            self._made[stage.key] = name, layer, level

    def _waits(self, tower: Tower, layer: Layer) -> dict[int, list[Key | None]]:
        """What each task waits for; None where what it reads is not there."""
        lowest = tower.stages[0]
        reaches = {array.key: reach for array, reach in lowest.compute.reaches().items()}
        batches = layer.batch_of(0)
        waits: dict[int, set[Key | None]] = {}
        known: dict[int, Key] = {}

        def wait(key: Key | None, numbers: Iterable[int]) -> None:
            for number in numbers:
                waits.setdefault(number, set()).add(key)

        every = range(len(layer.batches))
        for need in lowest.needs:
            if need not in self._stages:
                continue  # complete, or of a stage that this job does not make
            written, reach = self._stages[need].grid, reaches.get(need)
            if need in self._made:
                name, producer, level = self._made[need]
                pairs = None if reach is None else edges(lowest.grid, batches, written, producer.batch_of(level), reach)
                if pairs is None:
                    wait(self._barrier(name, need), every)
                known.clear()  # one key for all that wait for it: there are ten times as many edges as tasks
                for number, before in pairs or ():
                    if before not in known:
                        known[before] = _key(name, before, len(producer.batches))
                    waits.setdefault(number, set()).add(known[before])
            absent = self._absent(self._stages[need])
            if absent.any():
                there = np.where(absent, 0, -1)
                pairs = None if reach is None else edges(lowest.grid, batches, written, there, reach)
                wait(None, every if pairs is None else {number for number, _ in pairs})
        return {number: sorted(keys, key=str) for number, keys in waits.items()}

    def _reads(self, layer: Layer) -> dict[int, list[int]]:
        """Blocks of each task that read chunks of arrays."""
        found: dict[int, list[int]] = {}
        if self._chunks is None or not layer.tower.stages[0].held_bytes:
            return found
        for block, number in enumerate(layer.batch_of(0).tolist()):
            if number >= 0:
                found.setdefault(number, []).append(block)
        return found

    def _barrier(self, name: str, stage: str) -> Key:
        """One task that waits for a whole stage of a tower."""
        from dask._task_spec import Task, TaskRef

        done: Key = (name, f"all of {stage}")
        tasks = self._layers[name]
        if done not in tasks:
            tasks[done] = Task(done, all_done, (stage,), *[TaskRef(key) for key in tasks if key in self._batches])
        return done


def _key(name: str, number: int, count: int) -> Key:
    """Key of a task: of equal ones dask takes the last text first, so the first block begins, and small ones end."""
    return name, f"{count - 1 - number:0{len(str(count - 1))}}"


def tick_name(run: str, key: Key) -> str:
    """Name of what a task ticks off; runs are named by their time first."""
    return f"{run}-{key[1]}"


def load_tower(payload: bytes) -> Tower:
    """Stages as they were sent; a task of its own, so that they travel once, and again where they are lost."""
    tower: Tower = pickle.loads(zlib.decompress(payload))
    return tower
