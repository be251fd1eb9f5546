"""Photographs and drawings in: JPEG, PNG and the pages of TIFF files, read whole.

The first bytes of a file say what it is, not its suffix. Pixels are described as they are stored; who wants them as the
camera was held asks for a page that is turned (`PicturePage.upright`).
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.model.errors import InputError
from fusestack.sources.base import input_errors, opened_file
from fusestack.sources.picture_headers import (
    JPEG,
    JPEG_END,
    PNG,
    Header,
    check_png,
    jpeg_header,
    jpeg_is_whole,
    png_header,
)
from fusestack.sources.raw_pixels import RawPixels, raw_pixels
from fusestack.sources.tiff_log import quiet_tifffile
from fusestack.sources.tiff_structure import check_structure
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
RESTORE = "restore it from its source, or leave it out"
_CONVERT = "convert it to grey or RGB with 8 or 16 bits or 32-bit floating point"

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_BASE_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _YCBCR: 3}
_JPEG_COMPRESSIONS = (6, 7)
_NAMES = {(1, 0): "L", (1, 1): "LA", (3, 0): "RGB", (3, 1): "RGBA"}
_KEPT = ("uint8", "uint16", "int8", "int16", "uint32", "float32")
_DTYPES = {**{name: name for name in _KEPT}, "float16": "float32", "float64": "float32"}
_TAIL_BYTES = 2**16


@dataclass(frozen=True)
class PicturePage:
    """One picture of a file: that of a JPEG or PNG, a page of a TIFF.

    Parameters
    ----------
    path : str
        Local path or address.
    page : int
        Number of the directory in a TIFF file; 0 in other files.
    shape : (int, int)
        Pixels along y, x.
    colours : str
        ``L`` (grey), ``LA`` (grey and alpha), ``RGB`` or ``RGBA``.
    dtype : str
        ``uint8``, ``uint16``, ``float32``; of TIFF files also ``int8``, ``int16``, ``uint32``.
    piece : int
        Rows that are decoded together; 0 where that is the whole picture.
    identity : str
        Of the file, where somebody has asked for it.
    turned : int
        How its pixels are turned when they are read: an orientation of EXIF, 1 as they are stored.
    beside : int
        Smaller pages of the file that are taken for thumbnails, labels or other resolutions of it.
    raw : RawPixels or None
        Where its pixels lie in a local file, if they need not be decoded.
    """

    path: str
    page: int
    shape: tuple[int, int]
    colours: str
    dtype: str
    piece: int = field(default=0, compare=False)
    identity: str = field(default="", compare=False)
    turned: int = 1
    beside: int = field(default=0, compare=False)
    raw: RawPixels | None = field(default=None, compare=False)

    def facts(self) -> list[Any]:
        """What a fingerprint takes of it; not the folder, which may be another one."""
        return [Path(self.path).name, self.page, self.identity, *([self.turned] if self.turned != 1 else [])]

    def upright(self, orientation: int) -> PicturePage:
        """The same picture, turned as a camera that was held so says (1 to 8)."""
        if orientation == 1:
            return self
        shape = (self.shape[1], self.shape[0]) if orientation > 4 else self.shape
        return replace(self, shape=shape, turned=orientation, piece=0, raw=None)


def describe_picture(path: str) -> tuple[PicturePage, ...]:
    """Read the headers of a picture file; no pixel is read.

    Parameters
    ----------
    path : str
        Local path or address of a JPEG, PNG or TIFF file.

    Returns
    -------
    tuple of PicturePage
        One; of a TIFF file one for each page of full size, in the order of the file. Palettes and packed grey values of
        PNG become RGB and uint8, floating point of other widths float32;
        10 to 14 bits of a TIFF file are uint16 and stay what they are.

    Raises
    ------
    InputError
        If the file is missing, empty, cut, no picture, or holds colours or numbers that are not read.
    """
    kind = kind_of(path)
    with input_errors(path, f"is not a {kind} file that can be read", RESTORE):
        if kind == "TIFF":
            check_structure(path)
            with opened_tiff(path) as tiff:
                pages, beside = _sorted_pages(path, tiff)
                return tuple(replace(_page_picture(path, *numbered), beside=beside) for numbered in pages)
        header = header_of(path, kind)
        return (PicturePage(path, 0, header.shape, header.colours, header.dtype),)


def read_picture(picture: PicturePage, rows: slice | None = None) -> NDArray[Any]:
    """Read the pixels of a picture.

    Parameters
    ----------
    picture : PicturePage
    rows : slice, optional
        Only these rows, of a TIFF file without reading more than the pieces that hold them.

    Returns
    -------
    array[colour, y, x]
        1 to 4 colours, alpha last, of the dtype of `picture`. C-contiguous.

    Raises
    ------
    InputError
        If the file is missing, damaged, or not the one that was described.
    """
    if picture.turned != 1:
        pixels = _turned(read_picture(_as_stored(picture)), picture.turned)
        return np.ascontiguousarray(pixels if rows is None else pixels[:, rows])
    pixels = _pixels(picture, rows)
    with input_errors(picture.path, "the pixels cannot be read", RESTORE):
        if picture.colours == "RGB" and pixels.dtype == picture.dtype and pixels.flags.c_contiguous:
            return kernels.pixels.planes(pixels)
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 0), dtype=picture.dtype)


def check_picture(picture: PicturePage) -> None:
    """See that a picture can be read, at little cost: PNG and JPEG say whether they are whole, of TIFF the end is read.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    path, kind = picture.path, kind_of(picture.path)
    if kind == "TIFF":
        stored = _as_stored(picture)
        height = stored.shape[0]
        _pixels(stored, slice(max(0, height - stored.piece), height) if stored.piece else None)
        return
    with input_errors(path, "the pixels cannot be read", RESTORE), opened_file(path) as file:
        if kind == "PNG":
            check_png(file)
        elif not jpeg_is_whole(file.read()):
            raise InputError(f"{path}: ends within the picture; {RESTORE}")


