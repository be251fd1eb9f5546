"""One run at a time on an output."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import OutputError
from fusestack.storage import Folder, folder_of, is_address
from fusestack.writers.base import link_refused

if TYPE_CHECKING:
    from collections.abc import Iterator


HEARTBEAT = 10.0
"""Seconds between two signs of life of a run that writes to an object store."""

STALE = 60.0
"""Seconds without a sign of life after which a run counts as dead."""

_SETTLE = 1.0


@contextmanager
def output_lock(path: str | Path, output: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of an output.

    On a disk it is released by the system when the process ends, however it ends. In an object store the holder gives
    signs of life; the lock of one that is silent for a minute is taken over.

    Parameters
    ----------
    path : str or Path
        Lock file or object; a file stays behind, its presence means nothing.
    output : str
        What is locked, for the message.
    wait : bool
        Wait while another run holds it.

    Raises
    ------
    OutputError
        If another run holds it; names the machine and the process.
    """
    if is_address(str(path)):
        lock = _object_lock(str(path), output, wait=wait)
    else:
        lock = _file_lock(Path(path), output, wait=wait)
    with lock:
        yield


@contextmanager
def shared_lock(path: Path, output: str) -> Iterator[None]:
    """Hold a lock on a disk together with others; whoever wants it alone waits, or is refused."""
    with _descriptor(path, output) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


def _held(output: str, holder: str) -> OutputError:
    return OutputError(
        f"{output}: another run is writing it ({holder}); wait for it to end or stop it, "
        "'fusestack status' shows how far it is"
    )


def _cannot_write(output: str, place: str, error: OSError) -> OutputError:
    way_out = getattr(error, "way_out", "choose another output.path or mend the permissions")
    return OutputError(f"{output}: cannot write beside it: {error.strerror or error} ({place}); {way_out}")


@contextmanager
def _descriptor(path: Path, output: str) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if path.is_symlink():
            raise OutputError(link_refused(path)) from error
        raise _cannot_write(output, str(path.parent), error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _file_lock(path: Path, output: str, *, wait: bool) -> Iterator[None]:
    with _descriptor(path, output) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _held(output, path.read_text(errors="replace").strip() or "another process") from error
        if os.fstat(descriptor).st_nlink == 1:  # else it is also a file of somebody else
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield


@contextmanager
def _object_lock(address: str, output: str, *, wait: bool) -> Iterator[None]:
    folder, name = folder_of(address)
    token = uuid.uuid4().hex
    try:
        while not folder.create(name, _sign_of_life(token)):
            try:
                _take_over(folder, name, token, output)
                break
            except OutputError:
                if not wait:
                    raise
            time.sleep(_SETTLE)
    except OutputError:
        raise
    except OSError as error:
        raise _cannot_write(output, address, error) from error
    over = Event()

    def live() -> None:
        while not over.wait(HEARTBEAT):
            try:
                folder.put(name, [_sign_of_life(token)])
            except OSError:  # the next beat may succeed, and the run itself will say what is wrong
                continue

    thread = Thread(target=live, name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if _read_lock(folder, name).get("token") == token:
            folder.delete(name)


def _take_over(folder: Folder, name: str, token: str, output: str) -> None:
    """Replace the lock of a dead run; of several that try, the last one has it, and the others notice."""
    found = _read_lock(folder, name)
    if time.time() - found.get("time", 0.0) < STALE:
        raise _held(output, found.get("holder", "another process"))
    folder.put(name, [_sign_of_life(token)])
    time.sleep(_SETTLE)
    found = _read_lock(folder, name)
    if found.get("token") != token:
        raise _held(output, found.get("holder", "another process"))


def _sign_of_life(token: str) -> bytes:
    holder = f"process {os.getpid()} on {platform.node()}"
    return json.dumps({"holder": holder, "token": token, "time": time.time()}).encode()


def _read_lock(folder: Folder, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(folder.get(name) or b"{}")
    except ValueError:
        return {}
    return found


def is_locked(path: str | Path) -> bool:
    """Whether a run holds the lock, as far as this machine can see."""
    if is_address(str(path)):
        folder, name = folder_of(str(path))
        return bool(time.time() - _read_lock(folder, name).get("time", 0.0) < STALE)
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
