"""What was read of files before: in this process, and of many files in the user's folder of caches.

A fact holds as long as the files and folders that it was read from are those that they were: inode, size and time of
change. Those that changed a moment ago are read again, since clocks are too coarse to see another change. Nothing here
is needed: what is lost, old or damaged is read from the files again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import sys
import time
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from fusestack.storage import LocalFolder, identity_of, is_address, is_container

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    Witness: TypeAlias = tuple[int, int, int] | str | None
    Entry: TypeAlias = tuple[tuple[str, ...], tuple[Witness, ...], Any]

MANY = 200
"""Files that are worth a file of their own in the cache: fewer are read as fast as they are looked up."""

_MOST_BYTES = 2**28
"""Of the folder in the user's cache, where what was used least recently is deleted."""

_MOST_ENTRIES = 65_536
"""Of this process."""

_STILL = 0.05
"""Seconds that files must have lain still for this process: file systems of this machine count in hundredths."""

_STILL_FOR_LONG = 3.0
"""The same for the cache on disk: some file systems count in two seconds, and clocks of file servers go wrong."""

_MEMORY: OrderedDict[Hashable, Entry] = OrderedDict()
_LOCK = Lock()


def witnesses(paths: Iterable[str]) -> tuple[Witness, ...]:
    """Inode, size and time of change of files and folders, the ETag of objects; None where there is nothing."""
    return tuple(map(_witness, paths))


def _witness(path: str) -> Witness:
    try:
        if is_address(path):
            return None if is_container(path) else identity_of(path)
        found = os.stat(path)  # noqa: PTH116 -- six of them for each of 20,000 Zarr images
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def recall(wanted: Hashable) -> Any:
    """What this process knows and what still holds; None where there is nothing."""
    with _LOCK:
        entry = _MEMORY.get(wanted)
    if entry is None or witnesses(entry[0]) != entry[1]:
        return None
    with _LOCK:
        if wanted in _MEMORY:
            _MEMORY.move_to_end(wanted)
    return entry[2]


def remember(wanted: Hashable, paths: tuple[str, ...], before: tuple[Witness, ...], facts: Any) -> None:
    """Keep what was read, unless a file changes as it is read, or changed a moment ago.

    Parameters
    ----------
    wanted : hashable
    paths : tuple of str
        Files and folders that it was read from.
    before : tuple
        `witnesses` of the first of them before it was read.
    facts : object
    """
    now = witnesses(paths)
    if None in now or now[: len(before)] != before or not _still(now, _STILL):
        return
    with _LOCK:
        _MEMORY[wanted] = (paths, now, facts)
        while len(_MEMORY) > _MOST_ENTRIES:
            _MEMORY.popitem(last=False)


def _still(found: Sequence[Witness], seconds: float) -> bool:
    """Whether files lie still since then; objects are told apart by more than time."""
    latest = max((one[2] for one in found if isinstance(one, tuple)), default=0)
    return time.time_ns() - latest > seconds * 1e9


class FactsOnDisk:
    """The file in the user's cache that knows of files, all of them together: those of an acquisition.

    Parameters
    ----------
    wanted : mapping of object to str
        What is asked for, and the path of its file.
    """

    def __init__(self, wanted: Mapping[Any, str]) -> None:
        self._wanted = wanted
        local = [path for path in wanted.values() if not is_address(path)]
        self._name = _name_of(local) if len(local) >= MANY else None
        self._folder = LocalFolder(user_cache(), scratch="")

    def load(self) -> None:
        """Let this process know what is there; every fact is checked when it is used."""
        if self._name is None:
            return
        found = self._read()
        with _LOCK:
            for wanted in self._wanted:
                if wanted in found and wanted not in _MEMORY:
                    _MEMORY[wanted] = found[wanted]

    def _read(self) -> dict[Any, Entry]:
        assert self._name is not None
        try:
            data = self._folder.get(self._name)
            found: dict[Any, Entry] = {} if data is None else pickle.loads(data)
            os.utime(self._folder.root / self._name)
        except Exception:  # pickle raises nearly every class there is on what is damaged
            return {}
        return found

    def store(self) -> None:
        """Write down what this process knows, in one step; a cache that cannot be written is none."""
        if self._name is None:
            return
        with _LOCK:
            known = {wanted: _MEMORY[wanted] for wanted in self._wanted if wanted in _MEMORY}
        kept = {wanted: entry for wanted, entry in known.items() if _still(entry[1], _STILL_FOR_LONG)}
        others = {wanted: entry for wanted, entry in self._read().items() if wanted not in kept}
        if len(others) + len(kept) > _MOST_ENTRIES:
            others = {}
        try:
            self._folder.put(self._name, [pickle.dumps(others | kept, protocol=pickle.HIGHEST_PROTOCOL)])
            _trim(self._folder.root)
        except OSError:
            return


def _name_of(paths: Sequence[str]) -> str | None:
    """Name of the file for what lies in one folder, however deep, as this version of the program reads it."""
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120 -- of 20,000 paths
    except ValueError:
        return None
    return f"{hashlib.sha256(f'{folder} {_stamp()}'.encode()).hexdigest()[:32]}.facts"


@functools.cache
def _stamp() -> str:
    """Size and time of change of all that reads facts, and the version of what else reads them."""
    import tifffile

    rooms = [Path(__file__).parent, Path(__file__).parents[1] / "model", Path(__file__).parents[1] / "storage"]
    found = [(path.name, path.stat()) for room in rooms for path in sorted(room.glob("*.py"))]
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]
    return repr((facts, tifffile.__version__, sys.version_info[:2]))


def user_cache() -> Path:
    """Folder where programs of this user keep what can be made again; nothing is created."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "fusestack"
    if sys.platform == "win32" and (named := os.environ.get("LOCALAPPDATA")):
        return Path(named) / "fusestack" / "cache"
    home = Path("~").expanduser()
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "fusestack"


def _trim(folder: Path) -> None:
    """Delete what was used least recently, until the rest is small enough."""
    found = sorted(((path.stat(), path) for path in folder.glob("*.facts")), key=lambda pair: -pair[0].st_mtime)
    total = 0
    for stat, path in found:
        total += stat.st_size
        if total > _MOST_BYTES:
            path.unlink(missing_ok=True)
