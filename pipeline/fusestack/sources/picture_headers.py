"""Headers of PNG and JPEG files: size, colours, EXIF and colour profile; no pixel is read."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
JPEG_END = b"\xff\xd9"
EXIF = b"Exif\0\0"
"""What EXIF begins with in a JPEG file; PNG files leave it out."""

_ICC = b"ICC_PROFILE\0"
_PROGRAM = b"Software\0"
_TEXT_BYTES = 2**16
_PNG_COLOURS = {0: "L", 2: "RGB", 3: "RGB", 4: "LA", 6: "RGBA"}
_JPEG_COLOURS = {1: "L", 3: "RGB"}
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FRAMES_READ = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""JPEG frames of whole numbers of bits, sequential or progressive; not lossless, not hierarchical."""

_SCAN, _APP1, _APP2 = 0xDA, 0xE1, 0xE2


@dataclass(frozen=True)
class Header:
    """What the header of a picture says.

    Parameters
    ----------
    shape : (int, int)
        Pixels along y, x.
    colours : str
        ``L``, ``LA``, ``RGB`` or ``RGBA``.
    dtype : str
    exif, icc : bytes or None
        As in `fusestack.sources.pictures.Metadata`.
    software : str
        The program that a PNG file names.
    """

    shape: tuple[int, int]
    colours: str
    dtype: str
    exif: bytes | None = None
    icc: bytes | None = None
    software: str = ""


def png_header(file: BinaryIO, *, metadata: bool = False) -> Header:
    """Read the header of a PNG file; palettes are RGB, a transparent colour is alpha.

    Parameters
    ----------
    file : file
        Opened at any place.
    metadata : bool
        Look for EXIF and colour profile, which may be behind the pixels, too.

    Raises
    ------
    ValueError, struct.error, zlib.error
        If the file is cut or damaged.
    """
    shape, bits, kind = (0, 0), 0, -1
    transparent, exif, icc, software = False, None, None, ""
    for name, length in _png_chunks(file):
        if name == b"IHDR":
            width, height, bits, kind = struct.unpack(">IIBB", _checked(file, name, length)[:10])
            shape = (height, width)
        elif name == b"IDAT" and not metadata:
            break
        elif name == b"tRNS":
            transparent = True
        elif name == b"eXIf" and metadata:
            exif = EXIF + _checked(file, name, length)
        elif name == b"iCCP" and metadata:
            profile = _checked(file, name, length)
            icc = zlib.decompress(profile[profile.index(b"\0") + 2 :])
        elif name in (b"tEXt", b"iTXt") and metadata and length < _TEXT_BYTES:
            text = _checked(file, name, length)
            if text.startswith(_PROGRAM):
                software = text[len(_PROGRAM) :].lstrip(b"\0").decode("utf-8", "replace")
    if 0 in shape or kind not in _PNG_COLOURS:
        raise ValueError("its header is damaged")
    colours = _PNG_COLOURS[kind]
    if transparent and not colours.endswith("A"):
        colours += "A"
    return Header(shape, colours, "uint16" if bits == 16 else "uint8", exif, icc, software)


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of every chunk, the file being at its data."""
    size = file.seek(0, 2)
    place, name = len(PNG), b""
    while name != b"IEND":
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("the file is cut")
        length, name = struct.unpack(">I4s", head)
        place += length + 12
        if place > size:
            raise ValueError("the file is cut")
        yield name, length


def check_png(file: BinaryIO) -> None:
    """See that all chunks of a PNG file are there, with the checksums that they say.

    Raises
    ------
    ValueError
        If not.
    """
    for name, length in _png_chunks(file):
        _checked(file, name, length)


def _checked(file: BinaryIO, name: bytes, length: int) -> bytes:
    data = file.read(length)
    if struct.pack(">I", zlib.crc32(name + data)) != file.read(4):
        raise ValueError(f"the checksum of its chunk {name.decode('latin-1')} is wrong")
    return data


def jpeg_header(file: BinaryIO) -> Header:
    """Read the header of a JPEG file.

    Raises
    ------
    ValueError, struct.error
        If the file is cut or damaged, or holds no grey or RGB picture of 8 bits.
    """
    header: Header | None = None
    exif, profiles = None, {}
    for marker, data in _jpeg_segments(file):
        if marker in _FRAMES:
            header = _frame(marker, data)
        elif marker == _APP1 and data.startswith(EXIF) and exif is None:
            exif = data
        elif marker == _APP2 and data.startswith(_ICC):
            profiles[data[len(_ICC)]] = data[len(_ICC) + 2 :]
    if header is None:
        raise ValueError("its header is damaged")
    icc = b"".join(profiles[number] for number in sorted(profiles)) or None
    return Header(header.shape, header.colours, header.dtype, exif, icc)


def jpeg_is_whole(data: bytes) -> bool:
    """Whether the end of a JPEG picture is there; decoders make up grey pixels where it is not."""
    file = io.BytesIO(data)
    for _ in _jpeg_segments(file):
        pass
    return data.find(JPEG_END, file.tell()) >= 0


def _frame(marker: int, data: bytes) -> Header:
    bits, height, width, components = struct.unpack(">BHHB", data[:6])
    if components == 4:
        raise ValueError("it has CMYK colours, which are not read")
    if marker not in _FRAMES_READ or bits != 8 or components not in _JPEG_COLOURS or not height or not width:
        raise ValueError(f"it is a JPEG of {components} colours of {bits} bits and kind {marker - 0xC0}, not read")
    return Header((height, width), _JPEG_COLOURS[components], "uint8")


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of every segment before the first scan."""
    file.seek(2)
    while True:
        mark = file.read(2)
        while mark == b"\xff\xff":  # fill bytes
            mark = mark[1:] + file.read(1)
        head = file.read(2)
        if len(head) < 2 or mark[0] != 0xFF:
            raise ValueError("the file is cut or damaged in its header")
        if mark[1] == _SCAN:
            return
        length = int.from_bytes(head, "big") - 2
        data = file.read(length) if length > 0 else b""
        if len(data) != length:
            raise ValueError("the file is cut or damaged in its header")
        yield mark[1], data
