"""JPEG out, strip by strip: only a band of the picture is in memory.

Each strip is encoded as a picture of its own, with the same tables; its scan begins as one does after a restart marker
(ITU T.81, E.1.4). So the scans, joined by restart markers, are the scan of the whole picture.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.writers.picture_format import BAND_BYTES, Layout, PictureFormat, exif_of, power_of_two

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fusestack.model.image import Codec
    from fusestack.writers.picture_format import Notes, Page

_QUALITY = 95
_BLOCK = 8
_MOST_BLOCKS = 2**16 - 1
"""Blocks between two restart markers."""

_LONGEST_SIDE = 65500
_SEGMENT_BYTES = 2**16 - 3
_ICC = b"ICC_PROFILE\0"
_START, _END, _FRAME, _SCAN, _RESTART, _INTERVAL = 0xD8, 0xD9, 0xC0, 0xDA, 0xD0, 0xDD
_APP0, _APP1, _APP2, _COMMENT = 0xE0, 0xE1, 0xE2, 0xFE


def _write(path: Path, pages: Sequence[Page], notes: Notes, codec: Codec) -> None:
    (page,) = pages
    height, width, _ = page.shape
    across = -(-width // _BLOCK)
    down = power_of_two(min(_MOST_BLOCKS // across, BAND_BYTES // (width * page.pixel_bytes * _BLOCK)))
    with path.open("wb") as file:
        for number, band in enumerate(page.bands(_BLOCK * down)):
            tables, start_of_scan, scan = _strip(band, height)
            if number == 0:
                interval = _segment(_INTERVAL, struct.pack(">H", across * down)) if len(band) < height else b""
                file.writelines([_mark(_START), *_notes(notes, page.shape), tables, interval, start_of_scan])
            else:
                file.write(_mark(_RESTART + (number - 1) % 8))
            file.write(scan)
        file.write(_mark(_END))


def _strip(pixels: NDArray[Any], height: int) -> tuple[bytes, bytes, bytes]:
    """Tables and frame of the whole picture of `height`, start of the scan, and the scan of a strip of it."""
    import imagecodecs

    pixels = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    data = bytes(imagecodecs.jpeg8_encode(pixels, level=_QUALITY, subsampling="444", optimize=False))
    tables = b""
    for marker, content, end in _segments(data):
        if marker == _SCAN:
            return tables, _segment(marker, content), data[end:-2]
        if marker == _FRAME:
            content = content[:1] + struct.pack(">H", height) + content[3:]
        if marker != _APP0:
            tables += _segment(marker, content)
    raise ValueError("the encoder made no scan")


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and end of the segments of an encoded picture."""
    place = 2
    while place < len(data):
        _, marker, length = struct.unpack_from(">BBH", data, place)
        end = place + 2 + length
        yield marker, data[place + 4 : end], end
        place = end


def _mark(marker: int) -> bytes:
    return bytes((0xFF, marker))


def _segment(marker: int, content: bytes) -> bytes:
    return _mark(marker) + struct.pack(">H", len(content) + 2) + content


def _notes(notes: Notes, shape: tuple[int, ...]) -> Iterator[bytes]:
    resolution = (0, 1, 1) if notes.resolution is None else (1, *[min(round(notes.resolution), 2**16 - 1)] * 2)
    yield _segment(_APP0, b"JFIF\0" + struct.pack(">HBHHBB", 0x101, *resolution, 0, 0))
    yield _segment(_APP1, exif_of(notes, shape, _SEGMENT_BYTES).tobytes())
    profile = _pieces(notes.icc or b"", _SEGMENT_BYTES - len(_ICC) - 2)
    for number, piece in enumerate(profile, 1):
        yield _segment(_APP2, _ICC + bytes((number, len(profile))) + piece)
    for piece in _pieces(notes.description.encode(), _SEGMENT_BYTES):
        yield _segment(_COMMENT, piece)


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _layout(path: Path) -> Layout:
    from PIL.JpegImagePlugin import JpegImageFile

    with JpegImageFile(path) as picture:
        width, height = picture.size
        return Layout(1, len(picture.getbands()), (height, width), "uint8")


def _read(path: Path, page: int, level: int, rows: slice, columns: slice) -> NDArray[Any]:
    import imagecodecs

    pixels: NDArray[Any] = imagecodecs.jpeg8_decode(path.read_bytes())
    return np.atleast_3d(pixels)[rows, columns]


JPEG = PictureFormat("JPEG", ("uint8",), (1, 3), _LONGEST_SIDE, _write, _layout, _read)
