"""How far a run is, in a small file beside its output that any machine can read."""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fusestack.storage import is_address, open_folder
from fusestack.taskgraph.events import BlocksEnded, Event, Noticed, RunEnded, RunStarted, StageEnded, StageStarted

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "status.json"
_INTERVAL = 1.0
_ERRORS_SHOWN = 20


class StatusFile:
    """Listener that keeps ``status.json`` true; written at most once a second (a store: every five), as a whole.

    Parameters
    ----------
    folder : str or Path
        Work folder of the output.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = open_folder(folder, scratch="")
        far = is_address(str(folder))  # where each writing is waited for
        self._interval = _INTERVAL * (5 if far else 1)
        self._may_wait = (BlocksEnded, StageStarted, StageEnded) if far else (BlocksEnded,)
        self._written = 0.0
        self.state: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        """Take one event."""
        now = time.time()
        state = self.state
        match event:
            case RunStarted():
                state |= {
                    "state": "running",
                    "output": event.output,
                    "process": os.getpid(),
                    "machine": platform.node(),
                    "started": now,
                    "workers": event.workers,
                    "dashboard": event.dashboard,
                    "blocks": event.blocks,
                    "done": event.done,
                    "done_before": event.done,
                    "bytes": 0,
                    "stages": {},
                    "errors": [],
                }
            case StageStarted():
                stage = {"title": event.title, "blocks": event.blocks, "done": event.done, "bytes": event.bytes}
                state["stages"][event.stage] = {"started": now, "seconds": 0.0, "failed": 0, "retries": 0} | stage
            case BlocksEnded():
                state["stages"][event.stage]["done"] += event.count
                state["done"] += event.count
                state["bytes"] += event.bytes
                errors = [{"stage": event.stage, "block": f.block, "error": f.error} for f in event.failed]
                state["errors"] = (state["errors"] + errors)[-_ERRORS_SHOWN:]
            case StageEnded():
                state["stages"][event.stage] |= {
                    "seconds": event.seconds,
                    "failed": event.failed,
                    "retries": event.retries,
                }
            case Noticed():
                state["notices"] = [*state.get("notices", []), event.text][-_ERRORS_SHOWN:]
            case RunEnded():
                state |= {"state": event.outcome, "seconds": event.seconds, "message": event.message}
        if not isinstance(event, self._may_wait) or now - self._written > self._interval:
            state["updated"] = now
            self._write()
            self._written = now

    def _write(self) -> None:
        with suppress(OSError):  # a run goes on without it; where nothing can be written, its blocks say so
            self._folder.put(FILE_NAME, [json.dumps(self.state, indent=1).encode()])


def read_status(folder: str | Path) -> dict[str, Any] | None:
    """State of the last run on an output, or None where there was none."""
    try:
        found = open_folder(folder).get(FILE_NAME)
        state: dict[str, Any] | None = None if found is None else json.loads(found)
    except (OSError, ValueError):
        return None
    return state
