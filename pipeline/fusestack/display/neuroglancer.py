"""What is shown, in the words of neuroglancer: its files, and the state of its page."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.display.drawing import LAYER
from fusestack.display.outlines import outline_layers
from fusestack.model.errors import ConfigError
from fusestack.model.units import length_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fusestack.display.drawing import Drawing
    from fusestack.display.served import ServedImage
    from fusestack.display.stored import Outline
    from fusestack.model.image import Channel

_PANEL = 500
"""Pixels of a panel, about: the image is as large as that at first."""
_MOST_SEEN = 1200
"""Pixels along an axis of the coarsest level, where all of it is seen at first."""
_SHOWN_AT_ONCE = 12
"""More layers than that are listed at the side only."""
_SHADER = """#uicontrol invlerp contrast
#uicontrol vec3 color color
void main() { emitRGB(color * contrast()); }
"""


@dataclass(frozen=True)
class Scene:
    """What a page shows.

    Parameters
    ----------
    title : str
    images : tuple of ServedImage
        Those that are shown first; inputs are there to be switched on.
    outlines : tuple of Outline
    report : str or None
        Path of the report of the run that made it.
    drawing : Drawing or None
        Polygons that can be changed.
    """

    title: str
    images: tuple[ServedImage, ...]
    outlines: tuple[Outline, ...] = ()
    report: str | None = None
    drawing: Drawing | None = None

    @property
    def world(self) -> float:
        """Step of the axes of the page, in the unit of places."""
        first = self.first
        return _step(first)[0] / _meters(first)

    @property
    def first(self) -> ServedImage:
        """The image that says how large the page is."""
        return next(image for image in self.images if image.shown)


def client_files() -> dict[str, Path]:
    """Files of neuroglancer's client by name; its Python package brings them, and is not loaded.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    found = importlib.util.find_spec("neuroglancer")
    places = (found.submodule_search_locations if found else None) or ()
    files = {file.name: file for place in places for file in (Path(place) / "static" / "client").glob("*")}
    if "index.html" not in files:
        raise ConfigError("view needs neuroglancer; install it with: pip install 'fusestack[view]'")
    return files


def page_state(scene: Scene, source: Callable[[int], str]) -> dict[str, Any]:
    """State of the page: layers with colours and contrast, place and zoom.

    Parameters
    ----------
    scene : Scene
    source : callable
        Address of an image, by its number.
    """
    first, world = scene.first, scene.world
    step, unit = _step(first)
    dimensions: dict[str, Any] = {axis: [step, unit] for axis in "xyz"}
    if any(image.times > 1 for image in scene.images):
        dimensions["t"] = [1, ""]
    windows = [_windows(image) for image in scene.images if image.kind != "input"]
    of_channel = _by_channel(scene.images, windows)
    crowded = len(scene.images) > _SHOWN_AT_ONCE
    layers = []
    for number, image in enumerate(scene.images):
        for c, channel in enumerate(image.channels):
            window = of_channel.get((image.dtype, channel.id)) if image.kind == "input" else windows[number][c]
            layers.append(_layer(image, c, window, source(number), crowded=crowded))
    axes = {axis: dimensions[axis] for axis in "xyz"}
    layers += outline_layers(scene.outlines, axes, world)
    drawing = [] if scene.drawing is None else [scene.drawing.layer(axes, world)]
    low, high = _bounds(first)
    zoom = max(high[1:] - low[1:]) / _PANEL
    if max(first.levels[-1].shape[1:]) > _MOST_SEEN:  # all of it would be much to compute: the middle is shown
        zoom = min(zoom, 1.5 * max(_steps(first, -1)[1:]))
    return {
        "dimensions": dimensions,
        "position": [*(float(v) for v in reversed((low + high) / 2 / world)), *([0] if "t" in dimensions else [])],
        "crossSectionScale": float(zoom / world),
        "projectionScale": float(1.3 * np.linalg.norm(high - low) / world),
        "layers": layers + drawing,
        **({"selectedLayer": {"visible": True, "layer": LAYER}} if drawing else {}),
        "layout": _layout(scene),
        "showAxisLines": False,
        "crossSectionBackgroundColor": "#000000",
        "layerListPanel": {"visible": crowded},
        "title": scene.title,
    }


