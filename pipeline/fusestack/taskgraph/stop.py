"""A mark in the work folder of an output that makes the tasks of a run stop between two blocks.

A graph that is under way cannot be called back everywhere: tasks look. A store that refuses leaves the mark, and so
does whoever interrupts a run. It names the run, so that it stops no later one.
"""

from __future__ import annotations

import time
from contextlib import suppress

from fusestack.storage import is_address, open_folder

_FOLDER = "stop"
_LOOK_SECONDS = 1.0
_LOOK_SECONDS_AT_STORES = 15.0
_KEPT_SECONDS = 7 * 86400

_stopped: set[tuple[str, str]] = set()
_looked: dict[tuple[str, str], float] = {}


def stop(work: str, run: str) -> None:
    """Have the tasks of a run stop: those of this process, and all others that see the work folder of its output."""
    _stopped.add((work, run))
    with suppress(OSError):  # on a full disk, those of this process have to do
        open_folder(f"{work}/{_FOLDER}", scratch="").put(run, [b""])


def is_stopped(work: str, run: str) -> bool:
    """Whether the tasks of a run shall stop; the folder is looked at from time to time."""
    if (work, run) in _stopped:
        return True
    now = time.monotonic()
    if now - _looked.get((work, run), -float("inf")) > (_LOOK_SECONDS_AT_STORES if is_address(work) else _LOOK_SECONDS):
        _looked[work, run] = now
        with suppress(OSError):
            if open_folder(f"{work}/{_FOLDER}", scratch="").identity(run) is not None:
                _stopped.add((work, run))
    return (work, run) in _stopped


def forget_stops(work: str) -> None:
    """Delete marks of runs that nobody can be at any more: names of runs begin with their time."""
    with suppress(OSError):
        folder = open_folder(f"{work}/{_FOLDER}", scratch="")
        for name in (name for name in folder.entries() if not name.startswith(".")):
            if time.time() - int(name[:8], 16) > _KEPT_SECONDS:
                folder.delete(name)
