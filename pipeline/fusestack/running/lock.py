"""One run at a time on an output."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import OutputError
from fusestack.storage import is_address, open_store
from fusestack.storage.locks import lock, open_lock
from fusestack.storage.look import looking
from fusestack.storage.together import each
from fusestack.writers.base import link_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fusestack.project.append import AppendedProject
    from fusestack.project.write import FusedProject
    from fusestack.storage.store import StoreFolder

HEARTBEAT = 5.0
"""Seconds between two signs of life of a run that writes to an object store."""

STALE = 30.0
"""Seconds without a sign of life after which a run counts as dead."""

_LOOK = 0.5


class HeldError(OutputError):
    """Another run is writing an output."""


@contextmanager
def output_lock(path: str | Path, output: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of an output.

    On a disk it is released by the system when the process ends, however it ends. In an object store the holder gives
    signs of life; the lock of one that is silent for half a minute, seen from here, is taken over.

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
    HeldError
        If another run holds it; names the machine and the process.
    """
    if is_address(str(path)):
        held = _object_lock(str(path), output, wait=wait)
    else:
        held = _file_lock(Path(path), output, wait=wait)
    with held:
        yield


@contextmanager
def shared_lock(path: Path, output: str) -> Iterator[None]:
    """Hold a lock on a disk together with others; whoever wants it alone waits, or is refused."""
    with _descriptor(path, output) as descriptor:
        lock(descriptor, shared=True, wait=True)
        yield


def project_lock(project: FusedProject | AppendedProject, work: str) -> AbstractContextManager[None]:
    """Two images may be complete at once; and to a project that is there, others may add something, too."""
    from fusestack.project.write import FusedProject

    if isinstance(project, FusedProject):
        return output_lock(f"{work}/project.lock", project.path, wait=True)
    folder, _, name = project.path.rpartition("/")
    return output_lock(f"{folder}/.{name}.lock", project.path, wait=True)


def _held(output: str, holder: str) -> HeldError:
    return HeldError(
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
        descriptor = open_lock(path)
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
            lock(descriptor, wait=wait)
        except BlockingIOError as error:
            said = path.read_text(encoding="utf-8", errors="replace").strip()
            raise _held(output, said or "another process") from error
        if os.fstat(descriptor).st_nlink == 1:  # else it is also a file of somebody else
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield


@contextmanager
def _object_lock(address: str, output: str, *, wait: bool) -> Iterator[None]:
    place, _, name = address.rpartition("/")
    held = _ObjectLock(open_store(place), name, output)
    try:
        with looking(None):
            held.take(wait=wait)
    except OutputError:
        raise
    except OSError as error:
        raise _cannot_write(output, address, error) from error
    over = Event()
    thread = Thread(target=held.live, args=(over,), name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        held.release()


class _ObjectLock:
    """A lock in an object store: an object that its holder writes again and again, if nobody else has meanwhile.

    Who finds it sees by its own clock whether it changes; times of different machines are never compared. Who loses it,
    since it gave no sign of life, finds its turn over (`fusestack.taskgraph.turns`) when the other one begins.
    """

    def __init__(self, folder: StoreFolder, name: str, output: str) -> None:
        self._folder, self._name, self._output = folder, name, output
        self._token = uuid.uuid4().hex
        self._beats = 0
        self._version: str | None = None

    def take(self, *, wait: bool) -> None:
        """Take it where nobody has it, or whoever has it gives no sign of life."""
        seen, since = "", time.monotonic()
        asked: list[Callable[[], Any]] = [lambda: self._put(None), self._look]
        first, found = each(lambda ask: ask(), asked, far=True)
        if first is not None:  # nobody has ever had it
            self._version = first
            return
        while True:
            version, said = found or self._look()
            found = None
            if said.get("token") == self._token:  # it was written, and the answer was lost
                self._version = version
                return
            dead = version == seen and time.monotonic() - since > STALE
            if version is None or said.get("free") or dead or _ended_here(said):
                self._version = self._put(version)
                if self._version is not None:
                    return
            elif version != seen:
                if seen and not wait:
                    raise _held(self._output, said.get("holder", "another process"))
                seen, since = version, time.monotonic()
            time.sleep(_LOOK)

    def live(self, over: Event) -> None:
        """Give signs of life until it is over, or somebody else has the lock."""
        while not over.wait(HEARTBEAT):
            try:
                version = self._put(self._version)
                if version is None:  # or it was written, and the answer was lost
                    version, said = self._look()
                    version = version if said.get("token") == self._token else None
            except OSError:  # the next beat may succeed, and the run itself will say what is wrong
                continue
            self._version = version
            if version is None:
                return

    def release(self) -> None:
        """Say that it is free, unless it is somebody else's; the object stays, so that nobody's is deleted."""
        if self._version is not None:
            with suppress(OSError):
                self._put(self._version, free=True)

    def _look(self) -> tuple[str | None, dict[str, Any]]:
        return _read_lock(self._folder, self._name)

    def _put(self, version: str | None, *, free: bool = False) -> str | None:
        self._beats += 1
        holder = f"process {os.getpid()} on {platform.node()}"
        said = {"holder": holder, "token": self._token, "beat": self._beats, "process": os.getpid(), "here": _here()}
        return self._folder.replace(self._name, json.dumps({"free": True} if free else said).encode(), version)


def _here() -> str:
    """Which running system this is, and which of its sets of process numbers; empty where that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _ended_here(said: dict[str, Any]) -> bool:
    """Whether a lock is of a process of this very system that is not there any more."""
    if not said.get("here") or said["here"] != _here():
        return False
    try:
        os.kill(int(said["process"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError):
        return False
    return False


def _read_lock(folder: StoreFolder, name: str) -> tuple[str | None, dict[str, Any]]:
    """Version of a lock, None where there is none, and what its holder says."""
    version, content = folder.version(name)
    try:
        found = json.loads(content)
    except ValueError:
        return version, {}
    return version, found if isinstance(found, dict) else {}


def is_locked(path: str | Path) -> bool:
    """Whether a run holds the lock, as far as this machine can see."""
    if is_address(str(path)):
        return _gives_signs_of_life(str(path))
    try:
        descriptor = open_lock(path, create=False)
    except OSError:
        return False
    try:
        lock(descriptor)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _gives_signs_of_life(address: str) -> bool:
    """Whether an object is a lock that changes while one looks."""
    place, _, name = address.rpartition("/")
    folder = open_store(place)
    version, said = _read_lock(folder, name)
    if version is None or said.get("free") or _ended_here(said):
        return False
    until = time.monotonic() + 1.5 * HEARTBEAT
    while time.monotonic() < until:
        if folder.version(name)[0] != version:
            return True
        time.sleep(_LOOK)
    return False
