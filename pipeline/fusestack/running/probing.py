"""The look at the inputs before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusestack.running.inspection import inspect
from fusestack.sources.probe import Probed, probe

if TYPE_CHECKING:
    from fusestack.planning.plan import Plan


def probe_plan(plan: Plan, *, force: bool = False) -> Probed:
    """Decode a chunk of every input of a plan, if there is anything left to make of them.

    Raises
    ------
    InputError
        If inputs are broken; names them.
    """
    if all(state.action == "reuse" for state in inspect(plan, force=force)):
        return Probed(0, 0)
    return probe(plan.samples)
