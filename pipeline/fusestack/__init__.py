"""Fuse and focus-stack microscope images of any size.

The public names are loaded on first use, so that the command line starts quickly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusestack.api import focus_stack, fuse, graph, open_project, plan, run, write

__version__ = "0.1.0"
__all__ = ["__version__", "focus_stack", "fuse", "graph", "open_project", "plan", "run", "write"]


def __getattr__(name: str) -> Any:
    if name in {"focus_stack", "fuse", "graph", "open_project", "plan", "run", "write"}:
        return getattr(importlib.import_module("fusestack.api"), name)
    raise AttributeError(f"module 'fusestack' has no attribute '{name}'")
