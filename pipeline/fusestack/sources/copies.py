"""Files that hold the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

_PIECE = 4096


def copies(paths: Iterable[str]) -> list[list[str]]:
    """Files of this machine that hold the same bytes, at least two in a group; those of other sizes are not read.

    Parameters
    ----------
    paths : iterable of str
        What cannot be read is left out, and so are addresses.
    """
    local = [path for path in dict.fromkeys(paths) if not is_address(path)]
    groups = [local]
    for key in (_size, _pieces, _hash):
        groups = [smaller for group in groups for smaller in _grouped(group, key)]
    return groups


def _grouped(paths: list[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    found: dict[Hashable, list[str]] = defaultdict(list)
    for path in paths:
        try:
            found[key(path)].append(path)
        except OSError:
            continue
    return [group for group in found.values() if len(group) > 1]


def _size(path: str) -> int:
    return Path(path).stat().st_size


def _pieces(path: str) -> bytes:
    """A little of the beginning, the middle and the end, where recorded pictures of one size differ."""
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        found = []
        for start in (0, (size - _PIECE) // 2, size - _PIECE):
            file.seek(max(0, start))
            found.append(file.read(_PIECE))
    return b"".join(found)


def _hash(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
