"""What the names of the axes of arrays mean."""

from __future__ import annotations

_COLOURS = ("colour", "color", "rgb", "rgba")


def is_colour(dim: object) -> bool:
    """Whether a dimension of that name is the colours of a photograph."""
    return str(dim).lower() in _COLOURS


AXES_BY_NAME = {
    **{axis: axis for axis in "tczyx"},
    "time": "t",
    "channel": "c",
    "depth": "z",
    "plane": "z",
    "row": "y",
    "column": "x",
    "col": "x",
}
"""Axes by the names of dimensions in small letters."""
