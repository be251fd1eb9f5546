"""The graph of a plan as a dask collection."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fusestack.model.errors import OutputError
from fusestack.running.aligning import refuse_pending
from fusestack.running.damage import find_damage
from fusestack.running.inspection import check_outputs, inspect
from fusestack.running.provenance import write_statistics
from fusestack.running.units import units_of
from fusestack.taskgraph.chunks import ChunkTasks
from fusestack.taskgraph.collection import Job
from fusestack.taskgraph.job import Todo, build_graph
from fusestack.taskgraph.ledger import ledger_of
from fusestack.taskgraph.turns import new_token

if TYPE_CHECKING:
    from fusestack.planning.plan import Plan


def job_of_plan(plan: Plan) -> Job:
    """What is missing of a plan, as a collection; reads records only.

    Raises
    ------
    OutputError
        If an output exists that this plan did not make, or is damaged: only a run under its lock mends that.
    """
    refuse_pending(plan)
    check_outputs(plan)
    damage = find_damage(plan)
    if damage:
        raise OutputError(*(f"{line} by 'fusestack run'" for line in damage.said))
    states = inspect(plan)
    token = new_token()
    units = units_of(plan, states, pinned=True, token=token)
    begun = {state.stage.key for state in states if state.done}
    missing = {stage.key: ~ledger_of(stage).done for unit in units for stage in unit.stages}
    for key, blocks in missing.items():
        if key not in begun:  # what its ledger says is of an image that is gone
            blocks[:] = True
    resources = plan.resources
    todo, memory = Todo(missing, missing), resources.block_bytes
    chunks = ChunkTasks.of(stage for unit in units for stage in unit.stages)
    graph = build_graph(
        units, todo, workers=resources.workers, memory=memory, chunks=chunks, guarded=False, token=token
    )
    close = None if plan.statistics is None else partial(write_statistics, plan.statistics)
    return Job.of_graph(graph, [image.target.image.path for image in plan.images], close)
