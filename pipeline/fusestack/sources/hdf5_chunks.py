"""Regions of HDF5 datasets, inflated in the calling thread.

HDF5 holds one lock per process while it inflates, so threads that index a dataset wait for one another. Here only
the fetch of the stored bytes happens under that lock.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.errors import InputError
from fusestack.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_DEFLATE, _SHUFFLE = 1, 2  # numbers of the filters in the HDF5 registry

_SMALL = 32768
"""Chunks of fewer bytes cost more in Python than they wait in HDF5 (measured: 8 KiB loses, 64 KiB wins)."""


def read_region(dataset: Any, box: Box) -> NDArray[Any]:
    """Read a region of a dataset: the same values as ``dataset[box.slices]``.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of any layout and filters; chunks with no filter but shuffle and deflate are decoded here, others by HDF5.
    box : Box
        Inside the dataset, in its axis order.

    Returns
    -------
    array[box.shape]
        C-contiguous, byte order of the file.

    Raises
    ------
    InputError
        If a chunk is shorter than it has to be. Other damage raises what h5py and the codec raise.
    """
    filters = own_filters(dataset)
    if filters is None or math.prod(dataset.chunks) * dataset.dtype.itemsize < _SMALL:
        return np.ascontiguousarray(dataset[box.slices])
    out = np.empty(box.shape, dataset.dtype)
    for chunk in _chunks(box, dataset.chunks):
        common = chunk.intersect(box)
        target = common.shift([-v for v in box.start]).slices
        if dataset.id.get_chunk_info_by_coord(chunk.start).byte_offset is None:
            out[target] = dataset.fillvalue
            continue
        mask, payload = dataset.id.read_direct_chunk(chunk.start)
        pixels = _decode(payload, mask, filters, chunk, dataset)
        out[target] = pixels[common.shift([-v for v in chunk.start]).slices]
    return out


def own_filters(dataset: Any) -> tuple[int, ...] | None:
    """Filters of a chunked dataset in the order in which they were applied; None where HDF5 has to decode it."""
    import h5py

    settings = dataset.id.get_create_plist()
    if settings.get_layout() != h5py.h5d.CHUNKED:
        return None
    filters = tuple(settings.get_filter(i)[0] for i in range(settings.get_nfilters()))
    return filters if set(filters) <= {_DEFLATE, _SHUFFLE} else None


def _chunks(box: Box, shape: Sequence[int]) -> Iterator[Box]:
    ranges = (range(a - a % n, b, n) for a, b, n in zip(box.start, box.stop, shape, strict=True))
    for start in itertools.product(*ranges):
        yield Box(start, tuple(a + n for a, n in zip(start, shape, strict=True)))


def _decode(payload: Any, mask: int, filters: Sequence[int], chunk: Box, dataset: Any) -> NDArray[Any]:
    import imagecodecs

    dtype = dataset.dtype
    size = chunk.size * dtype.itemsize
    for position in reversed(range(len(filters))):
        if mask >> position & 1:  # HDF5 left this filter out for this chunk
            continue
        if filters[position] == _DEFLATE:
            payload = imagecodecs.deflate_decode(payload, out=size)
        elif len(payload) == size:
            payload = _unshuffle(payload, dtype.itemsize)
    if len(payload) != size:
        raise InputError(
            f"{dataset.file.filename}: {dataset.name}: the chunk at {chunk.start} (zyx) holds {len(payload)} bytes, "
            f"not {size}; restore the file from its source"
        )
    return np.frombuffer(payload, dtype).reshape(chunk.shape)


def _unshuffle(payload: Any, itemsize: int) -> NDArray[np.uint8]:
    planes = np.frombuffer(payload, np.uint8).reshape(itemsize, -1)
    pixels = np.empty((planes.shape[1], itemsize), np.uint8)
    for i in range(itemsize):  # byte by byte is four times as fast as a transposed copy
        pixels[:, i] = planes[i]
    return pixels.reshape(-1)
