"""Temporary folders: those of processes that were killed are swept by the next one that makes one."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fusestack.running.lock import is_locked, output_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "fusestack-"
_LOCK = "lock"
"""In a folder, held by the process that made it: what lies there without being held is nobody's any more."""


@contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder that is deleted in the end, or by a later process."""
    sweep()
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as folder,
        output_lock(f"{folder}/{_LOCK}", folder),
    ):
        yield folder


def sweep() -> None:
    """Delete temporary folders of ours whose processes have ended; those of other users stay."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock = folder / _LOCK
        if not folder.is_symlink() and lock.is_file() and not lock.is_symlink() and not is_locked(lock):
            shutil.rmtree(folder, ignore_errors=True)
