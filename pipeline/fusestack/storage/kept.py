"""What a thread needs again: decoded chunks that lie across the border of two blocks, and what it computed last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from numpy.typing import NDArray

    _Entry: TypeAlias = tuple[bytes, NDArray[Any]]


class _Kept(threading.local):
    """Chunks of one thread, the latest last; none where nobody asked to keep any."""

    def __init__(self) -> None:
        self.limit = 0
        self.bytes = 0
        self.entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self.last: tuple[Hashable, NDArray[Any]] | None = None

    def add(self, key: Hashable, entry: _Entry) -> None:
        self.entries[key] = entry
        self.bytes += _bytes(entry)
        while self.bytes > self.limit:
            self.bytes -= _bytes(self.entries.popitem(last=False)[1])

    def take(self, key: Hashable) -> _Entry | None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.bytes -= _bytes(entry)
        return entry


_KEPT = _Kept()


def _bytes(entry: _Entry) -> int:
    return len(entry[0]) + entry[1].nbytes


def forget_kept() -> None:
    """Let go of what this thread keeps."""
    _KEPT.entries.clear()
    _KEPT.bytes = 0


def forget_last() -> None:
    """Let go of what this thread made last: who reads the same later may find other pixels there."""
    _KEPT.last = None


@contextmanager
def keeping(limit: int) -> Iterator[None]:
    """Keep up to `limit` bytes of chunks that this thread decodes, until it computes something else.

    Parameters
    ----------
    limit : int
        Bytes, encoded and decoded.
    """
    before, _KEPT.limit = _KEPT.limit, limit
    try:
        yield
    finally:
        _KEPT.limit = before


def decoded(key: Hashable, data: bytes, decode: Callable[[bytes], NDArray[Any]], *, again: bool) -> NDArray[Any]:
    """Pixels of a chunk, decoded unless they are kept.

    Parameters
    ----------
    key : hashable
        Names the chunk. It is the bytes that decide: a chunk that was written anew is decoded anew.
    data : bytes
    decode : callable
        Bytes to pixels.
    again : bool
        Whether the next block may need them.

    Returns
    -------
    array
        Not to be written to.
    """
    if not _KEPT.limit:
        return decode(data)
    entry = _KEPT.take(key)
    pixels = entry[1] if entry is not None and entry[0] == data else decode(data)
    if again:
        _KEPT.add(key, (data, pixels))
    return pixels


def made_last(key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """What this thread made last, if it has this key; else it is made, and kept in place of what was.

    Until `forget_last`, which whoever makes blocks calls when they are done.

    Parameters
    ----------
    key : hashable
        Names all that it depends on.
    make : callable

    Returns
    -------
    array
        Not to be written to.
    """
    if _KEPT.last is None or _KEPT.last[0] != key:
        _KEPT.last = None  # so that there is room
        made = make()
        made.flags.writeable = False
        _KEPT.last = key, made
    return _KEPT.last[1]