def _layout(scene: Scene) -> str:
    if scene.drawing is not None:
        return scene.drawing.layout
    return "xy" if all(one.shape[0] == 1 for one in scene.first.levels) else "4panel"


def _meters(image: ServedImage) -> float:
    """Unit of an image in meters; 1 where it has none."""
    return 1.0 if image.unit is None else float(length_factor(image.unit, "meter") or 1.0)


def _step(image: ServedImage) -> tuple[float, str]:
    """Step of the axes of the page: the smallest side of a pixel in its plane; and its unit."""
    return float(min(_steps(image, 0)[1:])) * _meters(image), "" if image.unit is None else "m"


def _steps(image: ServedImage, level: int) -> NDArray[np.float64]:
    """How long the sides of a pixel of a level are in the world."""
    lengths = np.ones(3) if image.to_world is None else image.to_world.column_lengths
    return lengths * image.levels[level].scale


def _bounds(image: ServedImage) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where an image begins and ends in the world, z, y, x."""
    level = image.levels[0]
    low = np.array(level.origin) - np.array(level.scale) / 2
    high = low + np.array(level.shape) * level.scale
    return (low, high) if image.to_world is None else image.to_world.bounds(low, high)


def _windows(image: ServedImage) -> list[tuple[float, float]]:
    return [image.window(c) for c in range(len(image.channels))]


def _by_channel(
    images: Sequence[ServedImage], windows: Sequence[Sequence[tuple[float, float]]]
) -> dict[tuple[str, int], tuple[float, float]]:
    """Contrast by pixel type and id of the channel: inputs have that of the fused image."""
    shown = [image for image in images if image.kind != "input"]
    pairs = [
        ((image.dtype, channel.id), window)
        for image, found in zip(shown, windows, strict=True)
        for channel, window in zip(image.channels, found, strict=True)
    ]
    return dict(reversed(pairs))


def _layer(
    image: ServedImage, c: int, window: tuple[float, float] | None, source: str, *, crowded: bool
) -> dict[str, Any]:
    channel = image.channels[c]
    low, high = window or (0.0, 1.0 if np.dtype(image.dtype).kind == "f" else float(np.iinfo(image.dtype).max))
    place: dict[str, Any] = {"url": f"zarr2://{source}"}
    if image.to_world is not None:
        place["transform"] = _transform(image)
    return {
        "type": "image",
        "name": _name(image, channel),
        "source": place,
        "localDimensions": {"c'": [1, ""]},
        "localPosition": [c],
        "shader": _SHADER,
        "shaderControls": {
            "contrast": {"range": [low, high], "window": _wider(image.dtype, low, high)},
            "color": f"#{channel.color}",
        },
        "opacity": 1,
        "blend": "default" if image.kind == "input" else "additive",
        "visible": image.shown,
        "archived": crowded and not image.shown,
    }


def _name(image: ServedImage, channel: Channel) -> str:
    return image.name if len(image.channels) == 1 else f"{image.name}: {channel.name}"


def _wider(dtype: str, low: float, high: float) -> list[float]:
    """Range of the slider of the contrast."""
    room = high - low
    if np.dtype(dtype).kind == "f":
        return [low - room / 2, high + room]
    limits = np.iinfo(dtype)
    return [max(float(limits.min), low - room / 2), min(float(limits.max), high + room)]


def _transform(image: ServedImage) -> dict[str, Any]:
    """Where an image lies that is turned: from numbers of its pixels to places in the world."""
    assert image.to_world is not None
    more = len(image.axes) - 3
    unit = "" if image.unit is None else "m"
    spatial = {axis: [_meters(image), unit] for axis in "zyx"}
    names = {"t": "t", "c": "c'"}
    dimensions = {names[axis]: [1, ""] for axis in image.axes[:more]} | spatial
    matrix = np.eye(more + 3, more + 4)
    matrix[more:, more:-1] = image.to_world.linear
    matrix[more:, -1] = image.to_world.offset
    return {"matrix": matrix.tolist(), "inputDimensions": dimensions, "outputDimensions": dimensions}
