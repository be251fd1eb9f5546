"""TIFF and BigTIFF out, tile by tile: only a band of a page is in memory."""

from __future__ import annotations

import math
import os
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.model.image import Codec
from fusestack.storage import bounded
from fusestack.writers.picture_format import (
    BAND_BYTES,
    EXIF_TAG,
    GPS_TAG,
    KEPT_TAGS,
    Layout,
    PictureFormat,
    exif_of,
    power_of_two,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fusestack.writers.picture_format import Notes, Page

_TILE = 512
_TILE_UNIT = 16
CLASSIC_BYTES = 2**32 - 2**26
_LEVEL = 6
_WORKERS = 4
_BEFORE = 1
"""tifffile writes no tags that point to directories; the numbers before theirs are free and keep the order of tags."""

_FROM_TILES: dict[str, Any] = {"metadata": None, "maxworkers": _WORKERS, "buffersize": BAND_BYTES}
_ASCII, _LONG, _LONG8 = 2, 4, 16


def _write(path: Path, pages: Sequence[Page], notes: Notes, codec: Codec) -> None:
    import tifffile

    exif = exif_of(notes, pages[0].shape)
    every = [one for page in pages for one in (page, *page.smaller)]
    padded = sum(np.prod([-(-n // _TILE) * _TILE for n in page.shape[:2]]) * page.pixel_bytes for page in every)
    large = bool(padded > CLASSIC_BYTES)
    with tifffile.TiffWriter(path, bigtiff=large, byteorder="<") as tiff:
        for number, page in enumerate(pages):
            first = number == 0
            tiff.write(
                tiles_of(page),
                **_layout_options(page, codec),
                description=notes.description.encode() if first and notes.description else None,
                software=notes.software if first else False,
                resolution=None if notes.resolution is None else (notes.resolution, notes.resolution),
                resolutionunit=None if notes.resolution is None else "inch",
                iccprofile=notes.icc,
                extratags=_tags(exif, _LONG8 if large else _LONG) if first else (),
                subifds=len(page.smaller) or None,
                **_FROM_TILES,
            )
            for one in page.smaller:
                tiff.write(tiles_of(one), **_layout_options(one, codec), software=False, subfiletype=1, **_FROM_TILES)
    _append_directories(path, exif)


def _layout_options(page: Page, codec: Codec) -> dict[str, Any]:
    height, width, colours = page.shape
    options: dict[str, Any] = {
        "shape": (height, width) if colours == 1 else page.shape,
        "dtype": page.dtype,
        "photometric": "rgb" if colours > 2 else "minisblack",
        "tile": tile_of(page.shape),
    }
    if colours > 1:
        options["planarconfig"] = "contig"
    if colours in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    codec = tile_codec(codec)
    if codec.name != "none":
        options["compression"] = "zstd" if codec.name == "zstd" else "zlib"
        options["compressionargs"] = {"level": codec.level}
        options["predictor"] = True
    return options


def tile_codec(codec: Codec) -> Codec:
    """How tiles are compressed: by ``zstd``, by deflate (``gzip``), or not at all (``none``)."""
    return codec if codec.name in ("zstd", "gzip", "none") else Codec("gzip", _LEVEL)


def encoded_tile(pixels: NDArray[Any], codec: Codec) -> bytes:
    """A tile [colour, y, x] as it is in the file: colours side by side, as differences along x, compressed.

    The bytes are those that tifffile makes of it.

    Parameters
    ----------
    pixels : array
        Little-endian.
    codec : Codec
        Of `tile_codec`.
    """
    import imagecodecs

    tile = np.moveaxis(pixels, 0, -1)
    if codec.name == "none":
        return tile.tobytes()
    predict: Any = imagecodecs.floatpred_encode if tile.dtype.kind == "f" else imagecodecs.delta_encode
    compress: Any = imagecodecs.zstd_encode if codec.name == "zstd" else imagecodecs.deflate_encode
    return bytes(compress(predict(tile, axis=-2), level=codec.level))


def decoded_tile(data: Any, shape: Sequence[int], dtype: np.dtype[Any], codec: Codec) -> NDArray[Any]:
    """Pixels [colour, y, x] of a tile; the reverse of `encoded_tile`.

    Raises
    ------
    ValueError, RuntimeError, zlib.error
        If it is damaged.
    """
    import imagecodecs

    colours, rows, columns = shape
    if codec.name != "none":
        data = (bounded.zstd if codec.name == "zstd" else bounded.deflate)(data, math.prod(shape) * dtype.itemsize)
    tile: Any = np.frombuffer(data, dtype.newbyteorder("<")).reshape(rows, columns, colours)
    if codec.name != "none":
        tile = (imagecodecs.floatpred_decode if dtype.kind == "f" else imagecodecs.delta_decode)(tile, axis=-2)
    return np.ascontiguousarray(np.moveaxis(tile, -1, 0))


def tile_of(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a tile: 512, of small pictures what is needed."""
    rows, columns = (min(_TILE, -(-n // _TILE_UNIT) * _TILE_UNIT) for n in shape[:2])
    return rows, columns


def tiles_of(page: Page) -> Iterator[NDArray[Any]] | Iterator[bytes]:
    """Tiles from left to right, from top to bottom: encoded where they are there, else padded pixels."""
    return _cut(page) if page.tiles is None else page.tiles()


def _cut(page: Page) -> Iterator[NDArray[Any]]:
    """Several are read at a time."""
    height, width, colours = page.shape
    rows, columns = tile_of(page.shape)
    section = columns * power_of_two(BAND_BYTES // (rows * columns * page.pixel_bytes))
    for top in range(0, height, rows):
        for left in range(0, width, section):
            pixels = page.read(slice(top, min(top + rows, height)), slice(left, min(left + section, width)))
            for start in range(0, pixels.shape[1], columns):
                part = pixels[:, start : start + columns]
                tile = np.zeros((rows, columns, colours), page.dtype)
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile[..., 0] if colours == 1 else tile


def _tags(exif: Any, pointer: int) -> list[tuple[int, int, int | None, Any, bool]]:
    found: list[tuple[int, int, int | None, Any, bool]] = []
    found += [(tag, _ASCII, None, exif[tag], True) for tag in KEPT_TAGS if tag in exif]
    found += [(tag - _BEFORE, pointer, 1, 0, True) for tag in (EXIF_TAG, GPS_TAG) if exif.get_ifd(tag)]
    return found


def _append_directories(path: Path, exif: Any) -> None:
    """Write the directories of EXIF and GPS behind the last page and let the tags of the first page point to them."""
    import tifffile
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with tifffile.TiffFile(path, mode="r+") as tiff:
        file, tags = tiff.filehandle, tiff.pages[0].tags
        header = b"II\x2b\0\x08\0\0\0" + struct.pack("<Q", 16) if tiff.is_bigtiff else b"II\x2a\0\x08\0\0\0"
        for tag in (EXIF_TAG, GPS_TAG):
            if not exif.get_ifd(tag):
                continue
            directory = ImageFileDirectory_v2(header, group=tag)
            for key, value in exif.get_ifd(tag).items():
                directory[key] = value
            end = file.seek(0, os.SEEK_END)
            place = end + end % 2
            file.write(b"\0" * (place - end) + directory.tobytes(place))
            pointer = tags[tag - _BEFORE]
            pointer.overwrite(place)
            file.seek(pointer.offset)
            file.write(struct.pack("<H", tag))


def _layout(path: Path) -> Layout:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0].aspage()
        shape = (int(page.imagelength), int(page.imagewidth))
        smaller = [one.aspage() for one in page.pages] if page.subifds else []
        sizes = tuple((int(one.imagelength), int(one.imagewidth)) for one in smaller)
        return Layout(len(tiff.pages), int(page.samplesperpixel), shape, page.dtype.name, sizes)


def _read(path: Path, page: int, level: int, rows: slice, columns: slice) -> NDArray[Any]:
    import tifffile

    region = Box((rows.start, columns.start), (rows.stop, columns.stop))
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[page].aspage()
        return region_of(found.pages[level - 1].aspage() if level else found, tiff.filehandle, region)


def region_of(page: Any, file: Any, region: Box) -> NDArray[Any]:
    """Pixels [y, x, sample] of a region (y, x) of a page, decoded from the tiles or strips that it touches."""
    pixels = np.empty((*region.shape, page.samplesperpixel), page.dtype)
    grid = Grid(page.shape[:2], page.chunks[:2])
    for number in range(grid.count):
        part = grid.box(number)
        common = part.intersect(region)
        if common.is_empty:
            continue
        file.seek(page.dataoffsets[number])
        decoded = page.decode(file.read(page.databytecounts[number]), number)[0]
        inside = common.shift([-n for n in part.start]).slices
        pixels[common.shift([-n for n in region.start]).slices] = decoded[0][inside]
    return pixels


TIFF = PictureFormat(
    "TIFF",
    ("uint8", "uint16", "int8", "int16", "uint32", "float32"),
    (1, 2, 3, 4),
    2**31 - 1,
    _write,
    _layout,
    _read,
    many_pages=True,
)
