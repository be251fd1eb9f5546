"""How a process that is told to end leaves: as resumable as after Ctrl-C."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def end_as_after_ctrl_c() -> None:
    """From now on SIGTERM, with which job systems and ``kill`` end processes, is as Ctrl-C.

    On Windows so are Ctrl-Break, with which a process can end another one's group, and a console that is closed.
    """
    for name in ("SIGTERM", "SIGBREAK"):
        if number := getattr(signal, name, None):
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background of a shell, where Ctrl-C is for others
        signal.default_int_handler(number, frame)
    signal.raise_signal(signal.SIGINT)
