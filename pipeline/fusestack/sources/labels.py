"""What the names of the axes of arrays mean."""

from __future__ import annotations

_COLOURS = ("colour", "color", "rgb", "rgba")


def is_colour(dim: object) -> bool:
    """Whether a dimension of that name is the colours of a photograph."""
    return str(dim).lower() in _COLOURS
