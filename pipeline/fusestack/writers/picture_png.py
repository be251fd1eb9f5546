"""PNG out, row by row: only a band of the picture is in memory."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.storage.together import in_turn
from fusestack.writers.picture_format import BAND_BYTES, Layout, PictureFormat, exif_of, power_of_two

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO, TypeAlias

    from numpy.typing import NDArray

    from fusestack.model.image import Codec
    from fusestack.writers.picture_format import Notes, Page

    _Part: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8], int]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_SUB, _UP = 1, 2
_LEVEL = 6
_WORKERS = 4
_ZLIB = b"\x78\x9c"
_NOTHING_MORE = b"\x03\0"
"""An empty block that is the last one (RFC 1951, 3.2.3)."""
_INCH = 0.0254


def _write(path: Path, pages: Sequence[Page], notes: Notes, codec: Codec) -> None:
    (page,) = pages
    height, width, colours = page.shape
    level = {"gzip": codec.level, "none": 0}.get(codec.name, _LEVEL)
    with path.open("wb") as file:
        file.write(_SIGNATURE)
        header = struct.pack(">IIBBBBB", width, height, 8 * page.dtype.itemsize, _COLOUR_TYPES[colours], 0, 0, 0)
        _chunk(file, b"IHDR", header)
        for name, data in _notes(notes, page.shape):
            _chunk(file, name, data)
        for data in _compressed(_parts(page), level):
            _chunk(file, b"IDAT", data)
        _chunk(file, b"IEND", b"")


def _compressed(parts: Iterable[_Part], level: int) -> Iterator[bytes]:
    """A stream of zlib (RFC 1950), whose parts threads filter and compress, without a look at one another."""

    def compressed(part: _Part) -> tuple[bytes, bytes]:
        rows = _smaller_differences(*part).tobytes()
        compressor = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
        return rows, compressor.compress(rows) + compressor.flush(zlib.Z_SYNC_FLUSH)

    checksum, head = zlib.adler32(b""), _ZLIB
    for rows, data in in_turn(compressed, parts, far=True, most=_WORKERS):
        checksum = zlib.adler32(rows, checksum)
        yield head + data
        head = b""
    yield _NOTHING_MORE + struct.pack(">I", checksum)


def _chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def _notes(notes: Notes, shape: tuple[int, ...]) -> Iterator[tuple[bytes, bytes]]:
    if notes.icc is not None:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(notes.icc)
    if notes.resolution is not None:
        per_metre = round(notes.resolution / _INCH)
        yield b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)
    if notes.exif is not None:
        yield b"eXIf", exif_of(notes, shape).tobytes().removeprefix(b"Exif\0\0")
    for keyword, text in (("Description", notes.description), ("Software", notes.software)):
        if text:
            yield b"iTXt", keyword.encode() + b"\0\0\0\0\0" + text.replace("\0", " ").encode()


def _parts(page: Page) -> Iterator[_Part]:
    """Some rows, big-endian, the row above them, and the bytes of a pixel."""
    width = page.shape[1] * page.pixel_bytes
    rows = power_of_two(BAND_BYTES // width)
    few = max(1, rows // 8)
    above = np.zeros((1, width), np.uint8)
    for band in page.bands(rows):
        for top in range(0, len(band), few):
            part = np.ascontiguousarray(band[top : top + few], dtype=page.dtype.newbyteorder(">"))
            raw = part.view(np.uint8).reshape(len(part), width)
            yield raw, above, page.pixel_bytes
            above = raw[-1:]


def _smaller_differences(raw: NDArray[np.uint8], above: NDArray[np.uint8], pixel_bytes: int) -> NDArray[np.uint8]:
    """Rows as the smaller differences from the pixel to the left or the row above, after a byte that says which."""
    out = np.empty((len(raw), raw.shape[1] + 1), np.uint8)
    sub, up = raw.copy(), raw - np.concatenate([above, raw[:-1]])
    sub[:, pixel_bytes:] -= raw[:, :-pixel_bytes]
    left = _cost(sub) < _cost(up)
    out[:, 0] = np.where(left, _SUB, _UP)
    out[:, 1:] = np.where(left[:, np.newaxis], sub, up)
    return out


def _cost(differences: NDArray[np.uint8]) -> NDArray[np.int64]:
    sizes = np.minimum(differences, np.negative(differences))  # of signed bytes
    cost: NDArray[np.int64] = sizes.sum(axis=1, dtype=np.int64)
    return cost


def _layout(path: Path) -> Layout:
    with path.open("rb") as file:
        head = file.read(26)
    if not head.startswith(_SIGNATURE):
        raise ValueError("no PNG file")
    width, height, bits, kind = struct.unpack(">IIBB", head[16:26])
    colours = {kind: colours for colours, kind in _COLOUR_TYPES.items()}[kind]
    return Layout(1, colours, (height, width), f"uint{bits}")


def _read(path: Path, page: int, level: int, rows: slice, columns: slice) -> NDArray[Any]:
    import imagecodecs

    pixels: NDArray[Any] = imagecodecs.png_decode(path.read_bytes())
    return np.atleast_3d(pixels)[rows, columns]


PNG = PictureFormat("PNG", ("uint8", "uint16"), (1, 2, 3, 4), 2**31 - 1, _write, _layout, _read)
