"""Whose turn it is at an image: tokens in its work folder, which tasks look at before they write and tick off.

A graph that is under way cannot be called back everywhere: the driver of a run may be killed, or stopped for an hour,
while its tasks go on somewhere. A run that begins after it leaves its own token, alone. Tasks of the earlier one find
that theirs is gone, and write nothing more.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import OutputError
from fusestack.storage import is_address, open_folder
from fusestack.storage.look import forget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RUNS = "runs"
"""Folder in the work folder of an output for the tokens of those who write its images."""
_LOOK_SECONDS_AT_STORES = 1.0
_SETTLE_AT_STORES = 1.5
_LEAST_PAUSE = 0.1
_MOST_TOGETHER = 50

_looked: dict[tuple[str, str, str], float] = {}
_KEEPING: dict[tuple[str, str, str], _Keeper] = {}
_KEEPING_LOCK = Lock()


def new_token() -> str:
    """Name of a run; the time comes first."""
    return f"{int(time.time()):x}{uuid.uuid4().hex[:6]}"


def run_name(token: str) -> str:
    """Name of a graph of a run; of one that nobody waits for, where there is no token."""
    return f"{token}.{uuid.uuid4().hex[:6]}" if token else new_token()


def token_of(run: str) -> str:
    """Token of the run that a graph is of; empty where it takes no turns."""
    token, dot, _ = run.partition(".")
    return token if dot else ""


def take_turn(work: str, path: str, token: str, *, alone: bool) -> None:
    """Leave a token, under the lock of whoever begins an image.

    Parameters
    ----------
    work, path : str
        Work folder and path of the image.
    token : str
    alone : bool
        Whether all others end; graphs that make the same image on what is there may go on together.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        tokens = turns(work, path)
        wanted = [token] if alone else [*[one for one in tokens if one != token][-_MOST_TOGETHER:], token]
        if wanted == tokens:
            return
        open_folder(f"{work}/{RUNS}", scratch="").put(_name(path), ["\n".join(wanted).encode()])
    except OSError as error:
        raise OutputError(f"{work}/{RUNS}: cannot be written: {error.strerror or error}") from error
    if is_address(work):
        _looked[work, path, token] = _now()
    if alone and tokens and is_address(work):
        time.sleep(_SETTLE_AT_STORES)  # until those whose turn is over have looked
        forget()  # and may have written since we did


def end_turn(work: str, path: str, token: str) -> None:
    """Take a token away, where it is there alone: of a run whose image is complete."""
    with suppress(OSError):
        if turns(work, path) == [token]:
            open_folder(f"{work}/{RUNS}", scratch="").delete(_name(path))


def turns(work: str, path: str) -> list[str]:
    """Tokens of those who may write an image."""
    return (open_folder(f"{work}/{RUNS}", scratch="").get(_name(path)) or b"").decode(errors="replace").split()


def has_turn(work: str, path: str, token: str) -> bool:
    """Whether a run may still write an image; without a token everybody may. A store is asked once a second.

    Raises
    ------
    OSError
        If the disk or the store does not say.
    """
    if not token:
        return True
    if not is_address(work):
        return token in turns(work, path)
    if _now() - _looked.get((work, path, token), -float("inf")) < _LOOK_SECONDS_AT_STORES:
        return True
    return _look(work, path, token)


def _look(work: str, path: str, token: str) -> bool:
    """Ask a store whose turn it is; the answer counts from when it was asked."""
    now = _now()
    if token not in turns(work, path):
        return False
    _looked[work, path, token] = now
    return True


@contextmanager
def keeping_turn(work: str, path: str, token: str) -> Iterator[None]:
    """Look again and again meanwhile, where that is a wait: who is about to write then knows already."""
    if not token or not is_address(work):
        yield
        return
    with _KEEPING_LOCK:
        keeper = _KEEPING.get((work, path, token))
        if keeper is None:
            keeper = _KEEPING[work, path, token] = _Keeper(work, path, token)
        keeper.count += 1
    try:
        yield
    finally:
        with _KEEPING_LOCK:
            keeper.count -= 1
            if not keeper.count:
                del _KEEPING[work, path, token]
                keeper.over.set()


class _Keeper:
    """A thread that looks at a turn, so that what is known of it is never older than a store may be believed."""

    def __init__(self, work: str, path: str, token: str) -> None:
        self.count, self.over = 0, Event()
        self._turn = (work, path, token)
        Thread(target=self._keep, name="turn", daemon=True).start()

    def _keep(self) -> None:
        took = _LOOK_SECONDS_AT_STORES / 4
        while not self.over.wait(max(_LEAST_PAUSE, _LOOK_SECONDS_AT_STORES - 2 * took - _LEAST_PAUSE)):
            began = _now()
            try:
                if not _look(*self._turn):
                    return  # who asks finds it, too
            except OSError:  # who asks tries again, and says so
                continue
            finally:
                took = _now() - began


def check_turn(work: str, path: str, token: str) -> None:
    """Refuse to go on where another run has begun.

    Raises
    ------
    OutputError
        If it has.
    OSError
        If the disk or the store does not say.
    """
    if not has_turn(work, path, token):
        raise OutputError(f"{path}: another run has taken it over, or {work} is gone; this one writes nothing more")


def release_old_tasks(backend: Any, tokens: Iterable[str]) -> None:
    """Have a dask scheduler forget what earlier runs have left there; what is under way ends with its block.

    Nothing depends on it: a scheduler that does not allow it goes on, and its tasks find that their turn is over.
    """
    client, old = getattr(backend, "client", None), tuple(tokens)
    if client is not None and old:
        with suppress(Exception):
            client.run_on_scheduler(_release, old)


def _release(tokens: tuple[str, ...], dask_scheduler: Any = None) -> int:
    """On the scheduler: let go of all tasks in whose names there is a token."""
    old = [
        task
        for task in dask_scheduler.tasks.values()
        if isinstance(task.key, tuple) and any(f"-0{token}." in str(task.key[0]) for token in tokens)
    ]
    for task in old:
        for waiting in list(task.who_wants or ()):
            dask_scheduler.client_releases_keys(keys=[task.key], client=waiting.client_key)
    said = {"reason": "lost-dependencies", "msg": "a later run has begun"}
    dask_scheduler.report({"op": "cancelled-keys", "keys": [task.key for task in old], **said})
    return len(old)


def _name(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:12]


def _now() -> float:
    """Seconds that also pass while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
