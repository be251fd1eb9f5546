"""Chunks of HDF5 datasets: the bytes that the filters of HDF5 would make of them, made in the calling thread."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.writers.zarr_codec import blosc_library, encoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.model.image import Codec

CODECS = ("gzip", "none", "blosc")
_BITS = 2
_DEFLATE, _SHUFFLE, _BLOSC = 1, 2, 32001  # numbers of the filters in the HDF5 registry
_LIBRARIES = {"lz4": 1, "zstd": 5}  # numbers of blosc


def filters(codec: Codec) -> Mapping[str, Any]:
    """Arguments of ``create_dataset``: deflate after byte shuffle, or blosc (a filter of hdf5plugin)."""
    match codec.name:
        case "none":
            return {}
        case "gzip":
            return {"compression": "gzip", "compression_opts": codec.level, "shuffle": True}
        case _:
            import hdf5plugin

            return dict(hdf5plugin.Blosc(cname=blosc_library(codec), clevel=codec.level, shuffle=_BITS))


def declared_filters(codec: Codec, itemsize: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """What `filters_of` gives of a dataset that was made with `filters`."""
    match codec.name:
        case "none":
            return ()
        case "gzip":
            return ((_SHUFFLE, (itemsize,)), (_DEFLATE, (codec.level,)))
        case _:
            return ((_BLOSC, (codec.level, _BITS, _LIBRARIES[blosc_library(codec)])),)


def filters_of(dataset: Any) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Filters of a dataset and their options, without what HDF5 itself adds to those of blosc."""
    plist = dataset.id.get_create_plist()
    found = [plist.get_filter(number) for number in range(plist.get_nfilters())]
    return tuple((number, options[4:] if number == _BLOSC else options) for number, _, options, _ in found)


def compress(chunk: NDArray[Any], codec: Codec) -> bytes:
    """Bytes of a contiguous little-endian chunk in the HDF5 file."""
    if codec.name != "gzip":
        return encoder(codec)(chunk)
    planes = chunk.reshape(-1).view(np.uint8).reshape(-1, chunk.itemsize).T
    return zlib.compress(np.ascontiguousarray(planes).data, codec.level)


def decompress(payload: bytes, dtype: np.dtype[Any], shape: Sequence[int], codec: Codec) -> NDArray[Any]:
    """Pixels of a chunk; the reverse of `compress`."""
    if codec.name == "none":
        return np.frombuffer(payload, dtype).reshape(shape)
    if codec.name == "gzip":
        planes = np.frombuffer(zlib.decompress(payload), np.uint8).reshape(dtype.itemsize, -1)
        return np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
    from numcodecs import blosc

    return np.frombuffer(blosc.decompress(payload), dtype).reshape(shape)
