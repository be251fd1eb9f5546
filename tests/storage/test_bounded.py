"""No chunk is expanded beyond its declared size: 65 kB made 2 GB."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from fusestack.storage import bounded
from fusestack.storage.zarr_chunks import chunk_reader

CODECS: dict[str, tuple[Callable[[bytes], bytes], Callable[[Any, int], Any]]] = {
    "zstd": (lambda data: bytes(numcodecs.Zstd(1).encode(data)), bounded.zstd),
    "blosc": (lambda data: bytes(numcodecs.Blosc("zstd", 1).encode(data)), bounded.blosc),
    "gzip": (gzip.compress, bounded.gzip),
    "zlib": (zlib.compress, bounded.deflate),
    "bzip2": (bz2.compress, bounded.bzip2),
    "xz": (lzma.compress, bounded.xz),
}


@given(data=st.binary(min_size=1, max_size=2000), name=st.sampled_from(sorted(CODECS)))
def test_what_fits_comes_back_and_what_is_larger_is_refused(data: bytes, name: str) -> None:
    encode, decode = CODECS[name]
    encoded = encode(data)
    assert bytes(decode(encoded, len(data))) == data
    with pytest.raises((ValueError, RuntimeError)):
        decode(encoded, len(data) - 1)


@pytest.mark.parametrize("size", [255, 256, 65791, 65792, 2**20])
def test_sizes_of_zstd_of_every_width(size: int) -> None:
    data = np.random.default_rng(0).integers(0, 9, size, dtype=np.uint8).tobytes()
    encoded = CODECS["zstd"][0](data)
    assert bytes(bounded.zstd(encoded, size)) == data
    with pytest.raises(ValueError, match="holds more than its size"):
        bounded.zstd(encoded, size - 1)


def test_a_stream_of_zstd_that_does_not_say_its_size() -> None:
    import imagecodecs

    data = bytes(5000)
    encoded = bytearray(imagecodecs.zstd_encode(data))
    size = bounded._zstd_size(bytes(encoded[:18]))
    assert size in (None, 5000)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_that_promises_gigabytes_is_damaged(zarr_format: Any, tmp_path: Path) -> None:
    codec = numcodecs.Zstd(1) if zarr_format == 2 else zarr.codecs.ZstdCodec(level=1)
    array = zarr.create_array(
        tmp_path / "a", shape=(8, 8), chunks=(8, 8), dtype="uint8", compressors=codec, zarr_format=zarr_format
    )
    array[:] = 1
    (chunk,) = [
        path for path in (tmp_path / "a").rglob("*") if path.is_file() and not path.name.startswith((".z", "zarr"))
    ]
    bomb = bytes(numcodecs.Zstd(1).encode(bytes(2**24)))
    assert len(bomb) < 2**12
    chunk.write_bytes(bomb)
    reader = chunk_reader(str(tmp_path / "a"))
    assert reader is not None
    with pytest.raises(Exception, match="holds more than its size"):
        reader.read((0, 0), (8, 8))
