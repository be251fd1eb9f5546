"""Photographs and drawings in: JPEG, PNG and the pages of TIFF files, read whole.

The first bytes of a file say what it is, not its suffix. The orientation tag of EXIF is not applied: pixels come as
they are stored, so that all pictures of a stack fit each other whatever the camera thought of its position.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.base import input_errors, opened_file
from fusestack.sources.picture_headers import JPEG, PNG, Header, jpeg_header, jpeg_is_whole, png_header
from fusestack.sources.tiff_structure import check_structure
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RESTORE = "restore it from its source, or leave it out"
_CONVERT = "convert it to grey or RGB with 8 or 16 bits or 32-bit floating point"

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_BASE_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _YCBCR: 3}
_JPEG_COMPRESSIONS = (6, 7)
_NAMES = {(1, 0): "L", (1, 1): "LA", (3, 0): "RGB", (3, 1): "RGBA"}
_DTYPES = {"uint8": "uint8", "uint16": "uint16", "float16": "float32", "float32": "float32", "float64": "float32"}

_CAMERA_TAGS = (271, 272, 306, 315, 33432)
"""Make, Model, DateTime, Artist, Copyright."""
_EXPOSURE_TAGS = (33434, 33437, 34850, 34855, 36867, 37377, 37378, 37380, 37385, 37386, 41989, 42036)
"""Times, apertures, speeds and lenses; some programs put them beside those of the camera."""
_EXIF_TAG, _GPS_TAG = 34665, 34853
_ORIENTATION, _SOFTWARE = 274, 305
_PLACES = frozenset({0xA005})
"""Tags whose value is a place in the file."""


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
        ``uint8``, ``uint16`` or ``float32``.
    piece : int
        Rows that are decoded together; 0 where that is the whole picture.
    identity : str
        Of the file, where somebody has asked for it.
    """

    path: str
    page: int
    shape: tuple[int, int]
    colours: str
    dtype: str
    piece: int = field(default=0, compare=False)
    identity: str = field(default="", compare=False)

    def facts(self) -> list[Any]:
        """What a fingerprint takes of it; not the folder, which may be another one."""
        return [Path(self.path).name, self.page, self.identity]


@dataclass(frozen=True)
class Metadata:
    """What a camera or a program said about a picture.

    Parameters
    ----------
    exif : bytes or None
        As in a JPEG file: ``Exif``, two zero bytes, and a TIFF header with its directories.
    icc : bytes or None
        Colour profile.
    """

    exif: bytes | None
    icc: bytes | None


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
    kind = _kind(path)
    with input_errors(path, f"is not a {kind} file that can be read", _RESTORE):
        if kind == "TIFF":
            check_structure(path)
            with _tiff(path) as tiff:
                return tuple(_page_picture(path, number, page) for number, page in _pages(path, tiff))
        header = _header(path, kind)
        return (PicturePage(path, 0, header.shape, header.colours, header.dtype),)


