"""Whether the directories of a TIFF file are whole.

A file that was cut while it was copied often still opens, with fewer planes or without the description of its axes.
This walk over all directories notices it; it reads no pixel.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fusestack.model.errors import InputError
from fusestack.sources.base import opened_file

if TYPE_CHECKING:
    from typing import BinaryIO

_SUBFILES = 330
_NEEDED = frozenset({256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 317, 322, 323, 324, 325, _SUBFILES, 339, 347})
"""Tags whose values are needed to place and decode pixels; damage elsewhere is harmless."""

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its TIFF type."""


def check_structure(path: str) -> None:
    """Follow every directory of a TIFF or BigTIFF file to the end of the chain.

    Raises
    ------
    InputError
        If the file is no TIFF file, or a directory or the value of a needed tag lies beyond its end.
    """
    with opened_file(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        header = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(header[:2])
        big = order and len(header) >= 4 and struct.unpack(f"{order}H", header[2:4])[0] == 43
        if order is None or len(header) < (16 if big else 8):
            raise InputError(f"{path}: is not a TIFF file; check its name, or restore it from its source")
        first = struct.unpack(f"{order}Q", header[8:16])[0] if big else struct.unpack(f"{order}I", header[4:8])[0]
        pending, seen = [first], set()
        while pending:
            offset = pending.pop()
            if not offset or offset in seen:
                continue
            seen.add(offset)
            following = _directory(file, offset, size, order, big=bool(big))
            if following is None:
                raise InputError(
                    f"{path}: is truncated or damaged (directory {len(seen)} at byte {offset}, file of {size} bytes); "
                    "restore it from its source"
                )
            pending += following


def _directory(file: BinaryIO, offset: int, size: int, order: str, *, big: bool) -> list[int] | None:
    """Offsets of the directories that one directory names; None if it or a needed value is not all there."""
    number_format, entry_format, offset_format = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    width = struct.calcsize(f"{order}{offset_format}")
    file.seek(offset)
    raw = file.read(struct.calcsize(f"{order}{number_format}"))
    if len(raw) < struct.calcsize(f"{order}{number_format}"):
        return None
    count = struct.unpack(f"{order}{number_format}", raw)[0]
    entry_bytes = struct.calcsize(f"{order}{entry_format}")
    if offset + count * entry_bytes + width > size:
        return None
    raw = file.read(count * entry_bytes + width)
    found: list[int] = []
    for tag, kind, values, inline in struct.iter_unpack(f"{order}{entry_format}", raw[:-width]):
        if tag not in _NEEDED:
            continue
        nbytes = values * _BYTES.get(kind, 1)
        place = struct.unpack(f"{order}{offset_format}", inline)[0]
        if nbytes > width and place + nbytes > size:
            return None
        if tag == _SUBFILES:
            item = {4: "I", 13: "I"}.get(kind, "Q")
            if nbytes > width:
                file.seek(place)
                inline = file.read(nbytes)
            found += struct.unpack(f"{order}{values}{item}", inline[:nbytes])
    return [*found, struct.unpack(f"{order}{offset_format}", raw[-width:])[0]]
