"""The time from one fused timepoint to the next, as the files of the views say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.units import TimeStep
    from fusestack.model.view import View

_SAME = 1e-3


def time_of(views: Sequence[View], timepoints: Sequence[int], warnings: list[str]) -> TimeStep | None:
    """Step from one of some timepoints to the next; None where nobody says it, or they are not even.

    Parameters
    ----------
    views : sequence of View
        The first one that says a step is believed; others that say another one are told.
    timepoints : sequence of int
        Ids of those that are fused, ascending.
    warnings : list of str
        What should be said is added.
    """
    told = [view for view in views if view.time is not None]
    if not told or len(timepoints) < 2 or told[0].time is None:
        return None
    step = told[0].time
    for view in told:
        if view.time is not None and abs(view.time.seconds - step.seconds) > _SAME * step.seconds:
            warnings.append(
                f"the time step is {step} of {told[0].name or told[0].id}, {view.time} of {view.name or view.id}; the "
                "first one is used"
            )
            break
    found = step.of(timepoints)
    if found is None:
        listed = ", ".join(map(str, timepoints[:5])) + (" ..." if len(timepoints) > 5 else "")
        warnings.append(f"the time step of {step} is not used: the timepoints {listed} are not evenly apart")
    return found
