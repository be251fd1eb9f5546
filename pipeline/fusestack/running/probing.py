"""The look at the inputs before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.sources.probe import Probed, probe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fusestack.planning.plan import Plan
    from fusestack.running.inspection import StageState


def probe_plan(plan: Plan, states: Iterable[StageState]) -> Probed:
    """Decode a chunk of every input of a plan, if there is anything left to make of them.

    Parameters
    ----------
    plan : Plan
    states : iterable of StageState
        What a run would do with its stages, see `fusestack.running.inspection.inspect`.

    Raises
    ------
    InputError
        If inputs are broken; names them.
    """
    if all(state.action == "reuse" for state in states):
        return Probed(0, 0)
    return probe(plan.samples)
