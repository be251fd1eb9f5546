"""Chunks of the arrays of dask graphs that stages read: their tasks as part of a job's graph, and how batches get them.

A chunk that cannot be made is a value, like a block that cannot be made; another round tries both again, under other
keys, since dask never recovers keys that failed.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fusestack.model.errors import ConfigError
from fusestack.model.geometry import Box
from fusestack.model.graph_array import LostChunk, checked, holding
from fusestack.taskgraph.tasks import run_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dask._task_spec import GraphNode

    from fusestack.model.graph_array import GraphArray, Held
    from fusestack.model.stage import Stage
    from fusestack.taskgraph.batches import Tower
    from fusestack.taskgraph.results import BatchResult

    Key: TypeAlias = Any


@dataclass(frozen=True)
class Part:
    """A chunk as a batch gets it.

    Parameters
    ----------
    array : str
        Name of the array.
    dtype : str
    start, shape : tuple of int
        What the chunk has to be.
    """

    array: str
    dtype: str
    start: tuple[int, ...]
    shape: tuple[int, ...]


class ChunkTasks:
    """The dask graph of all arrays that some stages read, optimised once, so that shared chunks are made once.

    Parameters
    ----------
    nodes : mapping of key to dask task
    outside : set of key
        What they stand on and a dask scheduler has already: persisted chunks.
    """

    def __init__(self, nodes: Mapping[Key, GraphNode], outside: frozenset[Key]) -> None:
        self._nodes, self.outside = nodes, outside

    @classmethod
    def of(cls, stages: Iterable[Stage]) -> ChunkTasks | None:
        """Tasks of all arrays that stages read; None where they read none.

        Raises
        ------
        ConfigError
            If an array has lost its graph, since the plan was sent to another process.
        """
        found: dict[str, GraphArray] = {}
        for stage in stages:
            if stage.held_bytes:
                found |= {array.name: array for array in stage.compute.inputs(Box.of_shape(stage.grid.shape))}
        if not found:
            return None
        gone = [name for name, array in found.items() if array.collection is None]
        if gone:
            raise ConfigError(f"{gone[0]}: a plan leaves its arrays behind when it is sent; make it where it is used")
        import dask
        from dask._task_spec import convert_legacy_graph
        from dask.core import flatten

        collections = dask.optimize(*(array.collection for array in found.values()))
        nodes = convert_legacy_graph(dict(collections[0].dask))  # all share one graph
        keys = {key for collection in collections for key in flatten(collection.__dask_keys__())}
        needed = keys.union(*(node.dependencies for node in nodes.values()))
        return cls(nodes, frozenset(needed - nodes.keys()))

    def tasks(self, keys: Iterable[Key], run: str = "", after: Key | None = None) -> dict[Key, GraphNode]:
        """Tasks that make some chunks.

        Parameters
        ----------
        keys : iterable of key
        run : str
            Where there is one, tasks get keys of their own (see `key_of`), and what fails becomes a `LostChunk`.
        after : key, optional
            Of a task that all of them wait for.
        """
        from dask._task_spec import cull

        wanted: dict[Key, GraphNode] = cull(dict(self._nodes), set(keys) & self._nodes.keys())
        if not run:
            return wanted
        return {self.key_of(key, run): self._guarded(node, run, after) for key, node in wanted.items()}

    def key_of(self, key: Key, run: str) -> Key:
        """Key of a task in a graph of tasks with keys of their own; what is persisted keeps its key."""
        if key not in self._nodes:
            return key
        if isinstance(key, tuple):
            return f"{key[0]}-0{run}", *key[1:]
        return f"{key}-0{run}"

    def _guarded(self, node: GraphNode, run: str, after: Key | None) -> GraphNode:
        from dask._task_spec import Alias, DataNode, Task, TaskRef

        key = self.key_of(node.key, run)
        if isinstance(node, DataNode):
            return DataNode(key, node.value)
        if isinstance(node, Alias):
            return Alias(key, self.key_of(node.target, run))
        names = tuple(node.dependencies)
        before = [TaskRef(self.key_of(name, run)) for name in names]
        if not names and after is not None:
            before.append(TaskRef(after))
        return Task(key, make_chunk, _Node(node, names), *before)


class ChunkLayer:
    """Tasks of chunks in one graph, as its batches ask for them.

    Parameters
    ----------
    source : ChunkTasks
    run : str
        Name of the run.
    guarded : bool
        Whether chunks that cannot be made are values, and are made again in every graph.
    apart : bool
        Whether each batch has chunks of its own, so that nothing runs beside it.
    """

    def __init__(self, source: ChunkTasks, run: str, *, guarded: bool, apart: bool) -> None:
        self._source, self._run, self._guarded, self._apart = source, run, guarded, apart
        self._ready = (f"ready-0{run}", "0")
        self._wanted: dict[Key, None] = {}
        self._batches = 0
        self.tasks: dict[Key, GraphNode] = {}
        self.persisted = bool(source.outside)

    def keys(self, wanted: Iterable[Key], after: Key | None = None) -> list[Key]:
        """Keys of the tasks that make chunks for a batch; those of its own come after a task."""
        if not self._guarded:
            self._wanted |= dict.fromkeys(wanted)
            return list(wanted)
        run = self._run
        if self._apart:
            run, self._batches = f"{run}{self._batches:x}", self._batches + 1
            self.tasks |= self._source.tasks(wanted, run, after or self._ready)
        else:
            self._wanted |= dict.fromkeys(wanted)
        return [self._source.key_of(key, run) for key in wanted]

    def layers(self, others: Iterable[Key]) -> dict[str, dict[Key, GraphNode]]:
        """All that were asked for.

        What makes containers and sends stages comes before them: a chunk that kills its worker kills nothing that
        all blocks stand on.
        """
        from dask._task_spec import Task, TaskRef

        name = f"chunks-0{self._run}"
        if not self._guarded:
            self.tasks |= self._source.tasks(self._wanted)
            return {name: self.tasks}
        first = [key for key in others if key[1] == "stage" or key[0].startswith("begin-")]
        self.tasks |= self._source.tasks(self._wanted, self._run, self._ready)
        return {self._ready[0]: {self._ready: Task(self._ready, ready, *map(TaskRef, first))}, name: self.tasks}


def ready(*_: Any) -> None:
    """What blocks stand on is there."""


@dataclass(frozen=True)
class _Node:
    """A task that dask is not to look into, and the names of what it stands on."""

    task: GraphNode
    names: tuple[Key, ...]


def make_chunk(node: _Node, *before: Any) -> Any:
    """Run a task of an array; a failure is a value, and what stands on it is lost with it."""
    lost = next((value for value in before if isinstance(value, LostChunk)), None)
    if lost is not None:
        return lost
    try:
        return node.task(dict(zip(node.names, before, strict=False)))
    except Exception as error:  # of the user's own functions: anything
        return LostChunk(f"{type(error).__name__}: {error}".removesuffix(": "), traceback.format_exc())


def parts_read(stage: Stage, blocks: Iterable[int]) -> dict[Key, Part]:
    """Chunks that some blocks of a stage read, each once, by the keys of their tasks."""
    found: dict[Key, Part] = {}
    for read in stage.compute.inputs_of_boxes([stage.grid.box(block) for block in blocks]):
        for array, box in read.items():
            for key, start in array.keys(box):
                if key not in found:
                    shape = tuple(sizes[i] for sizes, i in zip(array.chunks, key[1:], strict=True))
                    found[key] = Part(array.name, array.dtype, start, shape)
    return found


def run_batch_holding(
    parts: Sequence[Part], tower: Tower, blocks: Sequence[int], run: str, name: str, needs: int, *before: Any
) -> BatchResult:
    """`run_batch` of blocks that read chunks of arrays: these come first in `before`, one for each of `parts`."""
    held: dict[str, list[Held]] = {}
    for part, pixels in zip(parts, before, strict=False):
        held.setdefault(part.array, []).append((part.start, checked(pixels, part.shape, part.dtype)))
    with holding(held):
        return run_batch(tower, blocks, run, name, needs, *before[len(parts) :])
