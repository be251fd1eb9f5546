"""Arithmetic on arrays, nothing else: no files, no configuration, no scheduler.

The modules load numba, so each is imported on first use: ``fuse`` (weighted average) with
``views`` (what it must know of views), ``downsample``, ``convert``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusestack.kernels import convert, downsample, fuse, views

__all__ = ["convert", "downsample", "fuse", "views"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
