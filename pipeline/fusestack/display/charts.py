"""Drawings for the report: a histogram with its axes, how many views lie where, and a depth map with its scale."""

from __future__ import annotations

import base64
import io
import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from PIL import Image

    from fusestack.display.still import Volume
    from fusestack.fusion.view_table import ViewTable

_BINS = 128
_WIDTH, _HEIGHT = 640, 200
_LEFT, _BOTTOM, _TOP = 56, 34, 8
_MAP = 360
_MOST_CELLS = 256
_MOST_HEIGHTS = 64
_BAR = 16
# Dark blue over green to yellow: equal steps look equal, also in grey (matplotlib's viridis at five places).
_SCALE = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float32)


def histogram(volume: Volume) -> str:
    """Values of the drawn level and how many pixels have them, one line per channel; counts are logarithmic.

    Pixels that show nothing are left out: of floating point those that are no number, of integers those of value 0.
    """
    floating = all(channel.dtype.kind == "f" for channel in volume.channels)
    data = [channel[np.isfinite(channel) & (floating | (channel != 0))] for channel in volume.channels]
    if not any(values.size for values in data):
        return "<p>no pixel differs from 0</p>"
    low = min(float(values.min()) for values in data if values.size)
    high = max(float(values.max()) for values in data if values.size)
    high = high if high > low else low + 1
    counts = [_counts(values, low, high) for values in data]
    decades = max(1, math.ceil(math.log10(max(int(count.max()) for count in counts) + 1)))
    across, down = _WIDTH - _LEFT - 8, _HEIGHT - _TOP - _BOTTOM
    parts = []
    for decade in range(decades + 1):
        y = _TOP + down * (1 - decade / decades)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + across}" y2="{y:.1f}" stroke="#444"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_count(10**decade)}</text>')
    for value in _ticks(low, high):
        x = _LEFT + across * (value - low) / (high - low)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP + down}" x2="{x:.1f}" y2="{_TOP + down + 5}" stroke="#bbb"/>')
        parts.append(f'<text x="{x:.1f}" y="{_TOP + down + 18}" text-anchor="middle">{value:g}</text>')
    for count, color in zip(counts, volume.colors, strict=True):
        heights = down * np.log10(count + 1) / decades
        points = " ".join(
            f"{_LEFT + across * (i + 0.5) / _BINS:.1f},{_TOP + down - height:.1f}" for i, height in enumerate(heights)
        )
        parts.append(f'<polyline fill="none" stroke="#{color}" points="{points}"/>')
    names = volume.names if len(volume.names) == len(volume.colors) and len(volume.names) > 1 else ()
    legend = "".join(
        f'<text x="{_LEFT + across - 6}" y="{_TOP + 16 * (i + 1)}" text-anchor="end" style="fill: #{color}">'
        f"{escape(name)}</text>"
        for i, (name, color) in enumerate(zip(names, volume.colors, strict=False))
    )
    left_out = "no number" if floating else "value 0"
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(parts)}{legend}'
        f'<text x="{_LEFT + across / 2}" y="{_HEIGHT - 2}" text-anchor="middle">grey value</text></svg>'
        f"<p>Pixels of the drawn level by their value; those that show nothing ({left_out}) are left out.</p>"
    )


def _count(number: int) -> str:
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number // size}{letter}"
    return str(number)


