"""A still picture of a volume: middle planes and maximum projections along every axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

    from fusestack.model.geometry import Float3

_PANEL = 460
_PICTURE = 960
_GAP = 12
_TEXT = 22
_INK = (230, 230, 230)
_PAPER = (24, 24, 28)
_PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class Volume:
    """A small volume, ready to be drawn.

    Parameters
    ----------
    channels : tuple of array[z, y, x]
    colors : tuple of str
        ``RRGGBB`` of every channel.
    pixel_size : (float, float, float)
        z, y, x.
    unit : str
    title : str
    """

    channels: tuple[NDArray[Any], ...]
    colors: tuple[str, ...]
    pixel_size: Float3
    unit: str
    title: str


def draw(volume: Volume) -> Image.Image:
    """Draw middle planes (top) and maximum projections (bottom) seen along z, y and x, to one scale."""
    from PIL import Image, ImageDraw

    limits = [_limits(channel) for channel in volume.channels]
    if volume.channels[0].shape[0] == 1:
        return _flat(volume, limits)
    rows = []
    for kind in ("middle", "maximum"):
        rows.append([_panel(volume, limits, axis, kind) for axis in (0, 1, 2)])
    widths = [max(row[i].width for row in rows) for i in range(3)]
    heights = [max(panel.height for panel in row) for row in rows]
    size = (sum(widths) + 4 * _GAP, sum(heights) + 3 * _GAP + 3 * _TEXT)
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 6), volume.title, fill=_INK)
    y = _TEXT
    for row, height, kind in zip(rows, heights, ("middle plane", "maximum projection"), strict=True):
        x = _GAP
        for panel, width, name in zip(row, widths, ("xy", "xz", "yz"), strict=True):
            pen.text((x, y + 5), f"{kind} {name}", fill=_INK)
            sheet.paste(panel, (x, y + _TEXT))
            x += width + _GAP
        y += _TEXT + height + _GAP
    _scale_bar(pen, volume, (_GAP, size[1] - 12))
    return sheet


def _flat(volume: Volume, limits: list[tuple[float, float]]) -> Image.Image:
    """Draw a single plane; colours that belong together, as those of a photograph, keep their proportions."""
    from PIL import Image, ImageDraw

    if sorted(volume.colors) == ["0000FF", "00FF00", "FF0000"]:
        limits = [(min(low for low, _ in limits), max(high for _, high in limits))] * 3
    panel = _panel(volume, limits, 0, "middle", _PICTURE)
    sheet = Image.new("RGB", (panel.width + 2 * _GAP, panel.height + 2 * _GAP + 2 * _TEXT), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 6), volume.title, fill=_INK)
    sheet.paste(panel, (_GAP, _TEXT))
    _scale_bar(pen, volume, (_GAP, sheet.height - 12), _PICTURE)
    return sheet


def save(volume: Volume, path: Path) -> None:
    """Draw a volume into a PNG or JPEG file.

    Raises
    ------
    OutputError
        If the suffix is unknown or the file cannot be written.
    """
    from fusestack.model.errors import OutputError

    try:
        draw(volume).save(path)
    except ValueError as error:
        raise OutputError(f"{path}: pictures are written as .png or .jpg; change the name") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; choose another place") from error


def drawn_part(shape: Sequence[int], most: int) -> Box:
    """The whole of a volume z, y, x where it has at most `most` pixels, else its middle: memory is bounded."""
    start, stop = [0, 0, 0], list(shape)
    while (box := Box(tuple(start), tuple(stop))).size > most:
        axis = int(np.argmax(box.shape))
        length = box.shape[axis]
        start[axis] += length // 4
        stop[axis] = start[axis] + length // 2
    return box


def _limits(channel: NDArray[Any]) -> tuple[float, float]:
    """Grey values that become black and white; 0 and NaN, which stand for no data, do not count."""
    data = channel[np.isfinite(channel) & (channel != 0)]
    if not data.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(data, _PERCENTILES))
    return (low, high) if high > low else (min(0.0, low - 1), low)  # one value, such as a mask's, is white


def _panel(
    volume: Volume, limits: list[tuple[float, float]], axis: int, kind: str, longest: int = _PANEL
) -> Image.Image:
    from PIL import Image

    picture: NDArray[np.float32] | None = None
    for channel, color, (low, high) in zip(volume.channels, volume.colors, limits, strict=True):
        data = channel if channel.dtype.kind in "iu" else np.nan_to_num(channel, nan=0.0)
        plane = data.max(axis=axis) if kind == "maximum" else data.take(data.shape[axis] // 2, axis=axis)
        plane = plane.astype(np.float32)
        if axis == 2:
            plane = plane.T
        grey = np.clip((plane - low) / (high - low), 0, 1)[..., None]
        ink = np.array([int(color[i : i + 2], 16) for i in (0, 2, 4)], dtype=np.float32)
        picture = grey * ink if picture is None else picture + grey * ink
    assert picture is not None
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    scale = _scale(volume, longest)
    heights, widths = {0: (1, 2), 1: (0, 2), 2: (1, 0)}[axis]
    size = [max(1, round(volume.channels[0].shape[a] * volume.pixel_size[a] * scale)) for a in (widths, heights)]
    return image.resize((size[0], size[1]), Image.Resampling.BILINEAR)


def _scale(volume: Volume, longest: int) -> float:
    """Pixels of the picture per unit; the longest side fills a panel."""
    sides = [n * s for n, s in zip(volume.channels[0].shape, volume.pixel_size, strict=True)]
    return float(longest / max(sides))


def _scale_bar(pen: Any, volume: Volume, place: tuple[int, int], longest: int = _PANEL) -> None:
    wanted = longest / 4 / _scale(volume, longest)
    power = 10.0 ** np.floor(np.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    width = round(length * _scale(volume, longest))
    x, y = place
    pen.rectangle((x, y, x + width, y + 3), fill=_INK)
    pen.text((x + width + 8, y - 6), f"{length:g} {volume.unit}", fill=_INK)
