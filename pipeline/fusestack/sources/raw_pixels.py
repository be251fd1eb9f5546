"""Pixels that lie in a TIFF file as they are: regions of them are read without the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.sources.base import input_errors
from fusestack.storage import is_address

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.sources.pictures import PicturePage

_PLAIN = (1, 2)
"""Photometric interpretations in which a pixel is what it says: black is 0, and RGB."""
_RESTORE = "restore it from its source, or leave it out"


@dataclass(frozen=True)
class RawPixels:
    """Where the pixels of a page lie in its file, one after the other.

    Parameters
    ----------
    start : int
        First byte.
    dtype : str
        As they are stored, in either byte order.
    apart : bool
        Whether colours lie one after the other, not pixels with all their colours.
    """

    start: int
    dtype: str
    apart: bool


def raw_pixels(path: str, page: Any, dtype: str) -> RawPixels | None:
    """Where the pixels of a page of a local TIFF file lie, if they are what is read; else None.

    Parameters
    ----------
    path : str
    page : tifffile.TiffPage
    dtype : str
        What pixels are read as.
    """
    plain = page.is_contiguous and page.fillorder == 1 and page.photometric in _PLAIN
    if not plain or page.dtype.name != dtype or page.bitspersample != 8 * page.dtype.itemsize or is_address(path):
        return None
    stored = page.dtype.newbyteorder(page.parent.byteorder).str
    return RawPixels(int(page.dataoffsets[0]), stored, page.planarconfig == 2 and page.samplesperpixel > 1)


def read_raw(picture: PicturePage, rows: slice, columns: slice) -> NDArray[Any]:
    """Read a region of a picture whose pixels lie in its file as they are (`PicturePage.raw`), and no others.

    Parameters
    ----------
    picture : PicturePage
    rows, columns : slice
        Within the picture, with a start and a stop.

    Returns
    -------
    array[colour, y, x]
        As `read_picture` gives them, but colours may lie beside one another.

    Raises
    ------
    InputError
        If the file is missing, cut, or cannot be read.
    """
    raw, count = picture.raw, len(picture.colours)
    if raw is None:
        raise ValueError(f"{picture.path}: has to be decoded")
    height, width = picture.shape
    stored = np.dtype(raw.dtype)
    planes, pixel = (count, stored.itemsize) if raw.apart else (1, count * stored.itemsize)
    found = np.empty((planes, rows.stop - rows.start, columns.stop - columns.start, count // planes), stored)
    with input_errors(picture.path, "the pixels cannot be read", _RESTORE), Path(picture.path).open("rb", 0) as file:
        for number, plane in enumerate(found):
            start = raw.start + (number * height * width + rows.start * width + columns.start) * pixel
            if len(plane[0]) == width:
                _read_into(file, start, plane)
            else:
                _read_rows(file, start, width * pixel, plane)
    pixels = found[..., 0] if raw.apart else np.moveaxis(found[0], -1, 0)
    return pixels.astype(picture.dtype, copy=False)


def _read_rows(file: Any, start: int, step: int, out: NDArray[Any]) -> None:
    read = 0
    if hasattr(os, "pread"):
        from fusestack.sources.file_rows import read_rows

        read = read_rows(file.fileno(), start, step, out)
    for y in range(read, len(out)):
        _read_into(file, start + y * step, out[y])


def _read_into(file: Any, start: int, out: NDArray[Any]) -> None:
    wanted = out.data.cast("B")
    while wanted:
        file.seek(start)
        count = file.readinto(wanted)
        if not count:
            raise ValueError("the file is cut")
        start, wanted = start + count, wanted[count:]
