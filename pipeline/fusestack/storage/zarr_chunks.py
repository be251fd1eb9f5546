"""Regions of Zarr arrays, on a disk or behind an address, decoded in the calling thread.

zarr-python decodes behind one event loop per process, which costs up to 1.5 times the processor time of the codec and
makes threads wait for one another. Arrays of the usual layouts are read here directly; zarr-python reads all others.
"""

from __future__ import annotations

import itertools
import json
import math
import zlib
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.storage import bounded, is_address, open_folder
from fusestack.storage.chunk_keys import ChunkKeys, keys_in, stored_cells
from fusestack.storage.kept import decoded
from fusestack.storage.together import chunks_ahead, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.storage import Folder
    from fusestack.storage.folder import Parts

    _Cell = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    _Stored = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bytes | None]

_NO_CHUNK = np.iinfo(np.uint64).max
_INDEX_ENTRY = 16
_CHECKSUM = 4


@dataclass(frozen=True)
class ChunkReader:
    """Reads regions of one array.

    Parameters
    ----------
    folder : Folder
        Of the array.
    key : callable
        File of a chunk (a shard where there are shards) in the folder, by its index.
    shape, chunk : tuple of int
        Of the array, and of what is compressed in one piece.
    shard : tuple of int or None
    dtype : dtype
    fill : scalar
        Value of pixels that are not stored.
    decode : callable
        Bytes of a chunk to its pixels' bytes.
    renamed : bool
        Whether chunks are called otherwise than the metadata say.
    """

    folder: Folder
    key: Callable[[tuple[int, ...]], str]
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    dtype: np.dtype[Any]
    fill: Any
    decode: Callable[[bytes], Any]
    renamed: bool = False

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Pixels of a chunk, by the name that zarr-python has for them."""
        return self.chunk

    def read(self, start: Sequence[int], stop: Sequence[int]) -> NDArray[Any]:
        """Read the region ``start <= i < stop``, one entry per axis of the array.

        Raises
        ------
        OSError, ValueError
            If a file cannot be read or is damaged; names it.
        """
        out = np.empty([b - a for a, b in zip(start, stop, strict=True)], dtype=self.dtype)
        cells = _cells(start, stop, self.shard or self.chunk)
        ahead = chunks_ahead(self._chunk_bytes)

        def asked(cell: _Cell) -> tuple[_Cell, bytes | None]:
            if self.shard is not None and not self._is_far:
                return cell, None  # a shard on a disk is opened once
            with self._of_file(self.key(cell[0])):
                return cell, self._first(self.key(cell[0]))

        # decoded here, in one thread; of a store, some answers are waited for at a time
        for (index, low, high), found in in_turn(asked, cells, far=self._is_far, most=ahead):
            key = self.key(index)
            with self._of_file(key):
                for first, last, chunk_start, data in self._stored(key, index, low, high, found):
                    place = tuple(slice(a - s, b - s) for a, b, s in zip(first, last, start, strict=True))
                    if data is None:
                        out[place] = self.fill
                        continue
                    inside = tuple(slice(a - c, b - c) for a, b, c in zip(first, last, chunk_start, strict=True))
                    ends = zip(chunk_start, self.chunk, stop, self.shape, strict=True)
                    again = any(c + n > b and b < size for c, n, b, size in ends)
                    with self._named(chunk_start):
                        chunk = decoded((self.folder.where, key, chunk_start), data, self._pixels, again=again)
                    out[place] = chunk[inside]
        return out

    @property
    def _is_far(self) -> bool:
        return is_address(self.folder.where)

    def encoded(self, index: tuple[int, ...]) -> bytes | None:
        """Bytes of a chunk as they are stored, by its index; None where it is not.

        Raises
        ------
        OSError, ValueError
            If its file cannot be read or is damaged; names it.
        """
        start = [i * n for i, n in zip(index, self.chunk, strict=True)]
        ((cell, low, high),) = _cells(start, [a + 1 for a in start], self.shard or self.chunk)
        key = self.key(cell)
        with self._of_file(key):
            ((*_, data),) = self._stored(key, cell, low, high, None if self.shard else self._first(key))
        return data

    @contextmanager
    def _of_file(self, key: str) -> Iterator[None]:
        """Errors say of which file they are."""
        try:
            yield
        except (ValueError, RuntimeError, zlib.error) as error:
            raise ValueError(f"{self.folder.where}/{key}: {error}") from error

    def stored_chunk(self, start: Sequence[int], stop: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Part of the region ``start <= i < stop`` that a stored chunk holds: first and last (exclusive) pixel.

        None where none is stored, or none of those that were looked for behind an address.

        Raises
        ------
        OSError, ValueError
            If the index of a shard cannot be read; names it.
        """
        cell = self.shard or self.chunk
        low = [a // n for a, n in zip(start, cell, strict=True)]
        high = [-(-b // n) for b, n in zip(stop, cell, strict=True)]
        for index in stored_cells(self.folder, self.key, low, high):
            first = [max(a, i * n) for a, i, n in zip(start, index, cell, strict=True)]
            last = [min(b, (i + 1) * n) for b, i, n in zip(stop, index, cell, strict=True)]
            if self.shard is None:
                return tuple(first), tuple(last)
            if (inside := self._stored_in_shard(index, first, last)) is not None:
                return inside
        return None

    def _stored_in_shard(
        self, index: tuple[int, ...], first: Sequence[int], last: Sequence[int]
    ) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        assert self.shard is not None
        key = self.key(index)
        with self._of_file(key):
            table = self._table(self._first(key) or b"")
        per_shard = table.shape[:-1]
        for cell, low, high in _cells(first, last, self.chunk):
            if table[tuple(i % n for i, n in zip(cell, per_shard, strict=True))][0] != _NO_CHUNK:
                return low, high
        return None

    def _first(self, key: str) -> bytes | None:
        """What is read of a file first: of a shard its index, else all of it; None where there is no such file."""
        if self.shard is None:
            data = self.folder.get(key)  # in one piece: a store read like a file is asked for every few kilobytes
            if data == b"":
                raise ValueError("the file is empty")
            return data
        with suppress(FileNotFoundError), self.folder.parts(key) as file:
            return file.tail(self._tail_bytes)
        return None

    def _stored(
        self, key: str, index: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...], found: bytes | None
    ) -> Iterator[_Stored]:
        """Yield wanted part (first, last), start and bytes of every chunk, None for one that is not stored.

        `found` is what `_first` gave of the file; of a shard on a disk it is read here.
        """
        if self.shard is None:
            yield low, high, tuple(i * c for i, c in zip(index, self.chunk, strict=True)), found
            return
        with ExitStack() as opened:
            file = None
            with suppress(FileNotFoundError):
                file = opened.enter_context(self.folder.parts(key))
            if file is None or (found is None and self._is_far):
                yield low, high, low, None
                return
            yield from self._chunks_in(file, file.tail(self._tail_bytes) if found is None else found, low, high)

    def _chunks_in(self, file: Parts, tail: bytes, low: Sequence[int], high: Sequence[int]) -> Iterator[_Stored]:
        """As `_stored`, of a shard that is open; `tail` is its index."""
        table, there = self._table(tail), []
        for cell, first, last in _cells(low, high, self.chunk):
            offset, length = table[tuple(i % n for i, n in zip(cell, table.shape, strict=False))].tolist()
            start = tuple(i * c for i, c in zip(cell, self.chunk, strict=True))
            if offset == _NO_CHUNK:
                yield first, last, start, None
            elif length == 0:
                raise ValueError("the file is cut")
            else:
                there.append((first, last, start, (offset, length)))
        pieces = file.spans([span for *_, span in there], chunks_ahead(self._chunk_bytes))
        for (first, last, start, (_, length)), data in zip(there, pieces, strict=True):
            if len(data) < length:
                raise ValueError("the file is cut")
            yield first, last, start, data

    @property
    def _tail_bytes(self) -> int:
        """Of the index of a shard, which is its end."""
        return _INDEX_ENTRY * (math.prod(self.shard or self.chunk) // math.prod(self.chunk)) + _CHECKSUM

    @property
    def _chunk_bytes(self) -> int:
        return math.prod(self.chunk) * self.dtype.itemsize

    def _table(self, tail: bytes) -> NDArray[np.uint64]:
        """Offsets and lengths of the chunks of a shard, from the end of its file."""
        import google_crc32c

        assert self.shard is not None
        per_shard = tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))
        length = _INDEX_ENTRY * math.prod(per_shard)
        if len(tail) < length + _CHECKSUM:
            raise ValueError("the shard is smaller than its index: the file is cut or empty")
        data = tail[:length]
        if google_crc32c.value(data) != int.from_bytes(tail[length:], "little"):
            raise ValueError("the checksum of the shard's index is wrong: the file is damaged")
        return np.frombuffer(data, dtype="<u8").reshape(*per_shard, 2)

    @contextmanager
    def _named(self, start: tuple[int, ...]) -> Iterator[None]:
        """In a shard, an error of a chunk says which one it is."""
        try:
            yield
        except (ValueError, RuntimeError, zlib.error) as error:
            if self.shard is None:
                raise
            raise ValueError(f"the chunk that begins at pixel {list(start)}: {error}") from error

    def _pixels(self, data: bytes) -> NDArray[Any]:
        pixels: NDArray[Any] = np.frombuffer(self.decode(data), dtype=self.dtype)
        if pixels.size != np.prod(self.chunk):
            raise ValueError(f"a chunk holds {pixels.size} pixels, not {np.prod(self.chunk)}")
        return pixels.reshape(self.chunk)


def group_attributes(path: str) -> dict[str, Any] | None:
    """Attributes of a group at a local folder or an address; None where zarr-python has to say what is there."""
    folder = open_folder(path)
    try:
        if (data := folder.get("zarr.json")) is not None:
            group = json.loads(data)
            found = group.get("attributes", {}) if group["node_type"] == "group" else None
        elif folder.get(".zgroup") is not None:
            found = json.loads(folder.get(".zattrs") or b"{}")
        else:
            return None
    except (ValueError, LookupError, AttributeError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def dimension_names(path: str) -> list[str] | None:
    """Names of the axes of an array of Zarr 3; None where not every one has one."""
    try:
        names = json.loads(open_folder(path).get("zarr.json") or b"{}").get("dimension_names")
    except (ValueError, AttributeError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names and all(names) else None


def chunk_reader(path: str) -> ChunkReader | None:
    """Reader of an array at a local folder or an address, or None where zarr-python has to read it, or to say why not.

    Arrays in C order, chunks compressed by blosc, zstd or gzip or not at all, shards with their index at the end;
    Zarr 2 (of either byte order, which the pixels keep) and little-endian Zarr 3. Their metadata are read here, too:
    the import of zarr-python would take longer than a small run.
    """
    folder = open_folder(path)
    for name, layout in (("zarr.json", _layout_of_v3), (".zarray", _layout_of_v2)):
        data = folder.get(name)
        if data is not None:
            try:
                return layout(folder, json.loads(data))
            except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
                return None
    return None


def _layout_of_v2(folder: Folder, array: dict[str, Any]) -> ChunkReader | None:
    dtype = np.dtype(array["dtype"])
    fill = _fill(array["fill_value"], dtype)
    compressor = array["compressor"]
    most = math.prod(array["chunks"]) * dtype.itemsize
    decode = _decoder(None if compressor is None else compressor["id"], most)
    if array["order"] != "C" or array["filters"] or fill is None or decode is None:
        return None
    declared, shape = ChunkKeys(array.get("dimension_separator", ".")), tuple(array["shape"])
    key = keys_in(folder, declared, len(shape))
    return ChunkReader(folder, key, shape, tuple(array["chunks"]), None, dtype, fill, decode, key != declared)


def _layout_of_v3(folder: Folder, array: dict[str, Any]) -> ChunkReader | None:
    keys, grid, codecs = array["chunk_key_encoding"], array["chunk_grid"], array["codecs"]
    usual = keys["name"] == "default" and grid["name"] == "regular" and not array.get("storage_transformers")
    dtype = np.dtype(array["data_type"])
    fill = _fill(array["fill_value"], dtype)
    chunk, shard = tuple(grid["configuration"]["chunk_shape"]), None
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        options = codecs[0]["configuration"]
        index = [codec["name"] for codec in options["index_codecs"]]
        usual = usual and options.get("index_location", "end") == "end" and index == ["bytes", "crc32c"]
        codecs, chunk, shard = options["codecs"], tuple(options["chunk_shape"]), chunk
    decode = _decoder_of_chain(codecs, math.prod(chunk) * dtype.itemsize)
    if array["node_type"] != "array" or not usual or fill is None or decode is None:
        return None
    separator = keys.get("configuration", {}).get("separator", "/")
    declared, shape = ChunkKeys(separator, f"c{separator}"), tuple(array["shape"])
    key = keys_in(folder, declared, len(shape))
    return ChunkReader(folder, key, shape, chunk, shard, dtype, fill, decode, key != declared)


def _fill(value: Any, dtype: np.dtype[Any]) -> Any:
    """Fill value of JSON; None where it is none, or written in an unusual way."""
    if dtype.kind not in "iuf" or isinstance(value, bool):
        return None
    if value in ("NaN", "Infinity", "-Infinity"):
        return dtype.type(float(value)) if dtype.kind == "f" else None
    return dtype.type(value) if isinstance(value, int | float) else None


def _decoder_of_chain(codecs: Sequence[Any], most: int) -> Callable[[Any], Any] | None:
    """Decoder of ``bytes`` followed by at most one compressor, and that by checksums."""
    checked = bool(codecs) and codecs[-1]["name"] == "crc32c"
    codecs = codecs[:-1] if checked else codecs
    if not codecs or codecs[0]["name"] != "bytes" or len(codecs) > 2:
        return None
    if codecs[0].get("configuration", {}).get("endian", "little") != "little":
        return None
    decode = _decoder(codecs[1]["name"] if len(codecs) == 2 else None, most)
    return (lambda data: decode(without_checksum(data))) if checked and decode is not None else decode


def without_checksum(data: bytes) -> Any:
    """What comes before the CRC-32C of a chunk.

    Raises
    ------
    ValueError
        If that is wrong.
    """
    import google_crc32c

    content = np.frombuffer(data, np.uint8)[:-_CHECKSUM]  # no copy
    if len(data) < _CHECKSUM or google_crc32c.value(content) != int.from_bytes(data[-_CHECKSUM:], "little"):
        raise ValueError("the checksum of the chunk is wrong: the file is damaged")
    return content


def _decoder(name: str | None, most: int) -> Callable[[Any], Any] | None:
    """Decoder of a compressor, which never makes more than `most` bytes."""
    if name is None:
        return lambda data: data
    decode = {"gzip": bounded.gzip, "blosc": bounded.blosc, "zstd": bounded.zstd}.get(name)
    return None if decode is None else lambda data: decode(data, most)


def _cells(
    start: Sequence[int], stop: Sequence[int], cell: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Yield index, first and last (exclusive) wanted pixel of every cell that a region touches."""
    ranges = [range(a // n, -(-b // n)) for a, b, n in zip(start, stop, cell, strict=True)]
    for index in itertools.product(*ranges):
        first = tuple(max(a, i * n) for a, i, n in zip(start, index, cell, strict=True))
        last = tuple(min(b, (i + 1) * n) for b, i, n in zip(stop, index, cell, strict=True))
        yield index, first, last
