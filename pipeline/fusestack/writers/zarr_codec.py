"""Encoded chunks and shards of Zarr arrays, made in the calling thread.

zarr-python encodes behind one event loop per process (1.8 times the processor time of the codec, and threads share
one loop) and its gzip writes the time of day. Here the codecs run directly, release the interpreter lock, and give the
same bytes for the same pixels. The result is plain Zarr.
"""

from __future__ import annotations

import functools
import gzip
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import OutputError
from fusestack.writers.base import padded_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fusestack.model.image import Codec

CODECS = ("blosc", "zstd", "lz4", "gzip", "none")
_NO_CHUNK = np.iinfo(np.uint64).max


def encoder(codec: Codec) -> Callable[[NDArray[Any]], bytes]:
    """Make the function that compresses a contiguous little-endian chunk."""
    if codec.name == "none":
        return lambda chunk: chunk.tobytes()
    if codec.name == "gzip":
        return lambda chunk: gzip.compress(chunk.data, codec.level, mtime=0)
    if codec.name == "lz4":  # caches: importing numcodecs takes longer than compressing many of them
        return functools.partial(_lz4, codec.level)
    from numcodecs import Zstd, blosc

    if codec.name == "zstd":
        compress: Callable[[NDArray[Any]], bytes] = Zstd(codec.level).encode
        return compress
    blosc.use_threads = False  # its threads write their parts in the order in which they finish
    compressor = blosc.Blosc(blosc_library(codec), codec.level, blosc.BITSHUFFLE)
    return lambda chunk: bytes(compressor.encode(chunk))


def _lz4(level: int, chunk: NDArray[Any]) -> bytes:
    """The same bytes as numcodecs makes in one thread; other libraries inside blosc differ from version to version."""
    import imagecodecs

    encode: Any = imagecodecs.blosc_encode
    options = {"compressor": "lz4", "shuffle": "bitshuffle", "typesize": chunk.itemsize, "numthreads": 1}
    return bytes(encode(chunk, level=level, **options))


def with_checksum(encode: Callable[[NDArray[Any]], bytes]) -> Callable[[NDArray[Any]], bytes]:
    """An encoder whose chunks end with their CRC-32C, as the codec ``crc32c`` of Zarr 3 has it."""
    import google_crc32c

    def encoded(chunk: NDArray[Any]) -> bytes:
        data = encode(chunk)
        checksum: int = google_crc32c.value(data)
        return data + checksum.to_bytes(4, "little")

    return encoded


def declared_v2(codec: Codec) -> dict[str, Any] | None:
    """Codec in the metadata of an array of Zarr 2; None for ``none``.

    Raises
    ------
    OutputError
        If the codec is unknown.
    """
    match _known(codec):
        case "none":
            return None
        case "zstd" | "gzip" as name:
            return {"id": name, "level": codec.level}
        case _:
            options = {"clevel": codec.level, "shuffle": 2, "blocksize": 0}
            return {"id": "blosc", "cname": blosc_library(codec), **options}


def declared_v3(codec: Codec, itemsize: int) -> list[dict[str, Any]]:
    """Codecs after ``bytes`` in the metadata of an array of Zarr 3, none or one.

    Raises
    ------
    OutputError
        If the codec is unknown.
    """
    match _known(codec):
        case "none":
            return []
        case "zstd":
            return [{"name": "zstd", "configuration": {"level": codec.level, "checksum": False}}]
        case "gzip":
            return [{"name": "gzip", "configuration": {"level": codec.level}}]
        case _:
            options = {"clevel": codec.level, "shuffle": "bitshuffle", "blocksize": 0}
            library = {"typesize": itemsize, "cname": blosc_library(codec)}
            return [{"name": "blosc", "configuration": {**library, **options}}]


def _known(codec: Codec) -> str:
    if codec.name not in CODECS:
        raise OutputError(f"output.compression.codec: {codec.name!r} is none of {', '.join(CODECS)}")
    return codec.name


def blosc_library(codec: Codec) -> str:
    """Codec inside blosc."""
    return "lz4" if codec.name == "lz4" else "zstd"


def encode_shard(
    pixels: NDArray[Any],
    chunk: Sequence[int],
    shard: Sequence[int],
    fill: float,
    encode: Callable[[NDArray[Any]], bytes],
) -> list[bytes]:
    """Encode a shard: its chunks, then the index, then a CRC-32C of the index (Zarr sharding codec 1.0).

    Parameters
    ----------
    pixels : array
        The part of the shard inside the image.
    chunk, shard : sequence of int
        Pixels along each axis.
    fill : float
        Chunks that hold only this are left out.
    encode : callable
        From `encoder`.

    Returns
    -------
    list of bytes
        Parts of the file, in order; empty if every chunk is left out.
    """
    import google_crc32c

    counts = tuple(s // c for s, c in zip(shard, chunk, strict=True))
    inside = tuple(-(-n // c) for n, c in zip(pixels.shape, chunk, strict=True))
    index = np.full((*counts, 2), _NO_CHUNK, dtype="<u8")
    parts: list[bytes] = []
    offset = 0
    for position, padded in zip(np.ndindex(inside), padded_chunks(pixels, chunk, fill), strict=True):
        if padded is None:
            continue
        parts.append(encode(padded))
        index[position] = offset, len(parts[-1])
        offset += len(parts[-1])
    if not parts:
        return []
    table = index.tobytes()
    return [*parts, table, google_crc32c.value(table).to_bytes(4, "little")]
