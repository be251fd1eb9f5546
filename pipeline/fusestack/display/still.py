"""A still picture of a volume: middle planes and maximum projections along every axis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

    from fusestack.model.geometry import Float3

_GROUP = 560
_PICTURE = 960
_SMALL = 270
_IN_A_ROW = 4
_SEAM = 3
_LABEL = 250
_BAR = 120
_GAP = 12
_TEXT = 22
_INK = (230, 230, 230)
_PAPER = (24, 24, 28)
_PERCENTILES = (0.1, 99.9)
_RGB = ["0000FF", "00FF00", "FF0000"]


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
    names : tuple of str
        Of every channel, which are drawn one by one then.
    """

    channels: tuple[NDArray[Any], ...]
    colors: tuple[str, ...]
    pixel_size: Float3
    unit: str
    title: str
    names: tuple[str, ...] = ()

    @property
    def sides(self) -> Float3:
        """Lengths of its sides, z, y, x."""
        z, y, x = (n * s for n, s in zip(self.channels[0].shape, self.pixel_size, strict=True))
        return (z, y, x)


def draw(volume: Volume) -> Image.Image:
    """Draw middle planes and maximum projections seen along z, y and x, to one scale, and each channel for itself."""
    from PIL import Image, ImageDraw

    limits = [_limits(channel) for channel in volume.channels]
    single = volume.channels[0].shape[0] == 1
    if single and sorted(volume.colors) == _RGB:
        # colours that belong together, as those of a photograph, keep their proportions
        limits = [(min(low for low, _ in limits), max(high for _, high in limits))] * 3
    if single:
        scale = _PICTURE / max(volume.sides[1:])
        groups = [("", _panel(volume, limits, 0, "middle", scale))]
    else:
        scale = _GROUP / (max(volume.sides[1:]) + volume.sides[0])
        groups = [
            ("middle planes: xy, below it xz, beside it yz", _planes(volume, limits, "middle", scale)),
            ("maximum projections", _planes(volume, limits, "maximum", scale)),
        ]
    rows = [groups] if groups[0][1].width < 1.5 * groups[0][1].height else [[group] for group in groups]
    each = _each_channel(volume, limits)
    rows += [each[i : i + _IN_A_ROW] for i in range(0, len(each), _IN_A_ROW)]
    width = max(sum(max(picture.width, _LABEL) + _GAP for _, picture in row) for row in rows)
    height = sum(_row_height(row) for row in rows)
    sheet = Image.new("RGB", (width + _GAP, height + 2 * _TEXT), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 6), volume.title, fill=_INK)
    _scale_bar(pen, volume, (_GAP, sheet.height - 12), scale)
    y = _TEXT
    for row in rows:
        x = _GAP
        for label, picture in row:
            pen.text((x, y + 4), label, fill=_INK)
            sheet.paste(picture, (x, y + _TEXT))
            x += max(picture.width, _LABEL) + _GAP
        y += _row_height(row)
    return sheet


def _row_height(row: Sequence[tuple[str, Image.Image]]) -> int:
    return max(picture.height for _, picture in row) + _GAP + _TEXT


def _planes(volume: Volume, limits: Sequence[tuple[float, float]], kind: str, scale: float) -> Image.Image:
    """Planes or projections along z, y and x as a building is drawn: seen from the front and from the side beside."""
    from PIL import Image

    front, below, beside = (_panel(volume, limits, axis, kind, scale) for axis in (0, 1, 2))
    size = (front.width + beside.width + _SEAM, front.height + below.height + _SEAM)
    picture = Image.new("RGB", size, _PAPER)
    picture.paste(front, (0, 0))
    picture.paste(below, (0, front.height + _SEAM))
    picture.paste(beside, (front.width + _SEAM, 0))
    return picture


def _each_channel(volume: Volume, limits: Sequence[tuple[float, float]]) -> list[tuple[str, Image.Image]]:
    """Maximum projections of the channels, each alone, with their names; none of a single one and of photographs."""
    if len(volume.channels) == 1 or not volume.names or sorted(volume.colors) == _RGB:
        return []
    scale = _SMALL / max(volume.sides[1:])
    return [
        (
            f"channel {name}" if name.isdecimal() else name,
            _panel(replace(volume, channels=(channel,), colors=(color,)), [limit], 0, "maximum", scale),
        )
        for name, channel, color, limit in zip(volume.names, volume.channels, volume.colors, limits, strict=True)
    ]


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


def _panel(volume: Volume, limits: Sequence[tuple[float, float]], axis: int, kind: str, scale: float) -> Image.Image:
    from PIL import Image

    picture: NDArray[np.float32] = np.zeros((), np.float32)
    for channel, color, (low, high) in zip(volume.channels, volume.colors, limits, strict=True):
        data = channel if channel.dtype.kind in "iu" else np.nan_to_num(channel, nan=0.0)
        plane = data.max(axis=axis) if kind == "maximum" else data.take(data.shape[axis] // 2, axis=axis)
        plane = plane.astype(np.float32)
        if axis == 2:
            plane = plane.T
        grey = np.clip((plane - low) / (high - low), 0, 1)
        if picture.ndim == 0:
            picture = np.zeros((*grey.shape, 3), np.float32)
        for place, ink in enumerate(_ink(color)):
            if ink:
                picture[..., place] += grey * np.float32(ink)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    heights, widths = {0: (1, 2), 1: (0, 2), 2: (1, 0)}[axis]
    size = [max(1, round(volume.channels[0].shape[a] * volume.pixel_size[a] * scale)) for a in (widths, heights)]
    return image.resize((size[0], size[1]), Image.Resampling.BILINEAR)


def _ink(color: str) -> tuple[int, int, int]:
    """Red, green and blue of ``RRGGBB``."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (0, 2, 4))
    return red, green, blue


def _scale_bar(pen: Any, volume: Volume, place: tuple[int, int], scale: float) -> None:
    """Draw a bar of a round length; `scale` is in pixels of the picture per unit."""
    wanted = _BAR / scale
    power = 10.0 ** np.floor(np.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    width = round(length * scale)
    x, y = place
    pen.rectangle((x, y, x + width, y + 3), fill=_INK)
    pen.text((x + width + 8, y - 6), f"{length:g} {volume.unit}", fill=_INK)
