"""A job as a dask collection, which any dask scheduler computes and users compose with their own tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.threaded
from dask._task_spec import Task, TaskRef
from dask.base import DaskMethodsMixin
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from fusestack.model.amounts import counted
from fusestack.model.summary import Summary
from fusestack.taskgraph.units import Ended, close_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fusestack.taskgraph.job import TaskGraph

_SHOWN = 12


class Job(DaskMethodsMixin):  # type: ignore[misc]
    """What a configuration asks for, as one dask graph: a layer a stage, a task a batch of blocks.

    Computing it makes what is missing and gives the paths of the images. It holds no lock while it computes, shows no
    progress and tries nothing again: `fusestack.run` does, with the same graph. A graph is made of what was missing
    when it was made; what another run finishes meanwhile is not computed again.

    Examples
    --------
    >>> job = fusestack.graph("fuse.yaml")
    >>> job.visualize("graph.svg")  # doctest: +SKIP
    >>> job.compute(scheduler="threads")  # doctest: +ELLIPSIS
    ('...fused.ome.zarr',)
    """

    __dask_scheduler__ = staticmethod(dask.threaded.get)
    __dask_optimize__ = None

    def __init__(self, graph: HighLevelGraph, key: tuple[str, str]) -> None:
        self._graph = graph
        self._key = key

    @classmethod
    def of_graph(cls, graph: TaskGraph, paths: Sequence[str], close: Callable[[], Any] | None = None) -> Job:
        """Job of a graph.

        Parameters
        ----------
        graph : TaskGraph
        paths : sequence of str
            What computing it gives.
        close : callable, optional
            Called in the end, when everything is there; picklable.
        """
        name = f"job-0{graph.run}"
        key = (name, "0")
        layers: dict[str, Mapping[Any, Any]] = {
            **graph.layers,
            name: {key: Task(key, close_job, tuple(paths), close, *map(TaskRef, graph.ends))},
        }
        place = {key: layer for layer, tasks in layers.items() for key in tasks}
        before = {
            layer: {place[one] for task in tasks.values() for one in task.dependencies if one in place} - {layer}
            for layer, tasks in layers.items()
        }
        return cls(HighLevelGraph({n: MaterializedLayer(tasks) for n, tasks in layers.items()}, before), key)

    def __dask_graph__(self) -> HighLevelGraph:
        return self._graph

    def __dask_keys__(self) -> list[tuple[str, str]]:
        return [self._key]

    def __dask_layers__(self) -> tuple[str, ...]:
        return (self._key[0],)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return self._key

    def __dask_postcompute__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return _paths, ()

    def __dask_postpersist__(self) -> tuple[Callable[..., Job], tuple[Any, ...]]:
        return _persisted, (self._key,)

    @property
    def dask(self) -> HighLevelGraph:
        """The graph."""
        return self._graph

    @property
    def stages(self) -> dict[str, int]:
        """Number of tasks of each stage, by its name."""
        found: dict[str, int] = {}
        for name, layer in self._graph.layers.items():
            stage = name.rpartition("-")[0]
            if stage not in ("begin", "end", "job", "chunks"):
                found[stage] = found.get(stage, 0) + sum(key[1].isdecimal() for key in layer)
        return found

    def summary(self) -> Summary:
        """Tasks of each stage."""
        stages = tuple((name, f"{count:,}") for name, count in self.stages.items())
        tasks = counted(sum(self.stages.values()), "task") if stages else "nothing to do"
        return Summary(f"Job: {tasks}", (), ("stage", "tasks"), stages)

    def _repr_html_(self) -> str:
        return self.summary().html()

    def __repr__(self) -> str:
        stages = [f"{name}: {count:,}" for name, count in self.stages.items()]
        more = [f"... {len(stages) - _SHOWN} more stages"] if len(stages) > _SHOWN else []
        tasks = ", ".join([*stages[:_SHOWN], *more]) or "nothing to do"
        return f"<fusestack.Job, tasks of each stage: {tasks}>"


def _paths(results: Sequence[Ended]) -> tuple[str, ...]:
    (ended,) = results
    if isinstance(ended.value, BaseException):
        raise ended.value
    paths: tuple[str, ...] = ended.value
    return paths


def _persisted(graph: Mapping[Any, Any], key: tuple[str, str], *, rename: Mapping[str, str] | None = None) -> Job:
    name = key[0] if rename is None else rename.get(key[0], key[0])
    layer = HighLevelGraph.from_collections(name, dict(graph), dependencies=())
    return Job(layer, (name, key[1]))