def _counts(values: NDArray[Any], low: float, high: float) -> NDArray[np.int64]:
    """How many values lie in each bin; those of photographs are counted one by one first, in a fifth of the time."""
    if values.dtype.kind != "u" or values.dtype.itemsize > 2:
        return np.histogram(values, bins=_BINS, range=(low, high))[0]
    weights = np.bincount(values, minlength=int(high) + 1)
    return np.histogram(np.arange(weights.size), bins=_BINS, range=(low, high), weights=weights)[0]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, about six."""
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(m * power for m in (1, 2, 5, 10) if (high - low) / (m * power) <= 7)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def views_map(tables: Iterable[ViewTable], shape: tuple[int, ...]) -> str:
    """How many views lie over one another, seen along z: the most at any place of a column.

    Parameters
    ----------
    tables : iterable of ViewTable
        Of one timepoint and channel each; the greatest number of any of them is shown.
    shape : tuple of int
        Of the image, z, y, x.
    """
    cell = max(1, math.ceil(max(shape[1:]) / _MOST_CELLS))
    most = count_views(tables, shape, cell)
    top = max(1, int(most.max()))
    words = f"views over one another, by their boxes, seen along z; cells of {cell:,} x {cell:,} pixels"
    return _with_scale(_colored(most / top), "0", f"{top:,}", words)


def count_views(tables: Iterable[ViewTable], shape: tuple[int, ...], cell: int) -> NDArray[np.int64]:
    """The most views whose boxes lie over one another anywhere along z, for each cell of some pixels, int64[y, x]."""
    rows, columns = (-(-n // cell) for n in shape[1:])
    most = np.zeros((rows, columns), np.int64)
    for table in tables:
        starts, stops = np.clip(table.bounds[:, 0], 0, shape), np.clip(table.bounds[:, 1], 0, shape)
        inside = (stops > starts).all(axis=1)
        starts, stops = starts[inside], stops[inside]
        firsts = np.unique(starts[:, 0])  # a column is fullest where one of its views begins
        for first in firsts[:: -(-len(firsts) // _MOST_HEIGHTS) or 1]:
            here = (starts[:, 0] <= first) & (stops[:, 0] > first)
            low, high = starts[here, 1:] // cell, -(-stops[here, 1:] // cell)
            change = np.zeros((rows + 1, columns + 1), np.int64)
            for y, ys in ((low[:, 0], 1), (high[:, 0], -1)):
                for x, xs in ((low[:, 1], 1), (high[:, 1], -1)):
                    np.add.at(change, (y, x), ys * xs)
            most = np.maximum(most, change.cumsum(axis=0).cumsum(axis=1)[:-1, :-1])
    return most


def depth_map(volume: Volume, what: str, unit: str) -> str:
    """A depth map in colours, with a scale from its least to its greatest value; where nothing is sharp it is black."""
    plane = volume.channels[0].max(axis=0).astype(np.float32)
    known = np.isfinite(plane)
    if not known.any():
        return "<p>nothing is sharp anywhere</p>"
    low, high = float(plane[known].min()), float(plane[known].max())
    share = (np.nan_to_num(plane, nan=low) - low) / (high - low if high > low else 1)
    picture = _colored(share)
    picture[~known] = 0
    return _with_scale(picture, f"{low:.4g}", f"{high:.4g}", f"{what}, {unit}")


def _colored(share: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers 0..1 in colours: uint8[y, x, 3]."""
    place = np.clip(share, 0, 1) * (len(_SCALE) - 1)
    left = np.minimum(place.astype(np.int64), len(_SCALE) - 2)
    part = (place - left)[..., None]
    return np.asarray(_SCALE[left] * (1 - part) + _SCALE[left + 1] * part + 0.5, np.uint8)


def _with_scale(picture: NDArray[np.uint8], low: str, high: str, words: str) -> str:
    """A picture beside a bar of its colours."""
    from PIL import Image

    drawn = Image.fromarray(picture)
    factor = _MAP / max(drawn.size) if max(drawn.size) < _MAP else min(1.0, 2 * _MAP / max(drawn.size))
    size = (max(1, round(drawn.width * factor)), max(1, round(drawn.height * factor)))
    drawn = drawn.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BILINEAR)
    bar = Image.fromarray(np.repeat(_colored(np.linspace(1, 0, _MAP)[:, None]), _BAR, axis=1))
    return (
        f'<figure class="map"><img alt="{escape(words)}" src="{inline(drawn)}">'
        f'<div><span>{escape(high)}</span><img alt="" src="{inline(bar)}" style="height: 8rem; width: 1rem">'
        f"<span>{escape(low)}</span></div><figcaption>{escape(words)}</figcaption></figure>"
    )


def inline(picture: Image.Image) -> str:
    """A picture as an address that holds it."""
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=90, subsampling=0)  # PNG takes 30 times as long
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
