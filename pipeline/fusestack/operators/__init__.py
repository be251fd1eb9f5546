"""The operators of focus stacking: what each does, what it may be told, and how far it looks.

One class is one operator: its options are fields (with imfuse's letters beside them), `halo` says how far it looks, and
one method does the work. Whoever adds one writes the class in the module of its kind and decorates it with `operator`;
the configuration, the option string, the schema, the planner and the cache read the declaration.

The modules are loaded when somebody asks for `REGISTRY`, or imports one of them: pictures that are mixed need none.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

from fusestack.operators import base

if TYPE_CHECKING:
    from fusestack.operators.base import REGISTRY, Operator

__all__ = ["REGISTRY"]

_MODULES = ("generators", "masks", "cuts", "finals", "commands", "comparisons", "edges", "preparations")
"""In this order, messages and the schema name their operators."""


def __getattr__(name: str) -> Any:
    if name == "REGISTRY":
        return _registry()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _registry() -> dict[str, dict[str, type[Operator]]]:
    """All operators, in one order, whichever modules were loaded before."""
    names = [importlib.import_module(f"{__name__}.{module}").__name__ for module in _MODULES]
    order = {name: number for number, name in enumerate(names)}
    for kind, found in base.REGISTRY.items():
        base.REGISTRY[kind] = dict(sorted(found.items(), key=lambda one: order.get(one[1].__module__, len(order))))
    return base.REGISTRY
