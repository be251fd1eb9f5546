"""Decompression that never makes more than is expected: a few bytes of a foreign file can promise gigabytes."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Decode = Callable[[Any, int], Any]

_ZSTD_MAGIC = 0xFD2FB528
_ZSTD_SIZES = {0: "", 1: "<H", 2: "<I", 3: "<Q"}
_BLOSC_HEADER = struct.Struct("<IIII")
_BLOSC_MOST = 2**31
_TOO_MUCH = "the chunk holds more than its size: it is damaged"


def _fits(size: int, most: int) -> None:
    if size > most:
        raise ValueError(_TOO_MUCH)


def zstd(data: Any, most: int) -> Any:
    """Bytes of a frame of zstd, at most `most`.

    Raises
    ------
    ValueError
        If it holds more.
    RuntimeError
        If it is damaged.

    Notes
    -----
    The size stands in the header of a frame (RFC 8878, section 3.1.1.1), or nowhere.
    """
    size = _zstd_size(bytes(memoryview(data)[:18]))
    if size is None:
        import imagecodecs

        return imagecodecs.zstd_decode(bytes(data), out=most)
    _fits(size, most)
    from numcodecs import zstd as codec

    return codec.decompress(data)


def _zstd_size(head: bytes) -> int | None:
    """Size of what a frame holds; None where it is not said."""
    if len(head) < 6 or int.from_bytes(head[:4], "little") != _ZSTD_MAGIC:
        return 0  # no frame: the codec says what is wrong
    flags = head[4]
    alone, kind = bool(flags & 0x20), flags >> 6
    start = 5 + (not alone) + (0, 1, 2, 4)[flags & 3]
    if kind == 0:
        return head[start] if alone else None
    layout = _ZSTD_SIZES[kind]
    if len(head) < start + struct.calcsize(layout):
        return 0
    size: int = struct.unpack_from(layout, head, start)[0]
    return size + 256 if kind == 1 else size


def blosc(data: Any, most: int) -> Any:
    """Bytes of a buffer that blosc compressed, at most `most`.

    Blosc believes the lengths in the header of a buffer: of one that is cut it would decode whatever lies behind it in
    memory, without a complaint.

    Raises
    ------
    ValueError
        If the buffer is cut, or holds more.
    RuntimeError
        If it is damaged.
    """
    import imagecodecs

    if len(data) < _BLOSC_HEADER.size:
        raise ValueError("the chunk is cut")
    _, size, _, stored = _BLOSC_HEADER.unpack_from(data)
    if stored > len(data) or size >= _BLOSC_MOST:
        raise ValueError("the chunk is cut or damaged")
    _fits(size, most)
    return imagecodecs.blosc_decode(data, numthreads=1)


def gzip(data: Any, most: int) -> bytes:
    """Bytes of a gzip stream, at most `most`; ValueError if it holds more or is cut."""
    return _streamed(zlib.decompressobj(wbits=31), data, most)


def deflate(data: Any, most: int) -> bytes:
    """Bytes of a zlib stream, at most `most`; ValueError if it holds more or is cut."""
    return _streamed(zlib.decompressobj(), data, most)


def bzip2(data: Any, most: int) -> bytes:
    """Bytes of a bzip2 stream, at most `most`; ValueError if it holds more or is cut."""
    return _streamed(bz2.BZ2Decompressor(), data, most)


def xz(data: Any, most: int) -> bytes:
    """Bytes of an xz stream, at most `most`; ValueError if it holds more or is cut."""
    return _streamed(lzma.LZMADecompressor(), data, most)


def _streamed(stream: Any, data: Any, most: int) -> bytes:
    made: bytes = stream.decompress(data, most + 1)
    _fits(len(made), most)
    if not stream.eof and not stream.decompress(b"", 1) and not stream.eof:
        raise ValueError("the chunk is cut")
    return made
