"""Where inputs lie, as neuroglancer draws it: boxes, in panels as the sections that they have there."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.display.stored import Outline

MOST_OUTLINES = 3000
_MOST_TURNS = 16
"""Layers of turned boxes: each has axes of its own."""
_NAME = "outlines of the inputs"
_ALONG = 1.0
"""A box lies along axes where no corner is farther from them, in pixels."""


def outline_layers(
    outlines: Sequence[Outline], dimensions: Mapping[str, Sequence[Any]], world: float
) -> list[dict[str, Any]]:
    """Layers of boxes, one for all that are turned the same way: neuroglancer cuts only such along axes of their layer.

    Of boxes in still other directions the twelve edges are drawn, which are seen in three dimensions.

    Parameters
    ----------
    outlines : sequence of Outline
    dimensions : mapping
        Axes x, y, z of the page.
    world : float
        Their step, in the unit of places.
    """
    outlines = outlines[:MOST_OUTLINES]
    if not outlines:
        return []
    ends = np.array(list(itertools.product((0, 1), repeat=3)))
    corners = np.array(
        [one.pixel_to_place.apply(np.where(ends, np.array(one.shape) - 0.5, -0.5)) / world for one in outlines]
    )
    left = np.arange(len(outlines))
    found = []
    for turn in range(1 + _MOST_TURNS):
        to_page = np.eye(3) if turn == 0 else outlines[int(left[0])].pixel_to_place.linear / world
        local = corners[left] @ np.linalg.inv(to_page).T
        low, high = local.min(axis=1), local.max(axis=1)
        off = np.minimum(np.abs(local - low[:, None]), np.abs(local - high[:, None])).max(axis=(1, 2))
        fits = off < _ALONG
        shapes = [
            _shape("axis_aligned_bounding_box", f"{number}", outlines[number], a, b)
            for number, a, b in zip(left[fits].tolist(), low[fits], high[fits], strict=True)
        ]
        if shapes or turn == 0:
            found.append(_layer(_NAME if turn == 0 else f"{_NAME}, turned {turn}", dimensions, to_page, shapes))
        left = left[~fits]
        if not left.size:
            return [layer for layer in found if layer["annotations"]]
    for number in left.tolist():
        found[0]["annotations"] += _edges(f"{number}", outlines[number], corners[number], ends)
    return found


def _layer(
    name: str, dimensions: Mapping[str, Sequence[Any]], to_page: NDArray[np.float64], shapes: list[dict[str, Any]]
) -> dict[str, Any]:
    axes = {axis: list(dimensions[axis]) for axis in "xyz"}
    transform: dict[str, Any] = {"outputDimensions": axes}
    if not np.array_equal(to_page, np.eye(3)):
        matrix = np.zeros((3, 4))
        matrix[:, :3] = to_page[::-1, ::-1]
        transform |= {"matrix": matrix.tolist(), "inputDimensions": axes}
    return {
        "type": "annotation",
        "name": name,
        "source": {"url": "local://annotations", "transform": transform},
        "annotations": shapes,
        "annotationColor": "#ffb000",
        "shader": "void main() { setColor(defaultColor()); setBoundingBoxFillColor(vec4(0, 0, 0, 0)); }",
    }


def _edges(
    name: str, outline: Outline, corners: NDArray[np.float64], ends: NDArray[np.int64]
) -> Iterator[dict[str, Any]]:
    pairs = [(a, b) for a, b in itertools.combinations(range(8), 2) if np.count_nonzero(ends[a] != ends[b]) == 1]
    for number, (a, b) in enumerate(pairs):
        yield _shape("line", f"{name}.{number}", outline, corners[a], corners[b])


def _shape(kind: str, name: str, outline: Outline, a: NDArray[np.float64], b: NDArray[np.float64]) -> dict[str, Any]:
    points = {"pointA": a[::-1].tolist(), "pointB": b[::-1].tolist()}
    return {"type": kind, "id": name, **points, "description": outline.name}
