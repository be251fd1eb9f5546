"""Locks on open files: the system releases them when a process ends, however it ends."""

from __future__ import annotations

import os
import random
import sys
import time


def open_lock(path: str | os.PathLike[str], *, create: bool = True) -> int:
    """Open a lock file; not through a symbolic link, where the system can refuse that.

    Windows lacks that flag (only administrators make links there), and has one against its translation of line ends.
    """
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags | os.O_CREAT if create else flags, 0o644)


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
    """Take the lock of an open file, which lasts until it is closed.

    Parameters
    ----------
    descriptor : int
        Of `open_lock`.
    shared : bool
        Together with others who say so, too.
    wait : bool
        Until it is free.

    Raises
    ------
    BlockingIOError
        If somebody else has it.
    """
    _take(descriptor, shared, wait)


if sys.platform == "win32":
    import msvcrt

    _PAUSE = 0.05
    _PLACE = 2**30
    """Where the bytes that stand for a lock begin: beyond all content, since nobody can read what is locked."""
    _SHARES = 64
    """How many can share a lock; who wants it alone takes all of these bytes."""

    def _take(descriptor: int, shared: bool, wait: bool) -> None:
        while not _taken(descriptor, shared):
            if not wait:
                raise BlockingIOError("somebody else has the lock")
            time.sleep(_PAUSE)

    def _taken(descriptor: int, shared: bool) -> bool:
        """One of the bytes, whichever is free, or all."""
        for place in random.sample(range(_SHARES), _SHARES) if shared else [0]:
            os.lseek(descriptor, _PLACE + place, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1 if shared else _SHARES)
            except OSError:
                continue
            finally:
                os.lseek(descriptor, 0, os.SEEK_SET)
            return True
        return False

else:
    import fcntl

    def _take(descriptor: int, shared: bool, wait: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
