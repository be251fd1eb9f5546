"""Whether the directories of a TIFF file are whole.

A file that was cut while it was copied often still opens, with fewer planes or without the description of its axes.
This walk over all directories notices it; it reads no pixel.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusestack.model.errors import InputError
from fusestack.sources.base import opened_file

if TYPE_CHECKING:
    from typing import BinaryIO

    from tifffile import FileHandle

_SUBFILES = 330
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_NUMBERS = {3: "H", 4: "I", 13: "I", 16: "Q", 17: "Q", 18: "Q"}
_NEEDED = frozenset({256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 317, 322, 323, 324, 325, _SUBFILES, 339, 347})
"""Tags whose values are needed to place and decode pixels; damage elsewhere is harmless."""

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its TIFF type."""


@dataclass(frozen=True)
class Structure:
    """What the directories of a file are.

    Parameters
    ----------
    pages : int
        Directories of the chain.
    others : int
        Directories that these name: other resolutions, EXIF is none of them.
    end : int
        One past the last byte of the strips and tiles of all of them.
    size : int
        Bytes of the file.
    """

    pages: int
    others: int
    end: int
    size: int


def check_structure(path: str, file: BinaryIO | FileHandle | None = None) -> Structure:
    """Follow every directory of a TIFF or BigTIFF file to the end of the chain.

    Parameters
    ----------
    path : str
    file : binary file or tifffile.FileHandle, optional
        Where it is open already.

    Raises
    ------
    InputError
        If the file is no TIFF file, or a directory or the value of a needed tag lies beyond its end.
    """
    if file is None:
        with opened_file(path) as opened:
            return check_structure(path, opened)
    size = file.seek(0, 2)
    file.seek(0)
    header = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    big = order and len(header) >= 4 and struct.unpack(f"{order}H", header[2:4])[0] == 43
    if order is None or len(header) < (16 if big else 8):
        raise InputError(f"{path}: is not a TIFF file; check its name, or restore it from its source")
    first = struct.unpack(f"{order}Q", header[8:16])[0] if big else struct.unpack(f"{order}I", header[4:8])[0]
    pending, seen = [(first, True)], set()
    pages = end = 0
    while pending:
        offset, chained = pending.pop()
        if not offset or offset in seen:
            continue
        seen.add(offset)
        found = _directory(file, offset, size, order, big=bool(big))
        if found is None:
            raise InputError(
                f"{path}: is truncated or damaged (directory {len(seen)} at byte {offset}, file of {size} bytes); "
                "restore it from its source"
            )
        pages += chained
        end = max(end, found.end)
        pending += [*((place, False) for place in found.inside), (found.following, chained)]
    return Structure(pages, len(seen) - pages, end, size)


@dataclass(frozen=True)
class _Directory:
    """Directories that one directory names, the one after it, and where its strips or tiles end."""

    inside: tuple[int, ...]
    following: int
    end: int


def _directory(file: BinaryIO | FileHandle, offset: int, size: int, order: str, *, big: bool) -> _Directory | None:
    """Read one directory; None if it or a needed value is not all there."""
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
    wanted: dict[int, tuple[int, int, bytes]] = {}
    for tag, kind, values, inline in struct.iter_unpack(f"{order}{entry_format}", raw[:-width]):
        if tag not in _NEEDED:
            continue
        nbytes = values * _BYTES.get(kind, 1)
        place = struct.unpack(f"{order}{offset_format}", inline)[0]
        if nbytes > width and place + nbytes > size:
            return None
        if tag in (_SUBFILES, *_OFFSETS, *_COUNTS):
            wanted[tag] = (kind, values, inline)

    def numbers(tags: tuple[int, ...]) -> tuple[int, ...]:
        found = next((wanted[tag] for tag in tags if tag in wanted), None)
        if found is None or found[0] not in _NUMBERS:
            return ()
        kind, values, inline = found
        item = _NUMBERS[kind]
        nbytes = values * struct.calcsize(f"{order}{item}")
        if nbytes > width:
            file.seek(struct.unpack(f"{order}{offset_format}", inline)[0])
            inline = file.read(nbytes)
        return struct.unpack(f"{order}{values}{item}", inline[:nbytes])

    ends = [place + length for place, length in zip(numbers(_OFFSETS), numbers(_COUNTS), strict=False) if length]
    following = struct.unpack(f"{order}{offset_format}", raw[-width:])[0]
    return _Directory(numbers((_SUBFILES,)), following, max(ends, default=0))
