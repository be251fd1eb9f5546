"""The Python interface: thin functions over the rooms that do the work."""

from fusestack.api.configured import graph, open_project, plan, run
from fusestack.api.fusing import design, fuse
from fusestack.api.stacking import focus_stack
from fusestack.api.submitting import cancel, submit
from fusestack.api.tuning import tune
from fusestack.api.writing import write

__all__ = ["cancel", "design", "focus_stack", "fuse", "graph", "open_project", "plan", "run", "submit", "tune", "write"]
