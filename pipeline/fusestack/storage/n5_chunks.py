"""N5 datasets, on a disk or behind an address, decoded in the calling thread.

Blocks are read here and not by tensorstore, which does not know N5's lz4, refuses attributes that n5-java writes and
brings threads of its own; what a block holds is said by its header, and its codecs are those of libraries. See
https://github.com/saalfeldlab/n5.
"""

from __future__ import annotations

import json
import lzma
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.storage import bounded, open_folder
from fusestack.storage.chunk_keys import ChunkKeys
from fusestack.storage.zarr_chunks import ChunkReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.storage.bounded import Decode

_LZ4_HEADER = struct.Struct("<8sBIII")  # of Java's LZ4 block stream: mark, token, bytes stored, bytes, checksum
_LZ4_MARK, _LZ4_RAW = b"LZ4Block", 0x10
_MOST_TIMES_THE_BLOCK = 64
_GZIP_MARK = b"\x1f\x8b"
_DAMAGE = (struct.error, EOFError, OSError, SystemError, lzma.LZMAError)  # besides what ChunkReader expects


def read_attributes(container: str, name: str) -> dict[str, Any]:
    """Attributes of a group or a dataset; empty where it has none or is not there.

    Raises
    ------
    OSError, ValueError
        If they cannot be read.
    """
    data = open_folder(container).get(f"{name}/attributes.json".lstrip("/"))
    found: dict[str, Any] = {} if data is None else json.loads(data)
    return found


def n5_reader(container: str, name: str, attributes: dict[str, Any]) -> ChunkReader:
    """Reader of a dataset, axes in C order: the reverse of N5's.

    Raises
    ------
    ValueError
        If the compression is unknown.
    """
    shape, block = (tuple(int(n) for n in reversed(attributes[key])) for key in ("dimensions", "blockSize"))
    dtype = np.dtype(attributes["dataType"])
    # before version 2 the compression was a text
    compression = attributes.get("compression") or {"type": attributes.get("compressionType", "raw")}
    decode = _CODECS.get(compression["type"])
    if decode is None:
        raise ValueError(f"its compression '{compression['type']}' is unknown; known are {', '.join(_CODECS)}")
    return ChunkReader(
        folder=open_folder(f"{container.rstrip('/')}/{name}"),
        key=ChunkKeys(turned=True),
        shape=shape,
        chunk=block,
        shard=None,
        dtype=dtype,
        fill=0,
        decode=lambda data: _block(data, decode, block, dtype),
    )


def _block(data: bytes, decode: Decode, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Pixels of a block; one that is smaller than the others is filled up with zeros.

    Raises
    ------
    ValueError, RuntimeError, zlib.error
        If it is damaged.
    """
    try:
        return _pixels(data, decode, shape, dtype)
    except _DAMAGE as error:
        raise ValueError(f"the block is cut or damaged: {error}") from error


def _pixels(data: bytes, decode: Decode, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    mode, axes = struct.unpack_from(">HH", data)
    if mode not in (0, 1) or axes != len(shape):
        raise ValueError(f"a block of mode {mode} with {axes} axes")
    size = tuple(reversed(struct.unpack_from(f">{axes}I", data, 4)))
    start = 4 + 4 * axes + (4 if mode == 1 else 0)
    if math.prod(size) > _MOST_TIMES_THE_BLOCK * math.prod(shape):
        raise ValueError(f"a block of {math.prod(size):,} pixels, where blocks have {math.prod(shape):,}")
    pixels = np.frombuffer(decode(data[start:], math.prod(size) * dtype.itemsize), dtype.newbyteorder(">"))
    if pixels.size < np.prod(size):
        raise ValueError(f"a block holds {pixels.size} pixels, not {np.prod(size)}")
    whole = np.zeros(shape, dtype)
    inside = tuple(slice(min(a, b)) for a, b in zip(size, shape, strict=True))
    whole[inside] = pixels[: int(np.prod(size))].reshape(size)[inside]
    return whole


def _lz4(data: bytes, most: int) -> bytes:
    """Java's LZ4 block stream: blocks until one that is empty."""
    import imagecodecs

    parts, place = [], 0
    while place < len(data):
        mark, token, stored, size, _ = _LZ4_HEADER.unpack_from(data, place)
        if mark != _LZ4_MARK:
            raise ValueError("the stream of lz4 blocks is damaged")
        place += _LZ4_HEADER.size
        if size == 0:
            break
        payload = data[place : place + stored]
        if len(payload) < stored:
            raise ValueError("the stream of lz4 blocks is cut")
        if size > 1 << 10 + (token & 0x0F) or (most := most - size) < 0:  # before memory is asked for
            raise ValueError("the stream of lz4 blocks is damaged")
        parts.append(payload if token & 0xF0 == _LZ4_RAW else imagecodecs.lz4_decode(payload, out=size))
        if len(parts[-1]) != size:
            raise ValueError("the stream of lz4 blocks is damaged")
        place += stored
    return b"".join(parts)


def _gzip(data: bytes, most: int) -> Any:
    """Gzip or, with useZlib, zlib; imagecodecs needs half the time of Python's library for the first."""
    import imagecodecs

    return imagecodecs.gzip_decode(data, out=most) if data[:2] == _GZIP_MARK else bounded.deflate(data, most)


_CODECS: dict[str, Decode] = {
    "raw": lambda data, most: data,
    "gzip": _gzip,
    "bzip2": bounded.bzip2,
    "xz": bounded.xz,
    "lz4": _lz4,
    "blosc": bounded.blosc,
    "zstd": bounded.zstd,
}
