"""How long each thread has waited for pixels: reading and decoding, of whatever is computed."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Clock(threading.local):
    def __init__(self) -> None:
        self.seconds = 0.0
        self.running = False


_CLOCK = _Clock()


@contextmanager
def reading() -> Iterator[None]:
    """Count the time of what is done within as that of reading, once, where one reads through another."""
    if _CLOCK.running:
        yield
        return
    _CLOCK.running = True
    start = time.perf_counter()
    try:
        yield
    finally:
        _CLOCK.seconds += time.perf_counter() - start
        _CLOCK.running = False


def seconds_read() -> float:
    """Seconds that this thread has read so far; differences count."""
    return _CLOCK.seconds