def read_picture(picture: PicturePage, rows: slice | None = None) -> NDArray[Any]:
    """Read the pixels of a picture, as they are stored: the orientation tag of EXIF is not applied.

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
    path, kind = picture.path, _kind(picture.path)
    with input_errors(path, "the pixels cannot be read", _RESTORE):
        if kind == "TIFF":
            with _tiff(path) as tiff:
                pixels = _page_pixels(tiff.pages[picture.page], rows)
        else:
            pixels = _decoded(path, kind)[slice(None) if rows is None else rows]
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        height = len(range(*(rows or slice(None)).indices(picture.shape[0])))
        if pixels.shape != (height, picture.shape[1], len(picture.colours)):
            found = " x ".join(map(str, pixels.shape))
            raise InputError(f"{path}: is {found} pixels (y, x, colours), and was not when it was described; run again")
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 0), dtype=picture.dtype)


def read_metadata(path: str) -> Metadata:
    """Read EXIF and colour profile of a picture; of a TIFF file those of its first page of full size.

    Thumbnails are not read, nor what a camera maker keeps at a place that only its own programs find.

    Raises
    ------
    InputError
        As `describe_picture`.
    """
    kind = _kind(path)
    with input_errors(path, "its metadata cannot be read", _RESTORE):
        if kind == "TIFF":
            check_structure(path)
            with _tiff(path) as tiff:
                _, page = next(_pages(path, tiff))
                return Metadata(_tiff_exif(page), page.iccprofile)
        header = _header(path, kind, metadata=True)
        return Metadata(header.exif, header.icc)


def made_by_us(path: str) -> bool:
    """Whether fusestack wrote a picture; False for whatever cannot be read."""
    try:
        kind = _kind(path)
        if kind == "TIFF":
            with _tiff(path) as tiff:
                said = str(tiff.pages.first.software)
        else:
            header = _header(path, kind, metadata=True)
            said = header.software or _exif_tag(header.exif, _SOFTWARE)
    except Exception:  # damaged: whoever reads it says so
        return False
    return said.startswith("fusestack")


def orientation(path: str) -> int | None:
    """How a camera held a JPEG or PNG picture, 1 to 8; 1 where nothing says so, None where that cannot be read."""
    try:
        kind = _kind(path)
        said = "" if kind == "TIFF" else _exif_tag(_header(path, kind, metadata=True).exif, _ORIENTATION)
        return int(said or 1)
    except Exception:  # pixels are what counts
        return None


def _exif_tag(exif: bytes | None, tag: int) -> str:
    if exif is None:
        return ""
    from PIL import Image

    found = Image.Exif()
    found.load(exif)
    return str(found.get(tag, ""))


def _kind(path: str) -> str:
    with opened_file(path) as file, input_errors(path, "cannot be read", _RESTORE):
        first = file.read(8)
    if first == PNG:
        return "PNG"
    if first.startswith(JPEG):
        return "JPEG"
    if first[:4] in _TIFF:
        return "TIFF"
    if not first:
        raise InputError(f"{path}: is empty; {_RESTORE}")
    raise InputError(
        f"{path}: is no JPEG, PNG or TIFF file; convert it to one of them, restore it from its source, or leave it out"
    )


def _header(path: str, kind: str, *, metadata: bool = False) -> Header:
    with opened_file(path) as file:
        return png_header(file, metadata=metadata) if kind == "PNG" else jpeg_header(file)


def _decoded(path: str, kind: str) -> NDArray[Any]:
    import imagecodecs

    with opened_file(path) as file:
        data = file.read()
    if kind == "JPEG" and not jpeg_is_whole(data):
        raise InputError(f"{path}: ends within the picture; {_RESTORE}")
    pixels: NDArray[Any] = imagecodecs.png_decode(data) if kind == "PNG" else imagecodecs.jpeg8_decode(data)
    return pixels


@contextmanager
def _tiff(path: str) -> Iterator[Any]:
    import tifffile

    with tifffile.TiffFile(opened_file(path) if is_address(path) else path) as tiff:
        yield tiff


def _pages(path: str, tiff: Any) -> Iterator[tuple[int, Any]]:
    """Pages of full size and their numbers: no thumbnails, no masks."""
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
    yield from found


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
        raise InputError(f"{where}: is cut: {size} bytes of at least {end}; {_RESTORE}")
    dtype = _DTYPES[page.dtype.name]
    if photometric == _PALETTE:
        colours, dtype = "RGB" + colours[1:], "uint8"
    piece = 1 if page.is_contiguous else int(page.tilelength if page.is_tiled else page.rowsperstrip)
    return PicturePage(path, number, (int(page.imagelength), int(page.imagewidth)), colours, dtype, piece)


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


def _tiff_exif(page: Any) -> bytes | None:
    """EXIF as in a JPEG file from the tags of a TIFF page."""
    from PIL import Image

    found, made = Image.Exif(), Image.Exif()
    found.bigtiff, found.endian = page.parent.is_bigtiff, page.parent.byteorder
    file = page.parent.filehandle
    found.load_from_fp(file, page.offset)
    made.endian = "<"
    for tag in _CAMERA_TAGS:
        if tag in found:
            made[tag] = str(found[tag]).encode("latin-1", "replace")  # as the bytes were read
    exposure = {tag: found[tag] for tag in _EXPOSURE_TAGS if tag in found} | found.get_ifd(_EXIF_TAG)
    for tag in exposure.keys() & _PLACES:
        del exposure[tag]
    for group, values in ((_EXIF_TAG, exposure), (_GPS_TAG, found.get_ifd(_GPS_TAG))):
        if values:
            made.get_ifd(group).update(values)
    return made.tobytes() if made or exposure or found.get_ifd(_GPS_TAG) else None
