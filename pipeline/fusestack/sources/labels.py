"""What the labels of arrays mean: names of axes, and coordinates along them; one set of rules for all readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AXES = {
    **{axis: axis for axis in "tczyx"},
    "time": "t",
    "channel": "c",
    "depth": "z",
    "plane": "z",
    "row": "y",
    "column": "x",
    "col": "x",
}
_COLOURS = ("colour", "color", "rgb", "rgba")
_UNEVEN = 0.01  # of a step: coordinates in float32 are not even


def axis_of(dim: object) -> str:
    """Letter of t, c, z, y, x for the name of a dimension or coordinate, in small letters or not; empty for others.

    The long names ``time``, ``channel``, ``depth`` or ``plane`` (z), ``row`` (y), ``column`` or ``col`` (x) are known.

    Examples
    --------
    >>> axis_of("Z"), axis_of("plane"), axis_of("wavelength")
    ('z', 'z', '')
    """
    return _AXES.get(str(dim).lower(), "")


def is_colour(dim: object) -> bool:
    """Whether a dimension of that name is the colours of a photograph."""
    return str(dim).lower() in _COLOURS


def even_line(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """First of two or more coordinates, and their signed step; None where they are not even, or all the same.

    Examples
    --------
    >>> even_line(np.array([3.0, 2.5, 2.0]))
    (3.0, -0.5)
    >>> even_line(np.array([0.0, 1.0, 3.0]))
    """
    first = float(values[0])
    step = (float(values[-1]) - first) / (len(values) - 1)
    even = np.abs(values - (first + step * np.arange(len(values)))).max() <= _UNEVEN * abs(step)
    return (first, step) if step and even else None