def _as_stored(picture: PicturePage) -> PicturePage:
    """A picture that is not turned."""
    return replace(picture, turned=1, shape=picture.shape[::-1] if picture.turned > 4 else picture.shape)


def _pixels(picture: PicturePage, rows: slice | None) -> NDArray[Any]:
    """Pixels [y, x, colour] as they are stored."""
    path, kind = picture.path, kind_of(picture.path)
    with input_errors(path, "the pixels cannot be read", RESTORE):
        if kind == "TIFF":
            with opened_tiff(path) as tiff:
                pixels = _page_pixels(tiff.pages[picture.page], rows)
        else:
            pixels = _decoded(path, kind)[slice(None) if rows is None else rows]
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        height = len(range(*(rows or slice(None)).indices(picture.shape[0])))
        if pixels.shape != (height, picture.shape[1], len(picture.colours)):
            found = " x ".join(map(str, pixels.shape))
            raise InputError(f"{path}: is {found} pixels (y, x, colours), and was not when it was described; run again")
        return pixels


def _turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels [colour, y, x] upright: EXIF says where the first row and the first column of what is stored are seen."""
    if orientation > 4:
        pixels = pixels.swapaxes(1, 2)
    down, right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels[:, :: -1 if down else 1, :: -1 if right else 1]


def kind_of(path: str) -> str:
    """What the first bytes of a file say that it is: ``PNG``, ``JPEG`` or ``TIFF``.

    Raises
    ------
    InputError
        If it is none, empty, or cannot be read.
    """
    with opened_file(path) as file, input_errors(path, "cannot be read", RESTORE):
        first = file.read(8)
    if first == PNG:
        return "PNG"
    if first.startswith(JPEG):
        return "JPEG"
    if first[:4] in _TIFF:
        return "TIFF"
    if not first:
        raise InputError(f"{path}: is empty; {RESTORE}")
    raise InputError(
        f"{path}: is no JPEG, PNG or TIFF file; convert it to one of them, restore it from its source, or leave it out"
    )


def header_of(path: str, kind: str, *, metadata: bool = False) -> Header:
    """Header of a PNG or JPEG file, which is seen to be whole."""
    with opened_file(path) as file:
        if kind == "PNG":
            return png_header(file, metadata=metadata)
        header = jpeg_header(file)
        start, size = file.tell(), file.seek(0, 2)
        for tail in (max(start, size - _TAIL_BYTES), start):  # some cameras write more behind the picture
            file.seek(tail)
            if JPEG_END in file.read():
                return header
    raise InputError(f"{path}: ends within the picture; {RESTORE}")


def _decoded(path: str, kind: str) -> NDArray[Any]:
    import imagecodecs

    with opened_file(path) as file:
        data = file.read()
    if kind == "JPEG" and not jpeg_is_whole(data):
        raise InputError(f"{path}: ends within the picture; {RESTORE}")
    pixels: NDArray[Any] = imagecodecs.png_decode(data) if kind == "PNG" else imagecodecs.jpeg8_decode(data)
    return pixels


@contextmanager
def opened_tiff(path: str) -> Iterator[Any]:
    """A `tifffile.TiffFile`, of a path or an address."""
    import tifffile

    with quiet_tifffile(), tifffile.TiffFile(opened_file(path) if is_address(path) else path) as tiff:
        yield tiff


def full_pages(path: str, tiff: Any) -> Iterator[tuple[int, Any]]:
    """Pages of full size and their numbers: no thumbnails, no masks, no other resolutions, whether they say so or not.

    Raises
    ------
    InputError
        If there is none.
    """
    yield from _sorted_pages(path, tiff)[0]


def _sorted_pages(path: str, tiff: Any) -> tuple[list[tuple[int, Any]], int]:
    """Pages of full size with their numbers, and how many others there are that do not say that they are others."""
    described = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else 1
    if described > len(tiff.pages):
        raise InputError(
            f"{path}: describes {described} planes by {len(tiff.pages)} page, as ImageJ does with large stacks; "
            "write it again with a page for each plane"
        )
    found = [(number, page.aspage()) for number, page in enumerate(tiff.pages)]
    found = [(number, page) for number, page in found if not (page.is_reduced or page.is_mask)]
    if not found:
        raise InputError(f"{path}: holds no picture of full size; develop raw files to TIFF, or leave it out")
    # labels and thumbnails of slide scanners, levels of pyramids: none has half as many pixels
    most = max(page.imagelength * page.imagewidth for _, page in found)
    large = [(number, page) for number, page in found if 2 * page.imagelength * page.imagewidth > most]
    return large, len(found) - len(large)


def _page_picture(path: str, number: int, page: Any) -> PicturePage:
    where = path if number == 0 else f"{path}: page {number}"
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    base = _BASE_COLOURS.get(photometric, 0)
    colours = _NAMES.get((base, samples - base))
    if colours is None or (photometric == _YCBCR and int(page.compression) not in _JPEG_COMPRESSIONS):
        kind = getattr(page.photometric, "name", photometric)
        raise InputError(f"{where}: has {samples} colours of kind {kind}, which are not read; {_CONVERT}")
    if page.dtype is None or page.dtype.name not in _DTYPES or page.bitspersample < 8 or page.imagedepth != 1:
        name = f"{page.bitspersample}-bit" if page.dtype is None or page.bitspersample < 8 else page.dtype.name
        raise InputError(f"{where}: pixels of type {name} are not read; {_CONVERT}")
    size = page.parent.filehandle.size
    ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
    if (end := max(ends, default=0)) > size:
        raise InputError(f"{where}: is cut: {size} bytes of at least {end}; {RESTORE}")
    dtype = _DTYPES[page.dtype.name]
    if photometric == _PALETTE:
        colours, dtype = "RGB" + colours[1:], "uint8"
    piece = 1 if page.is_contiguous else int(page.tilelength if page.is_tiled else page.rowsperstrip)
    shape = int(page.imagelength), int(page.imagewidth)
    return PicturePage(path, number, shape, colours, dtype, piece, raw=raw_pixels(path, page, dtype))


def _page_pixels(page: Any, rows: slice | None = None) -> NDArray[Any]:
    """Pixels [y, x] or [y, x, colour] of a page, black is 0."""
    page = page.aspage()
    pixels: NDArray[Any] = page.asarray(maxworkers=1) if rows is None else _page_rows(page, rows)
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        pixels = np.moveaxis(pixels, 0, -1)
    if page.photometric == _PALETTE:
        palette = (page.colormap >> 8).astype(np.uint8)
        grey = pixels if pixels.ndim == 2 else pixels[..., 0]
        alpha = () if pixels.ndim == 2 else (pixels[..., 1].astype(np.uint8),)
        return np.stack([*palette[:, grey], *alpha], axis=-1)
    if page.photometric == _WHITE_IS_ZERO and pixels.dtype.kind == "u":
        grey = pixels if pixels.ndim == 2 else pixels[..., 0]
        np.subtract(2**page.bitspersample - 1, grey, out=grey, casting="unsafe")
    return pixels


def _page_rows(page: Any, rows: slice) -> NDArray[Any]:
    """Rows of a page, [y, x], [y, x, colour] or [colour, y, x] as it is stored."""
    start, stop, _ = rows.indices(page.imagelength)
    samples = page.samplesperpixel
    apart = samples if page.planarconfig == 2 else 1
    file = page.parent.filehandle
    found = np.zeros((apart, stop - start, page.imagewidth, samples // apart), page.dtype)
    if page.is_contiguous:
        stored = page.dtype.newbyteorder(page.parent.byteorder)
        size = page.imagewidth * samples // apart * stored.itemsize
        for plane in range(apart):
            file.seek(page.dataoffsets[0] + (plane * page.imagelength + start) * size)
            found[plane] = np.frombuffer(file.read((stop - start) * size), stored).reshape(found.shape[1:])
    else:
        height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
        for plane, row, column in itertools.product(
            range(apart), range(start // height, -(-stop // height)), range(across)
        ):
            number = (plane * down + row) * across + column
            file.seek(page.dataoffsets[number])
            encoded = file.read(page.databytecounts[number]) if page.databytecounts[number] else None
            pixels, _, (_, tall, _, _) = page.decode(encoded, number, jpegtables=page.jpegtables)
            if pixels is not None:
                top, left = row * height, column * width
                first, last = max(top, start), min(top + tall, stop)
                target = found[plane, first - start : last - start, left : left + width]
                target[...] = pixels[0, first - top : last - top, : target.shape[1]]
    if apart > 1:
        return found[..., 0]
    return found[0, ..., 0] if samples == 1 else found[0]
