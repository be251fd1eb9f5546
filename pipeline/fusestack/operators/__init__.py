"""The operators of focus stacking: what each does, what it may be told, and how far it looks.

One class is one operator: its options are fields (with imfuse's letters beside them), `halo` says how far it looks, and
one method does the work. Whoever adds one writes the class in the module of its kind and decorates it with `operator`;
the configuration, the option string, the schema, the planner and the cache read the declaration.
"""

from __future__ import annotations

from fusestack.operators import commands, comparisons, cuts, edges, finals, generators, masks, preparations
from fusestack.operators.base import REGISTRY, Operator, Place

__all__ = [
    "REGISTRY",
    "Operator",
    "Place",
    "commands",
    "comparisons",
    "cuts",
    "edges",
    "finals",
    "generators",
    "masks",
    "preparations",
]
