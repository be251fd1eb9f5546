"""Regions of HDF5 datasets, inflated in the calling thread.

HDF5 holds one lock per process while it inflates, so threads that index a dataset wait for one another. Here only
the fetch of the stored bytes happens under that lock.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_DEFLATE, _SHUFFLE = 1, 2  # numbers of the filters in the HDF5 registry
_NAMES = {4: "szip", 307: "bzip2", 32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp"}
_NAMES |= {32015: "zstd", 32016: "b3d", 32017: "sz", 32024: "sz3", 32026: "blosc2", 32028: "sperr"}

_SMALL = 4096
"""Chunks of fewer bytes are left to HDF5: they cost more in Python than they wait in there."""


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
    filters, dtype, shape = own_filters(dataset), dataset.dtype, dataset.chunks
    if filters is None:
        require_filters(dataset, f"{dataset.file.filename}: {dataset.name}")
    if filters is None or math.prod(shape) * dtype.itemsize < _SMALL:
        return np.ascontiguousarray(dataset[box.slices])
    size = math.prod(shape) * dtype.itemsize
    out = np.empty(box.shape, dtype)
    for cuts in itertools.product(*map(_cuts, box.start, box.stop, shape)):
        origin, inside, target = zip(*cuts, strict=True)
        try:
            mask, payload = dataset.id.read_direct_chunk(origin)
        except (OSError, RuntimeError, ValueError, MemoryError):
            # Not stored (MemoryError: nor any other), or damaged: HDF5 fills it or says so. (To ask it beforehand
            # takes a walk over all chunks.)
            where = tuple(slice(a + s.start, a + s.stop) for a, s in zip(origin, inside, strict=True))
            out[target] = dataset[where]
            continue
        payload = _decode(payload, mask, filters, dtype.itemsize, size)
        if len(payload) != size:
            raise InputError(
                f"{dataset.file.filename}: {dataset.name}: the chunk at {origin} (zyx) holds {len(payload)} bytes, "
                f"not {size}; restore the file from its source"
            )
        out[target] = np.frombuffer(payload, dtype).reshape(shape)[inside]
    return out


def stored_region(dataset: Any) -> Box | None:
    """Region of a chunk of a dataset that is stored, the middle one if it is; None if nothing is."""
    shape, chunk = dataset.shape, dataset.chunks
    if chunk is None:  # stored in one piece, or not at all
        last = Box((*(n - 1 for n in shape[:-1]), 0), shape)
        return last if dataset.id.get_storage_size() or dataset.is_virtual else None
    origin = tuple(n // 2 // c * c for n, c in zip(shape, chunk, strict=True))
    if dataset.id.get_chunk_info_by_coord(origin).byte_offset is None:
        if not dataset.id.get_num_chunks():
            return None
        origin = dataset.id.get_chunk_info(0).chunk_offset
    return Box(origin, tuple(min(a + c, n) for a, c, n in zip(origin, chunk, shape, strict=True)))


def require_filters(dataset: Any, where: str) -> None:
    """Make sure that the chunks of a dataset can be decoded; loads hdf5plugin for filters that HDF5 does not bring.

    Parameters
    ----------
    dataset : h5py.Dataset
    where : str
        File and dataset, for the message.

    Raises
    ------
    InputError
        If nothing here decodes one of its filters; names it.
    """
    import h5py

    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(i) for i in range(settings.get_nfilters())]
    if all(h5py.h5z.filter_avail(number) for number, *_ in filters):
        return
    import hdf5plugin  # noqa: F401 - registers its filters; half as long to load as h5py, so only where one is met

    unknown = [found for found in filters if not h5py.h5z.filter_avail(found[0])]
    if not unknown:
        return
    names = (
        f"{number} ({_NAMES.get(number) or said.decode(errors='replace') or 'unknown'})"
        for number, _, _, said in unknown
    )
    raise InputError(
        f"{where}: is compressed by the HDF5 filter {', '.join(names)}, which neither HDF5 nor hdf5plugin brings; "
        "save it again with gzip or without compression, or install the plug-in and name its folder in HDF5_PLUGIN_PATH"
    )


def own_filters(dataset: Any) -> tuple[int, ...] | None:
    """Filters of a chunked dataset in the order in which they were applied; None where HDF5 has to decode it."""
    import h5py

    settings = dataset.id.get_create_plist()
    if settings.get_layout() != h5py.h5d.CHUNKED:
        return None
    filters = tuple(settings.get_filter(i)[0] for i in range(settings.get_nfilters()))
    return filters if set(filters) <= {_DEFLATE, _SHUFFLE} else None


def _cuts(start: int, stop: int, step: int) -> list[tuple[int, slice, slice]]:
    """Chunks along an axis: first pixel, the part of the chunk that is asked for, and where it goes."""
    return [
        (a, slice(max(start - a, 0), min(stop - a, step)), slice(max(a - start, 0), min(a + step, stop) - start))
        for a in range(start - start % step, stop, step)
    ]


def _decode(payload: Any, mask: int, filters: Sequence[int], itemsize: int, size: int) -> Any:
    """Undo the filters of a chunk of `size` bytes; bit i of `mask` says that HDF5 left out filter i for it."""
    import imagecodecs

    for position in reversed(range(len(filters))):
        if mask >> position & 1:
            continue
        if filters[position] == _DEFLATE:
            payload = imagecodecs.deflate_decode(payload, out=size)
        elif len(payload) == size:
            payload = _unshuffle(payload, itemsize)
    return payload


def _unshuffle(payload: Any, itemsize: int) -> NDArray[np.uint8]:
    planes = np.frombuffer(payload, np.uint8).reshape(itemsize, -1)
    pixels = np.empty((planes.shape[1], itemsize), np.uint8)
    for i in range(itemsize):  # byte by byte is four times as fast as a transposed copy
        pixels[:, i] = planes[i]
    return pixels.reshape(-1)
