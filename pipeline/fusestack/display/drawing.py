"""Areas to be retouched, as polygons that somebody draws in the page of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusestack.config.focus import Retouch
    from fusestack.model.geometry import Affine

LAYER = "retouch"
_FEWEST_CORNERS = 3
_AS_BEFORE = 1e-3
"""Pixels: corners that nobody moved."""


@dataclass(frozen=True)
class Drawing:
    """A layer of polygons, each in the slice that it lies in.

    Parameters
    ----------
    areas : tuple of Retouch
        Those that are there at first.
    to_world : Affine
        Slice, row and column to places z, y, x.
    slices : int
    """

    areas: tuple[Retouch, ...]
    to_world: Affine
    slices: int

    @property
    def layout(self) -> str:
        """The panel that shows slices."""
        return ("xy", "xz", "yz")[int(np.argmax(np.abs(self.to_world.linear[:, 0])))]

    def layer(self, dimensions: Mapping[str, Sequence[Any]], world: float) -> dict[str, Any]:
        """The layer of a page, with the tool for polygons.

        Parameters
        ----------
        dimensions : mapping
            Axes x, y, z of the page.
        world : float
            Their step, in the unit of places.
        """
        return {
            "type": "annotation",
            "name": LAYER,
            "source": {"url": "local://annotations", "transform": {"outputDimensions": dict(dimensions)}},
            "tool": "annotatePolyline",
            "tab": "annotations",
            "annotationColor": "#00e5ff",
            "annotations": [
                {"type": "polyline", "id": f"area{number}", "points": self._points(area, world)}
                for number, area in enumerate(self.areas)
            ],
        }

    def _points(self, area: Retouch, world: float) -> list[list[float]]:
        """The corners, and the first one once more, in axes of the page x, y, z."""
        corners = np.array([(area.slice, y, x) for x, y in (*area.polygon, area.polygon[0])], np.float64)
        found: list[list[float]] = (self.to_world.apply(corners) / world)[:, ::-1].tolist()
        return found

    @property
    def first(self) -> list[dict[str, Any]]:
        """Those that are there at first, as a configuration says them."""
        return [_said(area) for area in self.areas]

    def drawn(self, state: Any, world: float) -> list[dict[str, Any]] | None:
        """Areas of the state of a page, as a configuration says them; None where it has no such layer.

        What has no three corners is no area; one that was there before is what it was, to the last digit.
        """
        try:
            layer = next((one for one in state["layers"] if one.get("name") == LAYER), None)
            shapes = [] if layer is None else layer.get("annotations") or []
            found = [self._area(shape["points"], world) for shape in shapes if shape.get("type") == "polyline"]
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        return None if layer is None else [area for area in found if area is not None]

    def _area(self, points: Sequence[Sequence[float]], world: float) -> dict[str, Any] | None:
        corners = np.array([[*map(float, point)][2::-1] for point in points], np.float64)
        if corners.shape[1:] != (3,):
            return None
        places = self.to_world.inverse().apply(corners * world)
        if len(places) > 1 and np.allclose(places[0], places[-1], atol=0.5):
            places = places[:-1]  # it is closed anyway
        k = int(np.clip(np.floor(np.median(places[:, 0]) + 0.5), 0, self.slices - 1))
        polygon = [[round(float(x), 1), round(float(y), 1)] for _, y, x in places]
        for area in self.areas:
            same = area.slice == k and len(area.polygon) == len(polygon)
            if same and np.allclose(area.polygon, places[:, :0:-1], rtol=0, atol=_AS_BEFORE):
                return _said(area)
        return None if len(set(map(tuple, polygon))) < _FEWEST_CORNERS else {"slice": k, "polygon": polygon}


def _said(area: Retouch) -> dict[str, Any]:
    return area.model_dump(mode="json", exclude_none=True)
