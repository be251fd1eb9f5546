"""Picture files as outputs: their suffixes, how they are cut, what their channels and notes are."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.model.image import OME_TIFF_SUFFIXES, PICTURE_SUFFIXES, Channel, Codec
from fusestack.model.units import length_factor
from fusestack.planning.layout import cut_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusestack.model.geometry import Int3
    from fusestack.model.image import Level

CODEC = Codec("zstd", 3)
"""Of pictures whose format leaves a choice, and of the planes that are stored beside them."""

_CHUNK, _BLOCK = 512, 1024
_COLOURS = {"R": "FF0000", "G": "00FF00", "B": "0000FF", "A": "000000"}
_INCH = 25400.0


def split_suffix(path: str) -> tuple[str, str]:
    """Path without its suffix, and the suffix; ``.ome.zarr`` and the like are one."""
    for suffix in (".ome.zarr", *OME_TIFF_SUFFIXES):
        if path.lower().endswith(suffix):
            return path[: -len(suffix)], path[-len(suffix) :]
    plain = Path(path)
    return path[: len(path) - len(plain.suffix)], plain.suffix


def picture_suffix(path: str) -> str:
    """Suffix that says the format of a picture, in small letters: ``.tif`` of ``.ome.tif``, too."""
    return Path(path).suffix.lower()


def is_picture(path: str) -> bool:
    """Whether a suffix says a picture: TIFF, OME-TIFF, PNG or JPEG."""
    return picture_suffix(path) in PICTURE_SUFFIXES


def plane_levels(shape: tuple[int, ...], factors: Sequence[Int3] = ((1, 1, 1),), *, stored: bool) -> tuple[Level, ...]:
    """Cut planes t, c, z, y, x: stored in chunks and shards, or those of a picture, whose blocks have all colours."""
    if stored:
        return cut_levels(shape, factors, (1, _CHUNK, _CHUNK), None, sharded=True)
    side = (1, _BLOCK, _BLOCK)
    levels = cut_levels(shape, factors, side, side, sharded=False)
    colours = shape[1]
    return tuple(
        replace(one, chunks=(1, colours, *one.chunks[2:]), block=(1, colours, *one.block[2:])) for one in levels
    )


def colour_channel(number: int, name: str) -> Channel:
    """A colour of a photograph for viewers, which add up channels in their colours: opacity is black."""
    return Channel(number, name, _COLOURS.get(name, "FFFFFF"))


def pixels_per_inch(size: tuple[float, float], unit: str | None) -> float | None:
    """Resolution that says the physical size of a pixel along y and x; None where these differ, or nothing says it."""
    height, width = size
    micrometres = length_factor(unit, "micrometer") if unit else None
    square = math.isclose(height, width, rel_tol=1e-3)
    return _INCH / (width * micrometres) if micrometres and square else None
