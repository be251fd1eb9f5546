"""A file takes the place of another one in one step, on Windows, too."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TRIES = 40 if sys.platform == "win32" else 1
_PAUSE = 0.05


def take_place(partial: Path, path: Path) -> None:
    """Rename a file over another.

    Windows refuses while anybody has one of them open: a reader for a moment, the indexer, a virus scanner. So there it
    is tried for two seconds.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    for left in reversed(range(_TRIES)):
        try:
            partial.replace(path)
        except PermissionError:
            if not left:
                raise
            time.sleep(_PAUSE)
        else:
            return
