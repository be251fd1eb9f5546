"""Compressed chunks of one block in one file, until one process puts them into the HDF5 file.

::

    magic           8 bytes   "fsblock1"
    count           uint32    chunks in the block
    checksum        uint32    CRC-32 of the table
    table           count x (length uint64, checksum uint32)      length 0: all pixels are the fill value
    payloads        one after another

All numbers are little-endian.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


_MAGIC = b"fsblock1"
_HEADER = np.dtype([("magic", "S8"), ("count", "<u4"), ("checksum", "<u4")])
_ENTRY = np.dtype([("length", "<u8"), ("checksum", "<u4")])


def block_parts(payloads: Sequence[bytes]) -> list[bytes]:
    """Parts of a block file, in order; an empty payload stands for a chunk of fill values."""
    table = np.array([(len(p), zlib.crc32(p)) for p in payloads], dtype=_ENTRY).tobytes()
    header = np.array([(_MAGIC, len(payloads), zlib.crc32(table))], dtype=_HEADER)
    return [header.tobytes(), table, *payloads]


def read_payloads(path: Path, count: int, wanted: Sequence[int]) -> Iterator[bytes]:
    """Read some chunks of a block file, in the order given; b"" for a chunk of fill values.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OutputError
        If the file is damaged or has another number of chunks.
    """
    with path.open("rb") as file:
        raw = file.read(_HEADER.itemsize)
        header = np.frombuffer(raw, _HEADER)[0] if len(raw) == _HEADER.itemsize else None
        if header is None or header["magic"] != _MAGIC or header["count"] != count:
            raise _damaged(path, f"is not a block of {count} chunks")
        table_bytes = file.read(count * _ENTRY.itemsize)
        if zlib.crc32(table_bytes) != header["checksum"]:
            raise _damaged(path, "the table of chunks is damaged")
        table = np.frombuffer(table_bytes, _ENTRY)
        ends = np.cumsum(table["length"], dtype=np.int64) + _HEADER.itemsize + len(table_bytes)
        for number in wanted:
            length = int(table["length"][number])
            file.seek(int(ends[number]) - length)
            payload = file.read(length)
            if length and zlib.crc32(payload) != table["checksum"][number]:
                raise _damaged(path, f"chunk {number} is damaged")
            yield payload


def _damaged(path: Path, what: str) -> OutputError:
    return OutputError(f"{path}: {what}; delete the output and run again")
