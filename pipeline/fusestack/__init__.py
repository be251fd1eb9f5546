"""Fuse and focus-stack microscope images of any size.

The public names are loaded on first use, so that the command line starts quickly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusestack.api.configured import graph, open_project, plan, run
    from fusestack.api.fusing import fuse
    from fusestack.api.stacking import focus_stack
    from fusestack.api.submitting import cancel, submit
    from fusestack.api.tuning import tune
    from fusestack.api.writing import write
    from fusestack.model.errors import (
        BlockError,
        ConfigError,
        FusestackError,
        FusestackWarning,
        InputError,
        OutputError,
    )
    from fusestack.model.view import View
    from fusestack.planning.plan import Plan
    from fusestack.project.model import Project
    from fusestack.running.report import RunReport
    from fusestack.taskgraph.collection import Job

__version__ = "0.1.0"
__all__ = [
    "BlockError",
    "ConfigError",
    "FusestackError",
    "FusestackWarning",
    "InputError",
    "Job",
    "OutputError",
    "Plan",
    "Project",
    "RunReport",
    "View",
    "__version__",
    "cancel",
    "focus_stack",
    "fuse",
    "graph",
    "open_project",
    "plan",
    "run",
    "submit",
    "tune",
    "write",
]

_PLACES = {
    "fusestack.api.configured": ("graph", "open_project", "plan", "run"),
    "fusestack.api.fusing": ("fuse",),
    "fusestack.api.stacking": ("focus_stack",),
    "fusestack.api.submitting": ("cancel", "submit"),
    "fusestack.api.tuning": ("tune",),
    "fusestack.api.writing": ("write",),
    "fusestack.model.errors": (
        "BlockError",
        "ConfigError",
        "FusestackError",
        "FusestackWarning",
        "InputError",
        "OutputError",
    ),
    "fusestack.model.view": ("View",),
    "fusestack.planning.plan": ("Plan",),
    "fusestack.project.model": ("Project",),
    "fusestack.running.report": ("RunReport",),
    "fusestack.taskgraph.collection": ("Job",),
}
"""Where each public name is; a name goes here, above for type checkers, and into ``__all__``."""


def __getattr__(name: str) -> Any:
    for place, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(place), name)
    message = f"module 'fusestack' has no attribute '{name}'"
    if not name.startswith("_"):
        import difflib

        near = difflib.get_close_matches(name, __all__, 1)
        message += f" (did you mean '{near[0]}'?)" if near else f"; it has {', '.join(__all__)}"
    raise AttributeError(message, name=name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
