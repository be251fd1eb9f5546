"""What tifffile logs of a file that we read, we say in words of our own; what it logs of others' is not touched."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Reading(threading.local):
    """How many files this thread reads, one inside the other."""

    def __init__(self) -> None:
        self.depth = 0


_READING = _Reading()
_LOGGER = logging.getLogger("tifffile")


def _is_wanted(record: logging.LogRecord) -> bool:
    """Whether it is of a file that somebody else reads, or somebody wants to see the log."""
    return not _READING.depth or _LOGGER.hasHandlers()


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Keep tifffile's log of this thread to those who have set logging up."""
    _LOGGER.addFilter(_is_wanted)  # does nothing where it is there already
    _READING.depth += 1
    try:
        yield
    finally:
        _READING.depth -= 1
